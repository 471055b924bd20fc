"""Properties of the recommender's lists that need no target: repetition, validity, novelty, diversity.

All are read per played turn and averaged over the dialogue's turns that have a value.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness import MetricSetup, TurnView, Unscored
from harness.views import fault_turn

NOT_PLAYED = Unscored("the turn was not played")
NO_LIST = Unscored("nothing was recommended")


def recorded_items(view: TurnView) -> tuple[str, ...]:
    """The ids of a played turn, also of one that was a fault."""
    return view.record.items if view.record is not None else ()


class _PerTurn:
    level: Literal["turn", "dialogue", "run"] = "turn"
    family = "recommender"
    higher_is_better = True
    bounds = (0.0, 1.0)
    over_turns: Literal["last", "mean"] = "mean"

    def __init__(self, options: None = None) -> None:
        self._ids: frozenset[str] = frozenset()

    def prepare(self, setup: MetricSetup) -> None:
        self._ids = frozenset(setup.catalogue.ids)


class Repetition(_PerTurn):
    """Share of a list that earlier turns of the same dialogue have shown already; unscored at turn 1."""

    higher_is_better = False

    def score(self, view: TurnView) -> float | Unscored:
        if not view.played:
            return NOT_PLAYED
        if view.turn == 1:
            return Unscored("there is no earlier turn")
        items = set(recorded_items(view))
        if not items:
            return NO_LIST
        earlier = {i for turn in view.dialogue.turns[: view.turn - 1] for i in turn.items}
        return len(items & earlier) / len(items)


class OutOfCatalogue(_PerTurn):
    """Share of the listed ids that are not in the catalogue."""

    higher_is_better = False

    def score(self, view: TurnView) -> float | Unscored:
        if not view.played:
            return NOT_PLAYED
        items = recorded_items(view)
        if not items:
            return NO_LIST
        return sum(item not in self._ids for item in items) / len(items)


class Validity(_PerTurn):
    """1 for a turn without a fault whose list has no unknown id, no repeated id, and none beyond the list length asked for.

    A turn with a text and no list is valid: a question is no error.
    """

    def score(self, view: TurnView) -> float | Unscored:
        if view.turn == fault_turn(view.dialogue):
            return 0.0
        if view.record is None:
            return NOT_PLAYED
        items = view.record.items
        if view.record.dropped or len(set(items)) < len(items):
            return 0.0
        return float(self._ids.issuperset(items))


class Novelty(_PerTurn):
    """Mean self-information of the listed items in bits (after Zhou et al. 2010): -log2 p(item), p from the mentions in the
    training dialogues with add-one smoothing, (mentions + 1) / (all mentions + catalogue size)."""

    bounds = (0.0, float("inf"))

    def prepare(self, setup: MetricSetup) -> None:
        super().prepare(setup)
        counts = [max(0, setup.popularity.get(item_id, 0)) for item_id in setup.catalogue.ids]
        total = sum(counts) + len(counts)
        self._bits = {
            item_id: math.log2(total) - math.log2(count + 1) for item_id, count in zip(setup.catalogue.ids, counts, strict=True)
        }

    def score(self, view: TurnView) -> float | Unscored:
        if not view.played:
            return NOT_PLAYED
        known = [self._bits[i] for i in dict.fromkeys(recorded_items(view)) if i in self._bits]
        return sum(known) / len(known) if known else NO_LIST


class Diversity(_PerTurn):
    """Intra-list diversity (after Ziegler et al. 2005): 1 - mean Jaccard similarity of the attribute sets of all item pairs.

    Items without attributes cannot be compared and are left out.
    """

    def prepare(self, setup: MetricSetup) -> None:
        super().prepare(setup)
        numbers: dict[tuple[str, str], int] = {}
        self._attributes: dict[str, NDArray[np.int64]] = {}
        for item in setup.catalogue:
            held = dict.fromkeys((facet, value) for facet, values in item.attributes.items() for value in values)
            if held:
                self._attributes[item.id] = np.array([numbers.setdefault(pair, len(numbers)) for pair in held])
        self._values = len(numbers)

    def score(self, view: TurnView) -> float | Unscored:
        if not view.played:
            return NOT_PLAYED
        known = [self._attributes[i] for i in dict.fromkeys(recorded_items(view)) if i in self._attributes]
        count = len(known)
        if count < 2:
            return Unscored("fewer than two listed items have attributes")
        sizes = np.array([len(held) for held in known])
        together = np.concatenate(known)
        # Any position of a value in `together` may stand for it: one column per value, found without sorting.
        column = np.empty(self._values, dtype=np.int64)
        column[together] = np.arange(len(together))
        holds = np.zeros((count, len(together)), dtype=np.float32)
        holds[np.repeat(np.arange(count), sizes), column[together]] = 1.0
        shared = (holds @ holds.T).astype(np.float64)
        similar = float((shared / (sizes[:, None] + sizes[None, :] - shared)).sum()) - count
        return min(1.0, max(0.0, 1.0 - similar / (count * (count - 1))))
