"""The k best rows of a score vector, the same on every machine: equal scores keep their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Positions = NDArray[np.int64]


def top_k(scores: Scores, k: int) -> Positions:
    """Positions of the k largest scores, best first; equal scores by position; rows with -inf are never returned.

    `scores` is a vector without NaN. Linear in its length plus a sort of the k that are kept.
    """
    count = len(scores)
    if k <= 0 or count == 0:
        return np.empty(0, dtype=np.int64)
    if k < count:
        threshold = np.partition(scores, count - k)[count - k]
        above = np.flatnonzero(scores > threshold)
        # `partition` picks any of the rows that share the last place: the first ones are taken instead.
        level = np.flatnonzero(scores == threshold)[: k - len(above)]
        kept = np.sort(np.concatenate((above, level)))
    else:
        kept = np.arange(count)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return kept[scores[kept] > -np.inf]
