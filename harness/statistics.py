"""Intervals and paired tests. Rows that come from one source dialogue hang together, so every method works by cluster.

A *cluster* is a source dialogue; resampling and sign flips act on whole clusters. Everything is seeded by an explicit number;
the order of the rows changes nothing but the rounding of a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.api import Unscored

RESAMPLES = 10_000
LEVEL = 0.95
TIE = 1e-12
"""Two scores closer than this are equal: their difference is rounding."""

_CELLS = 1_000_000
"""Resample weights held at once: 8 MB, whatever the number of clusters."""

Floats = NDArray[np.float64]


class Estimate(msgspec.Struct, frozen=True):
    """A mean over `n` rows from `clusters` source dialogues, with its percentile interval (low, high).

    `ci` is `Unscored` when there is nothing to resample (one source dialogue). When all rows are equal the interval has no
    width: the bootstrap then says nothing about rows that were not seen.
    """

    value: float | Unscored
    ci: tuple[float, float] | Unscored
    n: int
    clusters: int


class PermutationTest(msgspec.Struct, frozen=True):
    """Two-sided p of a sign-flip test; `exact` when all `permutations` sign patterns were tried."""

    p: float | Unscored
    exact: bool
    permutations: int


# ------------------------------------------------------------------------------------------------------------- bootstrap


def clustered_bootstrap(
    values: ArrayLike,
    clusters: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Estimate]:
    """Means of the columns of `values` [rows, columns] (or [rows]) with percentile intervals; one `Estimate` per column.

    NaN marks a row without a value in that column: it is left out there, in the mean and in each resample. All columns see
    the same resamples. Raises ValueError when the lengths differ.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    there = np.isfinite(matrix)
    return ratio_bootstrap(
        np.where(there, matrix, 0.0), there.astype(np.float64), clusters, resamples=resamples, level=level, seed=seed
    )


def ratio_bootstrap(
    numerators: Floats,
    denominators: Floats,
    clusters: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Estimate]:
    """As `clustered_bootstrap` for ratios sum(numerators) / sum(denominators), both [rows, columns].

    A micro average over labels is such a ratio: a row's numerator is the sum over its labels, its denominator their number.
    `Estimate.n` counts the rows with a denominator above 0.
    """
    if numerators.shape != denominators.shape or numerators.ndim != 2 or len(numerators) != len(clusters):
        raise ValueError(
            f"not the same rows: numerators {numerators.shape}, denominators {denominators.shape}, {len(clusters)} clusters"
        )
    columns = numerators.shape[1]
    codes, count = cluster_codes(clusters)
    tops, bottoms = _by_cluster(numerators, codes, count), _by_cluster(denominators, codes, count)
    rows = (denominators > 0).sum(axis=0)
    held = (bottoms > 0).sum(axis=0)
    # Most columns miss no row and share one denominator: resample each distinct one once.
    distinct, which = np.unique(bottoms, axis=1, return_inverse=True)
    which = which.reshape(columns)
    sampled: Floats = np.empty((0, columns))
    if count > 1 and columns:
        generator = np.random.default_rng(seed)
        both = np.hstack([tops, distinct])
        parts = []
        for start in range(0, resamples, max(1, _CELLS // count)):
            wanted = min(max(1, _CELLS // count), resamples - start)
            sums = resample_weights(generator, count, wanted) @ both
            with np.errstate(invalid="ignore", divide="ignore"):
                parts.append(sums[:, :columns] / sums[:, columns:][:, which])
        sampled = np.concatenate(parts)
    estimates = []
    for column in range(columns):
        clusters_held = int(held[column])
        if clusters_held == 0:
            nothing = Unscored("no scored rows")
            estimates.append(Estimate(nothing, nothing, 0, 0))
            continue
        value = float(tops[:, column].sum() / bottoms[:, column].sum())
        interval: tuple[float, float] | Unscored = Unscored("one source dialogue: nothing to resample")
        if clusters_held > 1:
            # A resample that drew none of this column's clusters has no mean; it can't be counted on either side.
            drawn = sampled[:, column]
            interval = percentiles(drawn[np.isfinite(drawn)], level)
        estimates.append(Estimate(value, interval, int(rows[column]), clusters_held))
    return estimates


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """The mean of a - b over paired rows, with its interval. Raises ValueError for unequal lengths or missing values."""
    differences = _differences(a, b, clusters)
    return clustered_bootstrap(differences, clusters, resamples=resamples, level=level, seed=seed)[0]


# ---------------------------------------------------------------------------------------------------------------- tests


def paired_permutation(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[str],
    *,
    permutations: int = RESAMPLES,
    seed: int = 0,
) -> PermutationTest:
    """Are a and b exchangeable within clusters? The sign of a whole cluster's differences is flipped; statistic |mean(a - b)|.

    All 2^c patterns are tried when there are at most `permutations` of them (c: clusters that differ at all); else that many
    random ones with p = (hits + 1) / (permutations + 1) (Phipson and Smyth 2010), so that p is never 0.
    """
    differences = _differences(a, b, clusters)
    if not len(differences):
        return PermutationTest(Unscored("no paired rows"), exact=True, permutations=0)
    codes, count = cluster_codes(clusters)
    sums = _by_cluster(differences[:, None], codes, count)[:, 0]
    sums = sums[np.abs(sums) > TIE]  # a flip of nothing changes nothing
    observed = abs(float(sums.sum())) - TIE * max(1, len(differences))
    if len(sums) < 62 and 2 ** len(sums) <= permutations:
        patterns = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))[None, :]
        statistic = np.abs((1.0 - 2.0 * (patterns & 1)) @ sums)
        return PermutationTest(float(np.mean(statistic >= observed)), exact=True, permutations=2 ** len(sums))
    generator = np.random.default_rng(seed)
    hits, step = 0, max(1, _CELLS // len(sums))
    for start in range(0, permutations, step):
        wanted = min(step, permutations - start)
        signs = 1.0 - 2.0 * generator.integers(2, size=(wanted, len(sums)), dtype=np.int8)
        hits += int((np.abs(signs @ sums) >= observed).sum())
    return PermutationTest((hits + 1) / (permutations + 1), exact=False, permutations=permutations)


def cohen_dz(a: ArrayLike, b: ArrayLike) -> float | Unscored:
    """Effect size of paired rows: mean(a - b) / sd(a - b), sd with n - 1 (Cohen 1988, d_z)."""
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if len(differences) < 2:
        return Unscored("fewer than two paired rows")
    spread = float(differences.std(ddof=1))
    if spread <= TIE:
        return Unscored("all differences are equal")
    return float(differences.mean()) / spread


def win_tie_loss(a: ArrayLike, b: ArrayLike, *, higher_is_better: bool = True) -> tuple[int, int, int]:
    """In how many rows a is better than, equal to (within 1e-12) and worse than b."""
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    above, below = int((differences > TIE).sum()), int((differences < -TIE).sum())
    ties = len(differences) - above - below
    return (above, ties, below) if higher_is_better else (below, ties, above)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of tests, in the order given (Holm 1979): reject where they are at most alpha."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for step, position in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def pass_at_all(successes: Sequence[int], trials: int) -> Floats:
    """pass^k for k = 1..trials, [rows, trials]: the chance that k trials drawn from a row's `trials` all succeeded,
    C(successes, k) / C(trials, k), which estimates without bias that k new trials would (Yao et al. 2024, tau-bench).
    """
    chances = np.empty((len(successes), trials))
    won = np.asarray(successes, dtype=np.float64)
    running = np.ones(len(won))
    for k in range(trials):
        running = running * np.maximum(won - k, 0.0) / (trials - k)
        chances[:, k] = running
    return chances


# -------------------------------------------------------------------------------------------------------------- helpers


def cluster_codes(clusters: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Each row's cluster as a number (clusters in sorted order), and how many clusters there are."""
    number = {cluster: n for n, cluster in enumerate(sorted(set(clusters)))}
    return np.fromiter((number[c] for c in clusters), dtype=np.int64, count=len(clusters)), len(number)


def _by_cluster(values: Floats, codes: NDArray[np.int64], count: int) -> Floats:
    sums = np.empty((count, values.shape[1]))
    for column in range(values.shape[1]):  # adds row after row, as np.add.at does, in a tenth of its time
        sums[:, column] = np.bincount(codes, weights=values[:, column], minlength=count)
    return sums


def resample_weights(generator: np.random.Generator, count: int, resamples: int) -> Floats:
    """How often each cluster was drawn in each resample: [resamples, count], each row sums to `count`."""
    drawn = generator.integers(count, size=(resamples, count), dtype=np.int64)
    drawn += np.arange(resamples)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)


def percentiles(drawn: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of a statistic's resampled values."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return float(low), float(high)


def _differences(a: Any, b: Any, clusters: Sequence[str]) -> Floats:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) != len(clusters):
        raise ValueError(f"not paired: {first.shape} and {second.shape} values, {len(clusters)} clusters")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("paired rows must all have a value: leave out the rows that either side misses")
    return first - second
