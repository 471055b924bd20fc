"""Matrices of scores: golden numbers by hand, scipy's coefficients, and what can't be said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.api import Unscored
from harness.errors import DataError
from harness.matrix import Scores, agreements, gather, transfers


def rows(values: list[float], *, source: str = "d") -> list[Mapping[str, Any]]:
    return [{"scenario": f"s{n}", "source": f"{source}{n}", "values": {"sr": value}} for n, value in enumerate(values)]


def scores(table: list[list[list[float]]]) -> Scores:
    """`table` [recommender][simulator][scenario]."""
    recs, sims = [f"r{n}" for n in range(len(table))], [f"u{n}" for n in range(len(table[0]))]
    held = {(r, s): rows(table[i][j]) for i, r in enumerate(recs) for j, s in enumerate(sims)}
    return gather("sr", recs, sims, held)


def test_only_scenarios_of_all_pairs_count_and_trials_are_averaged() -> None:
    first = rows([1.0, 0.0, 1.0])
    second = [*rows([0.0, 1.0]), {"scenario": "s1", "source": "d1", "values": {"sr": 0.0}}]
    made = gather("sr", ["a"], ["x", "y"], {("a", "x"): first, ("a", "y"): second})
    assert made.scenarios == ("s0", "s1")
    assert made.values.tolist() == [[[1.0, 0.0]], [[0.0, 0.5]]]


def test_runs_on_other_data_are_refused() -> None:
    with pytest.raises(DataError, match="s0"):
        gather("sr", ["a"], ["x", "y"], {("a", "x"): rows([1.0]), ("a", "y"): rows([1.0], source="e")})


def test_agreement_is_scipys_coefficient_of_the_means() -> None:
    draw = np.random.default_rng(3)
    table = draw.random((6, 2, 40)) + 0.3 * np.arange(6)[:, None, None] * np.array([1.0, 0.2])[None, :, None]
    (found,) = agreements(scores(table.tolist()), resamples=400)
    means = table.mean(axis=2)
    assert found.kendall.value == pytest.approx(stats.kendalltau(means[:, 0], means[:, 1]).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(means[:, 0], means[:, 1]).statistic)
    assert isinstance(found.kendall.ci, tuple)
    assert found.kendall.ci[0] <= found.kendall.value <= found.kendall.ci[1]


def test_scenarios_are_resampled_for_all_recommenders_at_once() -> None:
    """Their order never changes when each is worse than the next in every single scenario, however far scenarios differ."""
    hard = np.linspace(0, 100, 30)
    table = [[(hard + rec).tolist(), (2 * hard + rec).tolist()] for rec in range(4)]
    (found,) = agreements(scores(table), resamples=300)
    assert found.kendall.ci == (pytest.approx(1.0), pytest.approx(1.0))


def test_two_recommenders_have_no_rank_correlation() -> None:
    (found,) = agreements(scores([[[1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]]), resamples=50)
    assert isinstance(found.kendall.value, Unscored)
    assert isinstance(found.spearman.value, Unscored)


def test_the_transfer_gap_and_what_is_beyond_the_simulators_own_difference() -> None:
    # r0 was trained against u0: 0.75 there, 0.25 with u1 and 0.5 with u2. u0 is easier for the untrained too.
    table = [
        [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]],
        [[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
        [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
    ]
    (found,) = transfers(scores(table), {"r0": ["u0"], "r1": [], "r2": []}, resamples=200)
    assert (found.recommender, found.against, found.others) == ("r0", ("u0",), ("u1", "u2"))
    assert (found.on_trained, found.on_others) == (0.75, 0.375)
    assert found.gap.value == pytest.approx(0.375)
    # The untrained: r1 has 0.5 - 0.25, r2 has 0.25 - 0.25; their mean is 0.125.
    assert found.baselines == ("r1", "r2")
    assert found.beyond.value == pytest.approx(0.25)
    # Differences of r0 by scenario: 0.5, 0, 1, 0. Both signs of the two that differ: 2 of 4 patterns reach the sum.
    assert found.gap.p == pytest.approx(0.5)


def test_a_gap_needs_a_simulator_on_either_side_and_untrained_recommenders_to_go_beyond() -> None:
    table = [[[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 1.0]]]
    assert transfers(scores(table), {"r0": ["u0", "u1"], "r1": []}, resamples=50) == []
    (one, two) = transfers(scores(table), {"r0": ["u0"], "r1": ["u1"]}, resamples=50)
    assert isinstance(one.beyond.value, Unscored)
    assert two.gap.value == pytest.approx(-0.5)
