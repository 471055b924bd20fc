"""Accuracy of one ranked list: binary relevance, standard definitions, equal to trec_eval's on the same order.

A list is read in the order given; ids that are unknown or repeated keep their places, and a target counts where it stands
first. Each metric is written once, over many lists: `ranks` [lists, targets] has a target's 1-based place, 0 where it is absent
(and where a list has fewer targets than the widest), `targets` [lists] says how many there are.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness import MetricSetup, TurnView, Unscored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `hr`, `recall`, `ndcg` and `mrr`."""

    k: Annotated[int, msgspec.Meta(ge=1, description="cut-off: only the first k items of a list count")] = 10


class _AtCutOff:
    level: Literal["turn", "dialogue", "run"] = "turn"
    family = "ranking"
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, options: Options | None = None) -> None:
        self.k = (options or Options()).k
        self._unscored: Unscored | None = None

    def prepare(self, setup: MetricSetup) -> None:
        # A list of 10 read as a list of 50 would be a number without a meaning.
        self._unscored = (
            Unscored(f"the cut-off {self.k} is beyond the list length {setup.k} of this run") if self.k > setup.k else None
        )

    def score(self, view: TurnView) -> float | Unscored:
        """The value of one turn's list."""
        if not view.ranks:
            return Unscored("no targets")
        values = self.score_ranks(np.array([view.ranks]), np.array([len(view.ranks)]))
        return values if isinstance(values, Unscored) else float(values[0])

    def score_ranks(self, ranks: Ints, targets: Ints) -> Floats | Unscored:
        """The values of many lists."""
        if self._unscored is not None:
            return self._unscored
        return self._values(ranks, targets)

    def _values(self, ranks: Ints, targets: Ints) -> Floats:
        raise NotImplementedError

    def _hits(self, ranks: Ints) -> NDArray[np.bool_]:
        hits: NDArray[np.bool_] = (ranks > 0) & (ranks <= self.k)
        return hits


class HitRate(_AtCutOff):
    """HR@k: 1 when any target is among the first k."""

    def _values(self, ranks: Ints, targets: Ints) -> Floats:
        hits: Floats = self._hits(ranks).max(axis=1, initial=False).astype(np.float64)
        return hits


class Recall(_AtCutOff):
    """Recall@k: share of the targets that are among the first k."""

    def _values(self, ranks: Ints, targets: Ints) -> Floats:
        shares: Floats = self._hits(ranks).sum(axis=1) / np.maximum(targets, 1)
        return shares


class Ndcg(_AtCutOff):
    """NDCG@k: sum of 1 / log2(rank + 1) over the targets among the first k, divided by that sum for the ideal list, which has
    min(k, targets) targets on top (Jarvelin and Kekalainen 2002, binary gains)."""

    def _values(self, ranks: Ints, targets: Ints) -> Floats:
        gains: Floats = np.where(self._hits(ranks), 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0).sum(axis=1)
        ideal: Floats = np.cumsum(1.0 / np.log2(np.arange(self.k) + 2.0))
        gains /= ideal[np.clip(targets, 1, self.k) - 1]
        return gains


class Mrr(_AtCutOff):
    """MRR@k: 1 / rank of the first target among the first k, 0 when there is none."""

    def _values(self, ranks: Ints, targets: Ints) -> Floats:
        best: Floats = np.where(self._hits(ranks), 1.0 / np.maximum(ranks, 1), 0.0).max(axis=1, initial=0.0)
        return best
