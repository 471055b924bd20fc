"""The teacher of the reasoning chain: equal-weight attribute matching, written out. It sees no label.

Its scores are deliberately not always the same: a facet weighs 1, 2 or 3 points per example, 2 being the most frequent, so that
a policy that has learned from it can still try what weighs more (it doesn't know that facets differ in reliability).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Final

import msgspec

from harness.api import Item, Statement

from .chain import Chain, Match, identifier

_MOST: Final = 9
"""The highest score that is given: one digit."""


class TeacherSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the teacher writes. All [inferred]: the paper's own data are not public."""

    k: Annotated[int, msgspec.Meta(ge=1, description="candidates in an answer")] = 10
    weights: Annotated[tuple[int, ...], msgspec.Meta(description="points of a match, drawn per facet and example")] = (
        1,
        2,
        2,
        3,
    )
    penalty: Annotated[int, msgspec.Meta(ge=0, description="points off for each violated wish")] = 2
    forget: Annotated[float, msgspec.Meta(ge=0, lt=1, description="share of stated values that are left out")] = 0.05


def teach(
    groups: Mapping[str, Sequence[Statement]], candidates: Sequence[Item], settings: TeacherSettings, draw: Random
) -> Chain:
    """The chain for candidates in the order shown. Ties keep that order. The same generator gives the same chain."""
    wanted = [s for name in ("wants", "lately") for s in groups[name] if draw.random() >= settings.forget]
    unwanted = [s for name in ("not", "lately not") for s in groups[name]]
    weight: dict[str, int] = {}
    for statement in wanted:
        weight.setdefault(statement.facet, settings.weights[draw.randrange(len(settings.weights))])
    matches: list[Match] = []
    scores: list[tuple[int, int]] = []
    points = [0] * (len(candidates) + 1)
    for number, item in enumerate(candidates, 1):
        matched = [s for s in wanted if s.value in item.attributes.get(s.facet, ())]
        violated = [s for s in unwanted if s.value in item.attributes.get(s.facet, ())]
        if not matched and not violated:
            continue
        matches.append(Match(number, _values(_as_held(matched, item)), _values(_as_held(violated, item))))
        score = sum(weight[s.facet] for s in matched) - settings.penalty * len(violated)
        points[number] = max(-1 if violated else 0, min(_MOST, score))
        scores.append((number, max(0, points[number])))
    order = sorted(range(1, len(candidates) + 1), key=lambda number: (-points[number], number))
    answer = tuple(order[: settings.k])
    return Chain(
        _values(wanted),
        _values(unwanted),
        tuple(matches),
        tuple(scores),
        answer,
        _explanation(answer[0], matches),
        answer,
    )


def _as_held(found: Sequence[Statement], item: Item) -> list[Statement]:
    """In the order of the item's card: matches are then read off in one pass, which a small model learns sooner."""
    held = [(facet, value) for facet, values in item.attributes.items() for value in values]
    return sorted(found, key=lambda s: held.index((s.facet, s.value)))


def _values(statements: Sequence[Statement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(statement.value for statement in statements))


def _explanation(best: int, matches: Sequence[Match]) -> str:
    found = next((m.matched for m in matches if m.candidate == best and m.matched), ())
    return f"{identifier(best)} has {' | '.join(found)}" if found else f"{identifier(best)} may suit you"
