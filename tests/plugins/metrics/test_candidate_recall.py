"""Candidates of a retriever: what is recorded of them, and candidate-recall@k by hand."""

from __future__ import annotations

import msgspec
import pytest

from harness.api import AttemptRecord, Catalogue, DialogueRecord, Item, Recommendation, TurnRecord, Unscored
from harness.checks import check_recommendation
from harness.errors import ComponentFault
from harness.presets import candidate_metrics
from harness.views import dialogue_view
from harness_plugins.metrics.candidates import CandidateRecall, Options

FILMS = Catalogue(Item(f"m{n}", f"Film {n}") for n in range(150))


def recorded(candidates: object) -> tuple[str, ...] | None:
    given = Recommendation(("m1",), "this?", candidates=candidates)  # type: ignore[arg-type]
    return check_recommendation(given, FILMS, 10, 1000).recommendation.candidates


def test_known_ids_are_recorded_once_and_at_most_a_hundred() -> None:
    assert recorded(None) is None
    assert recorded(()) == ()
    assert recorded(["m3", "nobody", "m1", "m3"]) == ("m3", "m1")
    assert recorded([f"m{n}" for n in range(150)]) == tuple(f"m{n}" for n in range(100))


@pytest.mark.parametrize("garbage", ["m1", 7, [7], [""], {"m1": 1}])
def test_garbage_is_the_recommenders_fault(garbage: object) -> None:
    with pytest.raises(ComponentFault) as fault:
        recorded(garbage)
    assert fault.value.kind == "malformed"


def test_a_record_without_candidates_keeps_its_form() -> None:
    assert msgspec.json.encode(TurnRecord("hello", ("m1",))) == b'{"text":"hello","items":["m1"]}'


def scores(k: int, *turns: tuple[str, ...] | None, stop: str = "max_turns", turns_in_all: int = 0) -> list[object]:
    faults = (AttemptRecord("recommender", "malformed", "?", turn=len(turns) + 1),) if stop == "recommender_fault" else ()
    played = tuple(TurnRecord("t", ("m0",), candidates=given) for given in turns)
    record = DialogueRecord("s", "d", 0, stop, ("m1", "m2"), played, faults)  # type: ignore[arg-type]
    metric = CandidateRecall(Options(k=k))
    return [metric.score(view) for view in dialogue_view(record, None, turns_in_all or len(turns)).turns]


def test_recall_of_each_turns_candidates() -> None:
    assert scores(2, ("m1", "m5", "m2"), ("m2", "m1"), ("m5", "m6")) == [0.5, 1.0, 0.0]
    assert scores(3, ("m1", "m5", "m2")) == [1.0]


def test_after_the_end_the_last_candidates_count_and_a_fault_is_a_miss() -> None:
    assert scores(1, ("m1",), stop="accepted", turns_in_all=3) == [0.5, 0.5, 0.5]
    assert scores(1, ("m1",), stop="recommender_fault", turns_in_all=3) == [0.5, 0.0, 0.0]


def test_what_was_not_retrieved_is_unscored_with_a_reason() -> None:
    assert scores(1, None) == [Unscored("the recommender records no candidates")]
    assert scores(5, ("m1", "m2")) == [Unscored("the cut-off 5 is beyond the 2 candidates of this turn")]


def test_cut_offs_of_a_run_go_as_far_as_its_candidates() -> None:
    assert candidate_metrics(0) == []
    assert candidate_metrics(50) == ["candidate-recall@10", "candidate-recall@20", "candidate-recall@50"]
