"""Coefficients against scipy, resamples against rows that are really repeated, and the cases that have no coefficient."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Unscored
from harness.correlation import COEFFICIENTS, correlate, correlate_groups
from harness.statistics import percentiles

HAND_X = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
HAND_Y = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0]
# By hand: sum d^2 = 6, so rho = 1 - 6*6/(6*35) = 29/35; three of fifteen pairs are discordant, so tau = (12-3)/15.
HAND = {"spearman": 29 / 35, "pearson": 29 / 35, "kendall": 9 / 15}


def alone(count: int) -> list[str]:
    return [f"d{n}" for n in range(count)]


def scipys(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "spearman": scipy.stats.spearmanr(x, y).statistic,
            "pearson": scipy.stats.pearsonr(x, y).statistic if len(x) > 1 else np.nan,
            "kendall": scipy.stats.kendalltau(x, y).statistic,
        }


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_coefficients_by_hand(name: str) -> None:
    found = correlate(HAND_X, HAND_Y, alone(6), resamples=100)[name]
    assert found.value == pytest.approx(HAND[name])


def test_ties_count_as_scipy_counts_them() -> None:
    x, y = [1, 1, 2, 2, 3, 3, 3], [0, 1, 1, 1, 2, 0, 2]
    found = correlate(x, y, alone(7), resamples=100)
    for name, value in scipys(np.array(x), np.array(y)).items():
        assert found[name].value == pytest.approx(value)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 1.0), (-1.0, -1.0)])
def test_a_perfect_judge_has_one_a_reversed_one_minus_one_and_no_doubt(sign: float, expected: float) -> None:
    human = [0.0, 1.0, 2.0, 4.0, 1.0, 3.0, 0.0, 2.0]
    found = correlate([sign * h for h in human], human, alone(8), resamples=500)
    for name in COEFFICIENTS:
        assert found[name].value == pytest.approx(expected)
        assert found[name].ci == pytest.approx((expected, expected))


def test_a_constant_side_has_no_coefficient_and_says_which() -> None:
    found = correlate([3.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], alone(5), names=("my-judge", "the human score x"))
    assert all(found[name].value == Unscored("my-judge is the same for every row") for name in COEFFICIENTS)
    found = correlate([1.0, 2.0, 3.0], [0.1 + 0.2, 0.3, 0.3], alone(3), names=("my-judge", "the human score x"))
    assert found["pearson"].value == Unscored("the human score x is the same for every row"), "rounding is no difference"


def test_two_rows_are_too_few() -> None:
    found = correlate([1.0, 2.0], [1.0, 2.0], alone(2))
    assert found["spearman"].value == Unscored("2 scored rows: a correlation needs 3 at least")


def test_one_cluster_has_a_value_and_no_interval() -> None:
    found = correlate(HAND_X, HAND_Y, ["d"] * 6)["kendall"]
    assert found.value == pytest.approx(0.6)
    assert found.ci == Unscored("one source dialogue: nothing to resample")


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="must all have a value"):
        correlate([1.0, float("nan"), 2.0], [1.0, 2.0, 3.0], alone(3))


scores = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 4)).map(lambda t: (t[0] / 3, float(t[1]), t[2])),
    min_size=3,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(scores, st.integers(0, 2**31))
def test_intervals_are_those_of_rows_that_are_really_repeated(rows: list[tuple[float, float, int]], seed: int) -> None:
    """An independent bootstrap: the same draws of clusters, each resample written out and given to scipy."""
    x, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    clusters = [f"c{r[2]}" for r in rows]
    found = correlate(x.tolist(), y.tolist(), clusters, resamples=40, seed=seed)
    if isinstance(found["pearson"].value, Unscored) or len(set(clusters)) < 2:
        return
    names = sorted(set(clusters))
    members = [[n for n, c in enumerate(clusters) if c == name] for name in names]
    draws = np.random.default_rng(seed).integers(len(names), size=(40, len(names)), dtype=np.int64)
    repeated = [np.concatenate([members[c] for c in draw]) for draw in draws]
    by_hand = [scipys(x[rows], y[rows]) for rows in repeated]
    for name in COEFFICIENTS:
        values = np.array([each[name] for each in by_hand])
        there = values[np.isfinite(values)]
        assert found[name].undefined == pytest.approx(1 - len(there) / 40)
        if len(there):
            assert found[name].ci == pytest.approx(percentiles(there), abs=1e-9)


def test_many_values_on_both_sides_give_the_same_as_few() -> None:
    """Kendall's sums take another way where both sides have many values."""
    generator = np.random.default_rng(5)
    x, y = generator.random(120), generator.random(120)
    found = correlate(x.tolist(), y.tolist(), alone(120), resamples=30, seed=9)["kendall"]
    draws = np.random.default_rng(9).integers(120, size=(30, 120), dtype=np.int64)
    order = sorted(range(120), key=lambda n: f"d{n}")  # clusters are drawn in sorted order
    rows = [np.array([order[c] for c in draw]) for draw in draws]
    assert found.ci == pytest.approx(percentiles(np.array([scipy.stats.kendalltau(x[r], y[r]).statistic for r in rows])))


def test_systems_are_ranked_by_their_means() -> None:
    systems = ["a", "a", "b", "b", "c", "c", "c"]
    human = [4.0, 2.0, 2.0, 1.0, 0.0, 0.0, 1.0]  # means 3, 1.5, 1/3
    metric = [0.0, 10.0, 1.0, 2.0, 3.0, 3.0, 3.0]  # means 5, 1.5, 3: b and c are swapped
    found = correlate_groups(metric, human, systems, alone(7), resamples=200)
    assert found["kendall"].value == pytest.approx(1 / 3)
    assert found["spearman"].value == pytest.approx(0.5)
    assert found["pearson"].value == pytest.approx(scipy.stats.pearsonr([5, 1.5, 3], [3, 1.5, 1 / 3]).statistic)


def test_systems_stay_when_dialogues_are_drawn() -> None:
    """Each system has one dialogue: nothing can change, so the interval has no width."""
    found = correlate_groups([1.0, 2.0, 4.0], [1.0, 3.0, 2.0], ["a", "b", "c"], alone(3), resamples=50)
    assert found["spearman"].ci == pytest.approx((0.5, 0.5))


def test_two_systems_are_no_ranking() -> None:
    found = correlate_groups([1.0, 2.0, 4.0], [1.0, 3.0, 2.0], ["a", "b", "b"], alone(3))
    assert found["kendall"].value == Unscored("2 systems: a ranking needs three at least")
