"""Which part of the catalogue a run shows at all, and how evenly. One number per run; only played turns count."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from harness import MetricSetup, RunView, Unscored


class _Exposure:
    level: Literal["turn", "dialogue", "run"] = "run"
    family = "recommender"
    bounds = (0.0, 1.0)

    def __init__(self, options: None = None) -> None:
        self._ids: frozenset[str] = frozenset()

    def prepare(self, setup: MetricSetup) -> None:
        self._ids = frozenset(setup.catalogue.ids)

    def _shown(self, view: RunView) -> Counter[str]:
        """How often each catalogue item stood in a list."""
        counts: Counter[str] = Counter()
        for dialogue in view.dialogues:
            for turn in dialogue.turns:
                if turn.record is not None:
                    counts.update(self._ids.intersection(turn.record.items))
        return counts


class Coverage(_Exposure):
    """Share of the catalogue that was recommended at least once over the run. Grows with the number of dialogues."""

    higher_is_better = True

    def score(self, view: RunView) -> float | Unscored:
        if not self._ids:
            return Unscored("the catalogue is empty")
        return len(self._shown(view)) / len(self._ids)


class Gini(_Exposure):
    """Gini index of the recommendation counts over the whole catalogue: 0 when all items are shown equally often, close to 1
    when one item takes all."""

    higher_is_better = False

    def score(self, view: RunView) -> float | Unscored:
        shown = self._shown(view)
        size = len(self._ids)
        if not shown:
            return Unscored("nothing was recommended")
        # Items never shown come first with 0: only the others add to the sum over the ascending counts.
        counts = np.sort(np.fromiter(shown.values(), dtype=np.float64))
        places = np.arange(size - len(counts) + 1, size + 1)
        return float(((2 * places - size - 1) * counts).sum() / (size * counts.sum()))
