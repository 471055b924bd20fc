"""The tree of imagined dialogues: each node is a list that was shown, with what an imagined seeker thinks of its items.

Which nodes are gone on with, and how all of them together rank items. Nothing here asks a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Reward = Literal["mean", "max"]
Ranking = Literal["mean", "sum", "votes"]
_DIGITS: Final = 12
"""Sums of the same numbers in another order shall be equal."""


class Node(msgspec.Struct, frozen=True):
    """A list of different items, best first, and a score from 0 to 1 for each. `path` is the number of the list among those of
    its parent, from 0, at each level: its length is the level, from 1."""

    path: tuple[int, ...]
    items: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def level(self) -> int:
        return len(self.path)


def reward(node: Node, how: Reward) -> float:
    """What a list is worth: the mean score of its items, or the best one's."""
    return max(node.scores) if how == "max" else round(math.fsum(node.scores) / len(node.scores), _DIGITS)


def kept(nodes: Sequence[Node], beam: int, how: Reward) -> list[Node]:
    """The `beam` best nodes of a level, best first; of equal ones those that come first. Lists that one parent has twice are
    one way to go on."""
    found: dict[tuple[tuple[int, ...], tuple[str, ...]], Node] = {}
    for node in nodes:
        found.setdefault((node.path[:-1], node.items), node)
    return sorted(found.values(), key=lambda node: -reward(node, how))[:beam]


def ranked(nodes: Sequence[Node], how: Ranking) -> list[str]:
    """All items of the nodes, best first, by the mean or the sum of an item's scores over the nodes that list it, or by the
    number of these nodes.

    Equal means: more nodes first; equal votes: the higher mean first. Then by order of appearance.
    """
    scores: dict[str, list[float]] = {}
    for node in nodes:
        for item, score in zip(node.items, node.scores, strict=True):
            scores.setdefault(item, []).append(score)

    def key(item: str) -> tuple[float, float]:
        held = scores[item]
        total, count = round(math.fsum(held), _DIGITS), len(held)
        mean = round(total / count, _DIGITS)
        return {"mean": (-mean, -count), "sum": (-total, 0.0), "votes": (-count, -mean)}[how]

    return sorted(scores, key=key)
