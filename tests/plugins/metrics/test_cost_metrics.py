from __future__ import annotations

import pytest
from played import dialogue, make, whole

from harness.api import TurnRecord, Usage


def paid(recommender: Usage | None = None, simulator: Usage | None = None) -> TurnRecord:
    return TurnRecord("t", ("a",), recommender_usage=recommender, simulator_usage=simulator)


RECORD = dialogue(
    paid(Usage(1, 100, 10, 0.5), Usage(2, 50, 5, 0.25)),
    paid(None, Usage(1, 25, 5)),
    paid(),
    seconds={"recommender": 2.0, "simulator": 1.5},
)


@pytest.mark.parametrize(
    ("name", "both", "recommender", "simulator"),
    [
        ("llm-calls", 4, 1, 3),
        ("prompt-tokens", 175, 100, 75),
        ("completion-tokens", 20, 10, 10),
        ("cost", 0.75, 0.5, 0.25),
        ("seconds", 3.5, 2.0, 1.5),
    ],
)
def test_sums_by_role(name, both, recommender, simulator):
    assert whole(make(name), RECORD) == both
    assert whole(make(name, role="recommender"), RECORD) == recommender
    assert whole(make(name, role="simulator"), RECORD) == simulator


def test_what_nobody_reported_is_not_free():
    silent = dialogue("a", "b", "c")
    assert [whole(make(name), silent) for name in ("llm-calls", "prompt-tokens", "cost", "seconds")] == [None] * 4
    unpriced = dialogue(paid(Usage(1, 100, 10)), "b", "c")
    assert whole(make("cost"), unpriced) is None
    assert whole(make("llm-calls"), unpriced) == 1
    assert whole(make("cost"), dialogue(paid(Usage(1, 100, 10, cache_hits=1)), "b", "c")) == 0.0


def test_turns_beyond_the_cap_are_not_paid_here():
    assert whole(make("llm-calls"), RECORD, max_turns=1) == 3
