"""What one recommender's turn is worth: three terms, kept apart so that each is logged.

format          1 where the answer is valid (every tag once and in order, exactly k different candidates), else 0 and the other
                terms with it: what cannot be read earns nothing.
recommendation  NDCG@10 of the list against the targets. Where the retriever found no target the policy could not have shown
                one: the term is absent (None), it neither punishes nor rewards.
preference      F1 of the attribute values that the answer says the seeker likes against those of a target, minus the share of
                them that the seeker has turned down. F1, not recall: recall is won by listing every attribute.

SMTPO names the three rewards; their formulas are not public. These follow ReRec's query and preference alignment scores
(2604.07851) and were chosen so that nothing is won by listing every attribute, showing all candidates, copying the seeker's
text, or reasoning without end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Final, Literal

import msgspec

from harness.api import Catalogue, Need
from harness.text import normalise

Term = Literal["format", "recommendation", "preference"]
TERMS: Final[tuple[Term, ...]] = ("format", "recommendation", "preference")

_Weight = Annotated[float, msgspec.Meta(ge=0)]


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each term counts. 0 switches one off; the outcome should dominate."""

    format: _Weight = 0.1
    recommendation: _Weight = 1.0
    preference: _Weight = 0.3


class Answer(msgspec.Struct, frozen=True):
    """What is judged of a policy's turn. `items` are catalogue ids in the answer's order; `likes` the attribute values that it
    says the seeker wants, None where the policy states none by its nature (the term is absent then)."""

    valid: bool
    items: tuple[str, ...] = ()
    likes: tuple[str, ...] | None = None


class TurnReward(msgspec.Struct, frozen=True):
    """The terms of one turn, before their weights. None: the term is absent."""

    format: float
    recommendation: float | None
    preference: float | None

    def total(self, weights: Weights) -> float:
        """The weighted sum; absent terms add nothing."""
        return (
            weights.format * self.format
            + weights.recommendation * (self.recommendation or 0.0)
            + weights.preference * (self.preference or 0.0)
        )


def ndcg(ranked: Sequence[str], targets: Collection[str], k: int = 10) -> float:
    """NDCG@k with binary relevance, log2(rank + 1) and the ideal list cut at k; a target counts where it stands first."""
    wanted = set(targets)
    gain = 0.0
    for rank, item in enumerate(ranked[:k], 1):
        if item in wanted:
            wanted.discard(item)
            gain += 1.0 / math.log2(rank + 1)
    ideal = sum(1.0 / math.log2(rank + 1) for rank in range(1, min(k, len(set(targets))) + 1))
    return gain / ideal if ideal else 0.0


def f1(said: Collection[str], true: Collection[str]) -> float:
    """2PR / (P + R) of two sets; 0 where either is empty."""
    shared = len(set(said) & set(true))
    return 2.0 * shared / (len(set(said)) + len(set(true))) if shared else 0.0


def preference(likes: Iterable[str], wanted: Sequence[Collection[str]], refused: Collection[str]) -> float:
    """The best F1 over the targets minus the share of `likes` that is in `refused`; in [-1, 1].

    Values are compared as folded words and counted once, however often they are repeated. Text that is no value of the
    target lowers the precision like a wrong value.
    """
    said = {folded for value in likes if (folded := normalise(value))}
    if not said:
        return 0.0
    against = {normalise(value) for value in refused}
    best = max((f1(said, {normalise(value) for value in values}) for values in wanted), default=0.0)
    return best - len(said & against) / len(said)


class Judge:
    """Rewards of one scenario's turns: knows the targets and their attributes, which no policy sees."""

    def __init__(self, catalogue: Catalogue, need: Need, k: int = 10) -> None:
        self._targets = need.targets
        self._k = k
        items = [item for item in map(catalogue.get, need.targets) if item is not None]
        self._wanted = [{value for values in item.attributes.values() for value in values} for item in items]

    def __call__(self, answer: Answer, candidates: Collection[str], refused: Collection[str] = ()) -> TurnReward:
        """`candidates` are the ids that the retriever found; `refused` the values that the seeker has turned down so far."""
        reachable = any(target in candidates for target in self._targets)
        if not answer.valid:
            return TurnReward(0.0, 0.0 if reachable else None, None if answer.likes is None else 0.0)
        listed = ndcg(answer.items, self._targets, self._k) if reachable else None
        stated = None if answer.likes is None else preference(answer.likes, self._wanted, refused)
        return TurnReward(1.0, listed, stated)

    def hits(self, items: Sequence[str], k: int) -> list[float]:
        """1 where a target stands first in the list, per rank, padded with 0 to k."""
        wanted = set(self._targets)
        found = []
        for item in items[:k]:
            found.append(float(item in wanted))
            wanted.discard(item)
        return found + [0.0] * (k - len(found))


def refused_values(statements: Iterable[tuple[str, int]]) -> set[str]:
    """Values that the seeker's last word turns down; `statements` are (value, polarity), oldest first."""
    last: dict[str, int] = {}
    for value, polarity in statements:
        last[value] = polarity
    return {value for value, polarity in last.items() if polarity < 0}
