from __future__ import annotations

import msgspec
import pytest
from played import CATALOGUE, dialogue, make, per_turn, view, whole

from harness.api import MetricSetup, TurnRecord


@pytest.mark.parametrize(
    ("turns", "success", "sr", "at", "gain"),
    [
        (("xy", "yz", "za"), [0.0, 0.0, 1.0], 1.0, 3.0, 1.0),
        (("xa", "yz", "zz"), [1.0, 1.0, 1.0], 1.0, 1.0, 0.0),
        (("xy", "yz", "zx"), [0.0, 0.0, 0.0], 0.0, 4.0, 0.0),
        (("xy", "ab"), [0.0, 1.0, 1.0], 1.0, 2.0, 1.0),
        (("", "", "a"), [0.0, 0.0, 1.0], 1.0, 3.0, 1.0),
    ],
)
def test_success_by_turn_and_what_is_read_from_it(turns, success, sr, at, gain):
    record = dialogue(*turns)
    assert per_turn(make("success"), record) == success
    assert whole(make("sr"), record) == sr
    assert whole(make("at"), record) == at
    assert whole(make("interaction-gain"), record) == gain


def test_success_is_read_from_the_first_k_items():
    record = dialogue("xya", "xay", "xyz")
    assert per_turn(make("success", k=2), record) == [0.0, 1.0, 1.0]
    assert whole(make("at", k=1), record) == 4.0
    assert whole(make("sr", k=50), record) is None, "the run shows 5 items, nobody knows what stood at place 50"


def test_an_accept_counts_nothing():
    fooled = TurnRecord("accept this!", ("x",), user_text="I accept", action="accept", accepted=("x",))
    record = dialogue(fooled)
    assert whole(make("sr"), record) == 0.0
    assert whole(make("at"), record) == 4.0


def test_a_fault_keeps_what_was_shown_before_and_its_own_list_is_a_miss():
    assert whole(make("sr"), dialogue("xa", fault=2)) == 1.0
    assert whole(make("at"), dialogue("xy", "a?", fault=2)) == 4.0
    assert per_turn(make("success"), dialogue(fault=1)) == [0.0, 0.0, 0.0]


def test_turns_beyond_the_cap_do_not_count():
    record = msgspec.structs.replace(dialogue("xy", "xy", "xa"), stop="max_turns")
    assert whole(make("sr"), record, max_turns=2) == 0.0
    assert whole(make("at"), record, max_turns=2) == 3.0


def test_the_runs_own_rule_of_success_is_the_default():
    metric = make("sr")
    metric.prepare(MetricSetup(CATALOGUE, {}, 5, 3, success_k=2))
    assert metric.score(view(dialogue("xya", "xya", "xya"))) == 0.0
    assert metric.score(view(dialogue("xya", "xya", "xay"))) == 1.0
