"""How well two scores of the same rows agree: Spearman, Pearson and Kendall (tau-b), with bootstrap intervals.

The coefficients are scipy's. Resamples are never drawn out: a resample is a row of whole-number weights, and the weighted
formulas below give what scipy gives on rows that are repeated so often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Unscored
from harness.statistics import LEVEL, RESAMPLES, cluster_codes, percentiles, resample_weights

COEFFICIENTS = ("spearman", "pearson", "kendall")
LEAST_ROWS = 3
"""Two rows correlate by 1 or -1 whatever their scores."""

_CELLS = 1_000_000
_LEVELS = 40
"""Up to so many values of the coarser side Kendall's sums go level by level."""
_STEP = 2_000
"""Distinct rows whose order is compared with all others at once: bounds the memory of Kendall's sums."""

Floats = NDArray[np.float64]


class Correlation(msgspec.Struct, frozen=True):
    """One coefficient with its percentile interval (low, high). `undefined` is the share of resamples that have no
    coefficient, because one side was constant in them; they are left out."""

    value: float | Unscored
    ci: tuple[float, float] | Unscored
    undefined: float = 0.0


def correlate(
    x: Sequence[float],
    y: Sequence[float],
    clusters: Sequence[str],
    *,
    names: tuple[str, str] = ("the metric", "the human score"),
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Correlation]:
    """Each of `COEFFICIENTS` over paired finite rows; resampling takes whole clusters.

    `names` say in a reason which side is constant. Raises ValueError for unequal lengths.
    """
    first, second = _paired(x, y, clusters)
    reason = _no_coefficient(first, second, names)
    if reason is not None:
        return {name: Correlation(reason, reason) for name in COEFFICIENTS}
    codes, count = cluster_codes(clusters)
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(count, len(first)))
    weights = (
        resample_weights(generator, count, min(step, resamples - start))[:, codes] for start in range(0, resamples, step)
    )
    drawn = None if count < 2 else _each_resample(first, second, weights)
    return _with_intervals(_coefficients(first, second), drawn, level, "one source dialogue: nothing to resample")


def correlate_groups(
    x: Sequence[float],
    y: Sequence[float],
    groups: Sequence[str],
    clusters: Sequence[str],
    *,
    names: tuple[str, str] = ("the metric", "the human score"),
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Correlation]:
    """The same over the means of groups (systems). The groups are fixed; within each, its clusters are resampled."""
    first, second = _paired(x, y, clusters)
    of_group, count = cluster_codes(groups)
    if count < LEAST_ROWS:
        few = Unscored(f"{count} {'system' if count == 1 else 'systems'}: a ranking needs three at least")
        return {name: Correlation(few, few) for name in COEFFICIENTS}
    means = [np.bincount(of_group, weights=values) / np.bincount(of_group) for values in (first, second)]
    reason = _no_coefficient(means[0], means[1], names, of="system")
    if reason is not None:
        return {name: Correlation(reason, reason) for name in COEFFICIENTS}
    resampled = list(_resampled_means(first, second, of_group, clusters, resamples, seed))
    top, bottom = (np.concatenate([parts[side] for parts in resampled]) for side in (0, 1))
    drawn = _row_by_row(top, bottom)
    return _with_intervals(_coefficients(means[0], means[1]), drawn, level, "")


def correlate_systems(
    x: Floats,
    y: Floats,
    clusters: Sequence[str],
    *,
    names: tuple[str, str],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Correlation]:
    """The same over the column means of `x` and `y` [rows, systems], where every system was scored on the same rows: the rows'
    clusters are resampled for all of them at once. The systems are fixed."""
    if x.shape != y.shape or x.ndim != 2 or len(x) != len(clusters):
        raise ValueError(f"not paired: {x.shape} and {y.shape} values, {len(clusters)} clusters")
    codes, count = cluster_codes(clusters)
    reason = Unscored("no row that all systems have") if not len(x) else None
    reason = reason or _no_coefficient(x.mean(axis=0), y.mean(axis=0), names, of="system")
    if reason is not None:
        return {name: Correlation(reason, reason) for name in COEFFICIENTS}
    means = [np.round(side.mean(axis=0), 12) for side in (x, y)]
    if count < 2:
        return _with_intervals(_coefficients(*means), None, level, "one source dialogue: nothing to resample")
    generator, step = np.random.default_rng(seed), max(1, _CELLS // count)
    both = np.zeros((count, 2 * x.shape[1]))
    np.add.at(both, codes, np.hstack([x, y]))
    sizes = np.bincount(codes, minlength=count).astype(np.float64)
    drawn = []
    for start in range(0, resamples, step):
        weights = resample_weights(generator, count, min(step, resamples - start))
        drawn.append(weights @ both / (weights @ sizes)[:, None])
    top, bottom = np.hsplit(np.concatenate(drawn), 2)
    return _with_intervals(_coefficients(*means), _row_by_row(top, bottom), level, "")


# ------------------------------------------------------------------------------------------------------- point estimates


def _paired(x: Sequence[float], y: Sequence[float], clusters: Sequence[str]) -> tuple[Floats, Floats]:
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or len(first) != len(clusters):
        raise ValueError(f"not paired: {first.shape} and {second.shape} values, {len(clusters)} clusters")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("paired rows must all have a value: leave out the rows that either side misses")
    return first, second


def _no_coefficient(first: Floats, second: Floats, names: tuple[str, str], of: str = "row") -> Unscored | None:
    if len(first) < LEAST_ROWS:
        return Unscored(f"{len(first)} scored {of}s: a correlation needs {LEAST_ROWS} at least")
    for values, name in ((first, names[0]), (second, names[1])):
        if _is_constant(values):
            return Unscored(f"{name} is the same for every {of}")
    return None


def _is_constant(values: Floats) -> bool:
    """Equal but for the rounding of a mean."""
    return float(np.ptp(values)) <= 1e-12 * max(1.0, float(np.abs(values).max()))


def _coefficients(first: Floats, second: Floats) -> dict[str, float]:
    from scipy import stats

    return {
        "spearman": float(stats.spearmanr(first, second).statistic),
        "pearson": float(stats.pearsonr(first, second).statistic),
        "kendall": float(stats.kendalltau(first, second, variant="b").statistic),
    }


def _with_intervals(values: dict[str, float], drawn: Any, level: float, why_none: str) -> dict[str, Correlation]:
    found = {}
    for name, value in values.items():
        interval: tuple[float, float] | Unscored = Unscored(why_none)
        undefined = 0.0
        if drawn is not None:
            there = drawn[name][np.isfinite(drawn[name])]
            undefined = 1.0 - len(there) / max(1, len(drawn[name]))
            interval = percentiles(there, level) if len(there) else Unscored("no resample has a coefficient")
        found[name] = Correlation(value, interval, undefined)
    return found


# ------------------------------------------------------------------------------------------------ resamples of single rows


def _each_resample(first: Floats, second: Floats, weights: Iterator[Floats]) -> dict[str, Floats]:
    """Coefficients of every resample, NaN where one side is constant. `weights` are [resamples, rows], a part at a time."""
    pairs, which = np.unique(np.column_stack([first, second]), axis=0, return_inverse=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[order], np.arange(len(pairs)))
    x, y = _Side(pairs[:, 0]), _Side(pairs[:, 1])
    parts = []
    for part in weights:
        # Rows with equal scores on both sides are one row with the sum of their weights.
        held = np.add.reduceat(part[:, order], starts, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(
                {
                    "spearman": _weighted_pearson(x.ranks(held), y.ranks(held), held),
                    "pearson": _weighted_pearson(x.values, y.values, held),
                    "kendall": _weighted_kendall(x, y, held),
                }
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in COEFFICIENTS}


class _Side:
    """One side's values on the distinct rows, and which of them are tied."""

    def __init__(self, values: Floats) -> None:
        self.values = values - values.mean()  # the mean changes no coefficient, but the rounding of its sums
        distinct, tie = np.unique(values, return_inverse=True)
        self.distinct, self.tie = len(distinct), tie.reshape(-1)
        self._order = np.argsort(self.tie, kind="stable")
        self._starts = np.searchsorted(self.tie[self._order], np.arange(self.distinct))

    def tied(self, weights: Floats) -> Floats:
        """[resamples, distinct values]: how many rows have each value."""
        summed: Floats = np.add.reduceat(weights[:, self._order], self._starts, axis=1)
        return summed

    def ranks(self, weights: Floats) -> Floats:
        """[resamples, rows]: the mean rank of each row among all that the weights repeat."""
        counts = self.tied(weights)
        middle = np.cumsum(counts, axis=1) - (counts - 1) / 2
        ranks: Floats = middle[:, self.tie] - weights.sum(axis=1, keepdims=True) / 2
        return ranks


def _weighted_pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1)
    mean_x, mean_y = (weights * x).sum(axis=1) / total, (weights * y).sum(axis=1) / total
    off_x, off_y = x - mean_x[:, None], y - mean_y[:, None]
    spread_x, spread_y = (weights * off_x**2).sum(axis=1), (weights * off_y**2).sum(axis=1)
    values: Floats = (weights * off_x * off_y).sum(axis=1) / np.sqrt(spread_x * spread_y)
    values[_no_spread(weights, x) | _no_spread(weights, y)] = np.nan
    return np.clip(values, -1.0, 1.0)


def _no_spread(weights: Floats, values: Floats) -> NDArray[np.bool_]:
    """Resamples in which all rows have one value."""
    shown = np.broadcast_to(values, weights.shape)
    high = np.where(weights > 0, shown, -np.inf).max(axis=1)
    low = np.where(weights > 0, shown, np.inf).min(axis=1)
    constant: NDArray[np.bool_] = high - low <= 1e-12 * np.maximum(1.0, np.abs(high))
    return constant


def _weighted_kendall(x: _Side, y: _Side, weights: Floats) -> Floats:
    """tau-b = (concordant - discordant) / sqrt((pairs - ties in x) (pairs - ties in y)) (Kendall 1945)."""
    if y.distinct > x.distinct:
        x, y = y, x
    difference = _by_level(x, y, weights) if y.distinct <= _LEVELS else _by_pair(x, y, weights)
    total = weights.sum(axis=1)
    pairs = total * (total - 1) / 2
    free_x, free_y = (pairs - (t * (t - 1) / 2).sum(axis=1) for t in (x.tied(weights), y.tied(weights)))
    values: Floats = np.where((free_x > 0) & (free_y > 0), difference / np.sqrt(free_x * free_y), np.nan)
    return values


def _by_level(x: _Side, y: _Side, weights: Floats) -> Floats:
    """Concordant minus discordant pairs, level of y by level: what has a smaller x, and whether its y is smaller or larger."""
    difference, lower = np.zeros(len(weights)), np.zeros((len(weights), x.distinct))
    every = _smaller(x.tied(weights))
    for level in range(y.distinct):
        here = x.tied(weights * (y.tie == level))
        smaller = _smaller(here)
        difference += (here * (2 * lower + smaller - every)).sum(axis=1)
        lower += smaller
    return difference


def _smaller(counts: Floats) -> Floats:
    """[resamples, values]: how many rows have a smaller value."""
    summed: Floats = np.cumsum(counts, axis=1) - counts
    return summed


def _by_pair(x: _Side, y: _Side, weights: Floats) -> Floats:
    """The same from the order of every two rows: for two sides with many values each."""
    difference = np.zeros(len(weights))
    for start in range(0, len(x.tie), _STEP):
        here = slice(start, start + _STEP)
        signs = np.sign(x.tie[:, None] - x.tie[None, here]) * np.sign(y.tie[:, None] - y.tie[None, here])
        difference += ((weights @ signs.astype(np.float64)) * weights[:, here]).sum(axis=1) / 2
    return difference


# ------------------------------------------------------------------------------------------------- resamples of group means


def _resampled_means(
    first: Floats, second: Floats, of_group: NDArray[np.int64], clusters: Sequence[str], resamples: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Parts of ([resamples, groups], [resamples, groups]): the groups' means, each group's clusters drawn with replacement."""
    groups = int(of_group.max()) + 1
    generator = np.random.default_rng(seed)
    rows = [np.flatnonzero(of_group == group) for group in range(groups)]
    codes = [cluster_codes([clusters[row] for row in held.tolist()]) for held in rows]
    step = max(1, _CELLS // len(first))
    for start in range(0, resamples, step):
        wanted = min(step, resamples - start)
        top, bottom = np.empty((wanted, groups)), np.empty((wanted, groups))
        for group, (held, (code, count)) in enumerate(zip(rows, codes, strict=True)):
            weights = resample_weights(generator, count, wanted)[:, code]
            total = weights.sum(axis=1)
            top[:, group], bottom[:, group] = weights @ first[held] / total, weights @ second[held] / total
        yield top, bottom


def _row_by_row(top: Floats, bottom: Floats) -> dict[str, Floats]:
    """Coefficients of each row's pairs [resamples, groups]; NaN where a side is constant."""
    from scipy import stats

    ones = np.ones_like(top)
    a, b = np.round(top, 12), np.round(bottom, 12)  # equal means must tie, whatever the order of a sum
    rank_a, rank_b = stats.rankdata(a, axis=1), stats.rankdata(b, axis=1)
    left, right = np.triu_indices(top.shape[1], k=1)
    signs_a, signs_b = np.sign(a[:, left] - a[:, right]), np.sign(b[:, left] - b[:, right])
    with np.errstate(invalid="ignore", divide="ignore"):
        untied = np.sqrt((signs_a != 0).sum(axis=1) * (signs_b != 0).sum(axis=1))
        return {
            "spearman": _weighted_pearson(rank_a, rank_b, ones),
            "pearson": _weighted_pearson(a, b, ones),
            "kendall": (signs_a * signs_b).sum(axis=1) / untied,
        }


SHORT = MappingProxyType({"spearman": "Spearman", "pearson": "Pearson", "kendall": "Kendall tau-b"})
