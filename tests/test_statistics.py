"""Intervals and tests against scipy, against exact enumeration, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from harness.api import Unscored
from harness.statistics import (
    clustered_bootstrap,
    cohen_dz,
    holm,
    paired_bootstrap,
    paired_permutation,
    pass_at_all,
    ratio_bootstrap,
    win_tie_loss,
)


def alone(count: int) -> list[str]:
    """Each row is its own cluster."""
    return [f"d{n}" for n in range(count)]


def test_interval_equals_scipys_percentile_bootstrap_on_unclustered_rows():
    rows = np.random.default_rng(3).gamma(2.0, 1.0, 80)
    ours = clustered_bootstrap(rows, alone(80), seed=5)[0]
    theirs = scipy.stats.bootstrap((rows,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(9))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.value == pytest.approx(rows.mean(), abs=1e-12)
    assert ours.ci == pytest.approx(tuple(theirs.confidence_interval), abs=0.03 * width)
    assert (ours.n, ours.clusters) == (80, 80)


def test_two_clusters_have_three_resamples_that_can_be_counted_by_hand():
    # Cluster a: one row of 1; cluster b: three rows of 0. Resamples: aa (1/4) -> 1, ab (1/2) -> 1/4, bb (1/4) -> 0.
    estimate = clustered_bootstrap([1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"], level=0.95)[0]
    assert estimate.value == 0.25
    assert estimate.ci == (0.0, 1.0)
    assert clustered_bootstrap([1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"], level=0.4)[0].ci == (0.25, 0.25)


def test_repeating_every_row_within_its_cluster_adds_no_certainty():
    rows = np.random.default_rng(1).random(40)
    once = clustered_bootstrap(rows, alone(40), seed=2)[0]
    often = clustered_bootstrap(np.repeat(rows, 25), list(np.repeat(alone(40), 25)), seed=2)[0]
    assert often.ci == pytest.approx(once.ci, abs=1e-12)
    assert (often.n, often.clusters) == (1000, 40)


@pytest.mark.parametrize("kind", ["solved or not", "skewed"])
def test_95_percent_intervals_cover_in_95_percent_of_2000_clustered_data_sets(kind):
    """Source dialogues of one to six rows that hang together. A column is a data set: all see the same 2,000 resamples."""
    generator = np.random.default_rng(17)
    sizes = generator.integers(1, 7, 200)
    codes = np.repeat(np.arange(200), sizes)
    if kind == "solved or not":
        chance = generator.beta(1.0, 1.5, (200, 2000))  # of a whole dialogue; mean 0.4
        truth, rows = 0.4, (generator.random((len(codes), 2000)) < chance[codes]).astype(float)
    else:
        truth, rows = 2.0, generator.gamma(2.0, 0.5, (200, 2000))[codes] + generator.exponential(1.0, (len(codes), 2000))

    def covered(clusters: list[str]) -> float:
        estimates = clustered_bootstrap(rows, clusters, resamples=2000, seed=3)
        return float(np.mean([low <= truth <= high for low, high in (estimate.ci for estimate in estimates)]))

    assert covered([f"d{code}" for code in codes]) == pytest.approx(0.95, abs=0.015)
    assert covered(alone(len(codes))) < 0.90, "what goes wrong without clusters"


def test_no_interval_is_invented_where_nothing_can_be_resampled():
    one = clustered_bootstrap([0.0, 1.0], ["a", "a"])[0]
    assert one.value == 0.5
    assert isinstance(one.ci, Unscored)
    none = clustered_bootstrap(np.empty((0, 2)), [])
    assert [isinstance(e.value, Unscored) and isinstance(e.ci, Unscored) and e.n == 0 for e in none] == [True, True]
    empty_column = clustered_bootstrap([[1.0, np.nan], [0.0, np.nan]], ["a", "b"])
    assert empty_column[0].value == 0.5
    assert isinstance(empty_column[1].value, Unscored)


def test_missing_values_leave_only_their_own_column():
    generator = np.random.default_rng(4)
    full, holes = generator.random(50), generator.random(50)
    holes[::7] = np.nan
    there = np.isfinite(holes)
    both = clustered_bootstrap(np.stack([full, holes], axis=1), alone(50), seed=8)
    assert both[0] == clustered_bootstrap(full, alone(50), seed=8)[0]
    assert both[1].value == pytest.approx(holes[there].mean(), abs=1e-12)
    assert both[1].n == there.sum()
    apart = clustered_bootstrap(holes[there], list(np.array(alone(50))[there]), seed=8)[0]
    assert both[1].ci == pytest.approx(apart.ci, abs=0.03)


def test_an_interval_of_a_few_scored_clusters_among_many_stays_within_their_values():
    rows = np.full(200, np.nan)
    rows[:3] = [0.2, 0.4, 0.9]
    estimate = clustered_bootstrap(rows, alone(200))[0]
    assert (estimate.n, estimate.clusters) == (3, 3)
    assert 0.2 <= estimate.ci[0] <= 0.5 <= estimate.ci[1] <= 0.9


def test_a_ratio_weights_its_rows():
    sums, counts = np.array([[3.0], [0.0]]), np.array([[3.0], [1.0]])
    assert ratio_bootstrap(sums, counts, ["a", "b"])[0].value == 0.75
    with pytest.raises(ValueError, match="not the same rows"):
        ratio_bootstrap(sums, counts, ["a"])


def test_seed_decides_and_order_does_not():
    rows = np.random.default_rng(6).random(120)
    clusters = [f"d{n // 3}" for n in range(120)]
    first = clustered_bootstrap(rows, clusters, seed=1)[0]
    assert clustered_bootstrap(rows, clusters, seed=1)[0] == first
    assert clustered_bootstrap(rows, clusters, seed=2)[0].ci != first.ci
    order = np.random.default_rng(0).permutation(120)
    shuffled = clustered_bootstrap(rows[order], [clusters[n] for n in order], seed=1)[0]
    assert shuffled.ci == pytest.approx(first.ci, abs=1e-12)


def test_many_clusters_are_resampled_in_pieces_with_the_same_meaning(monkeypatch):
    rows = np.random.default_rng(6).random(60)
    whole = clustered_bootstrap(rows, alone(60), seed=1)[0]
    monkeypatch.setattr("harness.statistics._CELLS", 60 * 7)
    pieces = clustered_bootstrap(rows, alone(60), seed=1)[0]
    assert pieces.ci == pytest.approx(whole.ci, abs=0.01)


def test_exact_permutation_equals_scipy():
    generator = np.random.default_rng(2)
    for size in (2, 5, 9):
        a, b = generator.integers(0, 3, size) / 2, generator.integers(0, 3, size) / 2
        ours = paired_permutation(a, b, alone(size))
        theirs = scipy.stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
        )
        assert ours.exact
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_permutation_of_clusters_equals_scipys_on_their_sums():
    generator = np.random.default_rng(8)
    for _ in range(5):
        clusters = [f"d{n}" for n in generator.integers(0, 8, 30)]
        a, b = generator.integers(0, 4, 30) / 4, generator.integers(0, 4, 30) / 4
        ids = sorted(set(clusters))
        sums_a, sums_b = ([sum(v for v, c in zip(side, clusters, strict=True) if c == one) for one in ids] for side in (a, b))
        theirs = scipy.stats.permutation_test(
            (np.array(sums_a), np.array(sums_b)),
            lambda x, y, axis: np.sum(x - y, axis=axis),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
        )
        ours = paired_permutation(a, b, clusters)
        assert ours.exact
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_random_permutation_agrees_with_scipy():
    generator = np.random.default_rng(7)
    a, b = generator.random(60), generator.random(60) + 0.09
    ours = paired_permutation(a, b, alone(60), permutations=40_000, seed=3)
    theirs = scipy.stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=40_000,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    assert not ours.exact
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.01)


def test_signs_are_flipped_by_whole_clusters():
    a = np.array([1.0, 1.0, 0.5, 0.0, 0.25, 0.75])
    b = np.array([0.0, 0.5, 0.5, 1.0, 0.0, 0.0])
    clusters = ["x", "x", "y", "y", "z", "z"]
    sums = [1.5, -1.0, 1.0]
    patterns = [abs(sum(s * d for s, d in zip(signs, sums, strict=True))) for signs in itertools.product((1, -1), repeat=3)]
    expected = sum(p >= 1.5 for p in patterns) / 8
    assert paired_permutation(a, b, clusters).p == expected


def test_p_is_never_zero_and_one_for_equal_runs():
    a = np.ones(40)
    assert paired_permutation(a, np.zeros(40), alone(40), permutations=99).p == 1 / 100
    assert paired_permutation(a, a, alone(40)).p == 1.0
    assert isinstance(paired_permutation([], [], []).p, Unscored)


def test_one_cluster_cannot_be_significant():
    assert paired_permutation([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], ["a", "a", "a"]).p == 1.0


def test_p_is_uniform_when_nothing_differs():
    generator = np.random.default_rng(5)
    clusters = [f"d{n // 4}" for n in range(160)]
    below = 0
    for run in range(200):
        shared = np.repeat(generator.normal(size=40), 4)
        p = paired_permutation(shared, generator.normal(size=160) * 0.2, clusters, permutations=400, seed=run).p
        below += p <= 0.05
    assert below <= 20, "about 10 of 200 tests of nothing should fall below 0.05"


def test_paired_bootstrap_is_the_bootstrap_of_the_differences():
    generator = np.random.default_rng(12)
    a, b = generator.random(30), generator.random(30)
    assert paired_bootstrap(a, b, alone(30), seed=4) == clustered_bootstrap(a - b, alone(30), seed=4)[0]


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([1.0, np.nan], [0.0, 0.0])])
def test_unpaired_rows_are_refused(a, b):
    with pytest.raises(ValueError, match="pair"):
        paired_permutation(a, b, ["x", "y"])


def test_effect_size_by_hand():
    # Differences 1, 2, 3: mean 2, sd 1.
    assert cohen_dz([1, 2, 3], [0, 0, 0]) == pytest.approx(2.0)
    assert isinstance(cohen_dz([1, 1], [0, 0]), Unscored)
    assert isinstance(cohen_dz([1], [0]), Unscored)


def test_wins_follow_the_metrics_direction():
    a, b = [1.0, 0.1 + 0.2, 0.0, 0.5], [0.0, 0.3, 1.0, 0.4]
    assert win_tie_loss(a, b) == (2, 1, 1)
    assert win_tie_loss(a, b, higher_is_better=False) == (1, 1, 2)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, made monotone: .02 .03 .06 .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_the_closed_test_of_bonferroni():
    """Rejected is what Bonferroni rejects in every set of hypotheses that it is in (Marcus, Peritz and Gabriel 1976)."""
    generator = np.random.default_rng(9)
    for size in (1, 2, 5, 8):
        p = generator.beta(0.3, 2.0, size)
        p[-1] = p[0]
        sets = [s for count in range(1, size + 1) for s in itertools.combinations(range(size), count)]
        closed = [max(min(1.0, len(s) * min(p[n] for n in s)) for s in sets if one in s) for one in range(size)]
        assert holm(p.tolist()) == pytest.approx(closed, abs=1e-12)


def test_holm_equals_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(4).beta(0.3, 2.0, 40)
    assert holm(p.tolist()) == pytest.approx(multitest.multipletests(p, method="holm")[1].tolist(), abs=1e-12)


def test_pass_k_is_the_mean_over_all_choices_of_k_trials():
    trials = 5
    for won in range(trials + 1):
        outcomes = [True] * won + [False] * (trials - won)
        for k in range(1, trials + 1):
            drawn = list(itertools.combinations(outcomes, k))
            assert pass_at_all([won], trials)[0, k - 1] == pytest.approx(sum(map(all, drawn)) / len(drawn), abs=1e-12)
