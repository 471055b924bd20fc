"""Ranking metrics equal trec_eval's (through ir_measures) on the same order, to 1e-9."""

from __future__ import annotations

import random

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, Success, nDCG
from played import dialogue, make, per_turn, setup, view

from harness.api import TurnRecord, Unscored

CUTOFFS = (1, 5, 10, 20, 50)
MEASURES = {"ndcg": nDCG, "recall": R, "hr": Success}
NAMES = (*MEASURES, "mrr")
Scored = list[tuple[str, float]]


def evaluator(queries: dict[str, tuple[Scored, list[str]]]) -> dict[tuple[str, str, int], float]:
    """(query, metric name, k) -> value by trec_eval. A query is its scored documents and its relevant ones."""
    qrels = [ir_measures.Qrel(q, target, 1) for q, (_, targets) in queries.items() for target in targets]
    run = [ir_measures.ScoredDoc(q, item, score) for q, (scored, _) in queries.items() for item, score in scored]
    names = {measure @ k: (name, k) for name, measure in MEASURES.items() for k in CUTOFFS}
    found = {}
    for measured in ir_measures.iter_calc([*names, RR], qrels, run):
        if measured.measure == RR:
            # trec_eval has no RR@k (and the evaluator that has one breaks ties the other way): cut its RR at k.
            found.update({(measured.query_id, "mrr", k): measured.value * (measured.value * k > 1 - 1e-9) for k in CUTOFFS})
        else:
            found[(measured.query_id, *names[measured.measure])] = measured.value
    return found


def as_ranked(scored: Scored) -> tuple[str, ...]:
    """The order in which trec_eval reads scored documents: equal scores by descending id."""
    return tuple(item for item, _ in sorted(scored, key=lambda pair: (pair[1], pair[0]), reverse=True))


def ours(items: tuple[str, ...], targets: list[str]) -> dict[tuple[str, int], float]:
    turn = view(dialogue(TurnRecord("text", items), targets=targets, max_turns=1), max_turns=1).turns[0]
    values = {}
    for name in NAMES:
        for k in CUTOFFS:
            metric = make(name, k=k)
            metric.prepare(setup(k=50, max_turns=1))
            values[name, k] = metric.score(turn)
    return values


def random_query(generator: random.Random) -> tuple[Scored, list[str]]:
    """A list with tied scores, often short, sometimes empty, and one to eight targets, in the list or not."""
    pool = [f"i{n}" for n in range(generator.choice((5, 30, 120)))]
    length = min(len(pool), generator.choice((0, 1, 2, 5, 10, 37, 50)))
    scored = [(item, float(generator.randint(0, 6))) for item in generator.sample(pool, length)]
    return scored, generator.sample(pool, min(len(pool), generator.randint(1, 8)))


def test_1500_random_rankings_equal_the_evaluator():
    generator = random.Random(20)
    queries = {f"q{n}": random_query(generator) for n in range(1500)}
    assert sum(not scored for scored, _ in queries.values()) > 50
    expected = evaluator(queries)
    assert len(expected) == 1500 * len(NAMES) * len(CUTOFFS)
    for query, (scored, targets) in queries.items():
        for (name, k), value in ours(as_ranked(scored), targets).items():
            assert value == pytest.approx(expected[query, name, k], abs=1e-9), (query, name, k)


def test_reciprocal_rank_at_k_equals_an_evaluator_that_has_it():
    generator = random.Random(21)
    queries = {}
    for n in range(300):
        scored, targets = random_query(generator)
        queries[f"q{n}"] = ([(item, -float(place)) for place, (item, _) in enumerate(scored)], targets)
    qrels = [ir_measures.Qrel(q, target, 1) for q, (_, targets) in queries.items() for target in targets]
    run = [ir_measures.ScoredDoc(q, item, score) for q, (scored, _) in queries.items() for item, score in scored]
    for measured in ir_measures.iter_calc([RR @ k for k in CUTOFFS], qrels, run):
        scored, targets = queries[measured.query_id]
        value = ours(as_ranked(scored), targets)["mrr", measured.measure["cutoff"]]
        assert value == pytest.approx(measured.value, abs=1e-9)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), max_size=50, unique_by=lambda pair: pair[0]),
    st.lists(st.integers(0, 60), min_size=1, max_size=10, unique=True),
)
def test_any_ranking_equals_the_evaluator(scores, relevant):
    scored = [(f"i{item}", float(score)) for item, score in scores]
    targets = [f"i{item}" for item in relevant]
    expected = evaluator({"q": (scored, targets)})
    for (name, k), value in ours(as_ranked(scored), targets).items():
        assert value == pytest.approx(expected["q", name, k], abs=1e-9)


def test_by_hand():
    # Targets at places 2 and 3 of a list of 5; a third target is missing.
    record = dialogue("xabyz", targets=("a", "b", "q"), max_turns=1)
    at = {(name, k): per_turn(make(name, k=k), record, max_turns=1)[0] for name in NAMES for k in (1, 3)}
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert at["ndcg", 3] == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / ideal)
    assert at["recall", 3] == pytest.approx(2 / 3)
    assert at["mrr", 3] == 0.5
    assert at["hr", 3] == 1.0
    assert [at[name, 1] for name in NAMES] == [0.0] * 4


def test_repeated_and_unknown_ids_keep_their_places():
    assert per_turn(make("mrr", k=5), dialogue("??a", max_turns=1), max_turns=1) == [pytest.approx(1 / 3)]
    assert per_turn(make("mrr", k=5), dialogue("bbbaa", max_turns=1), max_turns=1) == [pytest.approx(1 / 4)]
    assert per_turn(make("ndcg", k=5), dialogue("aaaaa", max_turns=1), max_turns=1) == [1.0]


def test_every_cut_off_is_its_own_number():
    record = dialogue("xyza", max_turns=1)
    assert [per_turn(make("hr", k=k), record, max_turns=1)[0] for k in (1, 3, 4, 5)] == [0.0, 0.0, 1.0, 1.0]


def test_a_cut_off_beyond_the_list_length_has_no_value():
    metric = make("ndcg", k=50)
    metric.prepare(setup(k=10))
    reason = metric.score(view(dialogue("abc", "abc", "abc")).turns[0])
    assert isinstance(reason, Unscored)
    assert "50" in reason.reason
    assert "10" in reason.reason


def test_many_lists_at_once_equal_one_at_a_time():
    generator = np.random.default_rng(3)
    ranks = generator.integers(0, 12, (200, 4))
    targets = generator.integers(1, 5, 200)
    ranks[np.arange(4)[None, :] >= targets[:, None]] = 0
    for name in NAMES:
        metric = make(name, k=5)
        metric.prepare(setup(k=10))
        together = metric.score_ranks(ranks, targets)
        alone = [metric.score_ranks(ranks[n : n + 1, : targets[n]], targets[n : n + 1])[0] for n in range(200)]
        assert together == pytest.approx(alone, abs=1e-12)
