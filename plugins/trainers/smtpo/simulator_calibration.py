"""From log-odds on a validation split to the numbers of a `Decision`.

In this order: Platt's scaling on lists as a recommender shows them, so that probabilities are of being the target in such a
list; the threshold below which items are turned down, by playing the game that it decides about; and the accept threshold with
the best F1 of accepted items against targets among those that accept of a quarter of the first lists at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from ...smtpo.user.decision import Decision, decide

LIST: Final = 10
TURNS: Final = 5
ACCEPTED: Final = 0.25
"""Share of first lists of which something may be accepted. Without a limit a weak judge has its best F1 where it accepts nearly
anything at once, and there is no dialogue left. [inferred]"""
_GRID: Final = 40


class Judged(msgspec.Struct, frozen=True):
    """The reference recommender's best items at one scenario, best first: log-odds, and which are targets."""

    scenario: str
    odds: tuple[float, ...]
    targets: tuple[bool, ...]


def fit(judged: Sequence[Judged]) -> Decision:
    """Without a target in any list nothing can be fitted: then the default decision is returned."""
    from sklearn.linear_model import LogisticRegression

    odds = np.array([value for one in judged for value in one.odds[: 2 * LIST]])
    wanted = np.array([is_target for one in judged for is_target in one.targets[: 2 * LIST]])
    if not wanted.any() or wanted.all():
        return Decision()
    model = LogisticRegression(C=1e6).fit(odds[:, None], wanted)
    decision = Decision(slope=float(model.coef_[0, 0]), offset=float(model.intercept_[0]))
    every = np.array([decision.probability(value) for one in judged for value in one.odds[:LIST]])
    # The game first, with nothing accepted: an acceptance would end it before anything could make room.
    patient = msgspec.structs.replace(decision, accept=1.0)
    keep = max([0.0, *_grid(every)], key=lambda at: played(judged, msgspec.structs.replace(patient, keep=at))[-1])
    best = np.array([max(map(decision.probability, one.odds[:LIST]), default=0.0) for one in judged])
    grid = [at for at in _grid(best) if np.mean(best >= at) <= ACCEPTED] or [float(best.max())]
    accept = max(grid, key=lambda at: _f1(judged, msgspec.structs.replace(decision, accept=at)))
    return msgspec.structs.replace(decision, keep=keep, accept=accept)


def _grid(values: np.ndarray) -> list[float]:
    """Thresholds that part the values at even shares of them."""
    return sorted({float(v) for v in np.quantile(values, np.linspace(0, 1, _GRID))})


def accepting(judged: Sequence[Judged], decision: Decision) -> tuple[float, float, float]:
    """Precision, recall and F1 of what is accepted of the first lists."""
    accepted = right = there = 0
    for one in judged:
        verdict = decide(decision, {str(n): value for n, value in enumerate(one.odds[:LIST])})
        there += any(one.targets[:LIST])
        accepted += bool(verdict.accepted)
        right += bool(verdict.accepted) and one.targets[int(verdict.accepted[0])]
    precision, recall = right / accepted if accepted else 0.0, right / there if there else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0


def _f1(judged: Sequence[Judged], decision: Decision) -> float:
    return accepting(judged, decision)[2]


def played(judged: Sequence[Judged], decision: Decision, turns: int = TURNS) -> list[float]:
    """NDCG@10 of each turn's list, in the mean over scenarios, when a recommender shows its best items that were not turned
    down, in its own order, until one is accepted: what the two thresholds alone are worth. One target per scenario counts."""
    totals = np.zeros(turns)
    for one in judged:
        rejected: set[int] = set()
        shown: list[int] = []
        ended = False
        for turn in range(turns):
            if not ended:
                shown = [n for n in range(len(one.odds)) if n not in rejected][:LIST]
                verdict = decide(decision, {str(n): one.odds[n] for n in shown})
                ended = bool(verdict.accepted)
                rejected.update(map(int, verdict.rejected))
            place = next((place for place, n in enumerate(shown) if one.targets[n]), None)
            totals[turn] += 0.0 if place is None else 1 / math.log2(place + 2)
    return [float(total) / max(1, len(judged)) for total in totals]


def area(judged: Sequence[Judged], depth: int = LIST) -> float:
    """AUC over pairs of a target and another item of the same list; ties count a half. NaN-free: 0.5 where there is no pair."""
    won = pairs = 0.0
    for one in judged:
        odds, targets = one.odds[:depth], one.targets[:depth]
        for value in (v for v, is_target in zip(odds, targets, strict=True) if is_target):
            others = [v for v, is_target in zip(odds, targets, strict=True) if not is_target]
            won += sum((value > v) + 0.5 * (value == v) for v in others)
            pairs += len(others)
    return won / pairs if pairs else 0.5


def hit_at_1(judged: Sequence[Judged], depth: int = LIST) -> float:
    """Of the lists with a target, the share whose best judged item is one; the first of equal items counts."""
    lists = [one for one in judged if any(one.targets[:depth])]
    hits = sum(one.targets[max(range(len(one.odds[:depth])), key=lambda n: one.odds[n])] for one in lists)
    return hits / len(lists) if lists else 0.0
