from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from played import CATALOGUE, dialogue, make, per_turn, whole

from harness.api import Catalogue, Item, TurnRecord


def test_repetition_counts_items_of_earlier_turns_only():
    assert per_turn(make("repetition"), dialogue("ab", "bc", "abcd")) == [None, 0.5, 0.75]
    assert per_turn(make("repetition"), dialogue("aa", "", "b")) == [None, None, 0.0]
    assert per_turn(make("repetition"), dialogue("ab", "cd", stop="quit")) == [None, 0.0, None], "no turn 3 was played"


def test_out_of_catalogue_rate():
    assert per_turn(make("ooc"), dialogue("ab?!", "ab", "")) == [0.5, 0.0, None]
    assert per_turn(make("ooc"), dialogue("ab", "??", fault=2)) == [0.0, 1.0, None], "garbage that ended the dialogue counts"


def test_validity():
    long = TurnRecord("text", ("a", "b"), dropped=3)
    assert per_turn(make("validity"), dialogue("ab", "aa", "a?")) == [1.0, 0.0, 0.0]
    assert per_turn(make("validity"), dialogue("", long, "b")) == [1.0, 0.0, 1.0], "a question is valid, a list beyond K is not"
    assert per_turn(make("validity"), dialogue("ab", fault=2)) == [1.0, 0.0, None], (
        "a fault is not valid, later turns do not exist"
    )


def test_novelty_is_smoothed_self_information():
    # 5 items; mentions a: 6, c: 1. p(a) = 7/12, p(c) = 2/12, p(b) = 1/12.
    values = per_turn(make("novelty"), dialogue("a", "ac", "b?"), popularity={"a": 6, "c": 1, "gone": 40})
    assert values == pytest.approx([-math.log2(7 / 12), -(math.log2(7 / 12) + math.log2(2 / 12)) / 2, -math.log2(1 / 12)])
    assert per_turn(make("novelty"), dialogue("", "??", "abcde"))[:2] == [None, None]
    assert per_turn(make("novelty"), dialogue("", "??", "abcde"))[2] == pytest.approx(math.log2(5))


def test_diversity_by_hand():
    # a: horror, Lee; b: horror, comedy, Lee; c: western; d: comedy, Quill; e: nothing known.
    # J(a,b) = 2/3, J(a,c) = 0, J(b,c) = 0, J(b,d) = 1/4.
    values = per_turn(make("diversity"), dialogue("ab", "abc", "bde"))
    assert values == pytest.approx([1 / 3, 1 - (2 / 3) / 3, 3 / 4])
    assert per_turn(make("diversity"), dialogue("ae", "", "aa")) == [None, None, None]


@given(st.lists(st.sets(st.sampled_from("uvwxyz"), max_size=5), min_size=2, max_size=12))
def test_diversity_equals_the_mean_over_pairs(sets):
    items = [Item(f"i{n}", "t", attributes={"genre": tuple(sorted(s))} if s else {}) for n, s in enumerate(sets)]
    catalogue = Catalogue(items)
    record = dialogue(TurnRecord("text", catalogue.ids), max_turns=1)
    [value] = per_turn(make("diversity"), record, catalogue=catalogue, max_turns=1)
    pairs = [1 - len(a & b) / len(a | b) for a, b in itertools.combinations([s for s in sets if s], 2)]
    assert (value is None) == (not pairs)
    if pairs:
        assert value == pytest.approx(sum(pairs) / len(pairs), abs=1e-9)


def test_coverage_and_gini_look_at_the_whole_run():
    first, second = dialogue("ab", "ab", "a?", name="s1"), dialogue("a", stop="quit", name="s2")
    assert whole(make("coverage"), first, second) == pytest.approx(2 / 5)
    # Counts a 4, b 2, three items 0: mean absolute difference over all ordered pairs / (2 * mean).
    counts = [4, 2, 0, 0, 0]
    expected = sum(abs(x - y) for x in counts for y in counts) / (2 * len(counts) * sum(counts))
    assert whole(make("gini"), first, second) == pytest.approx(expected)


def test_gini_ends():
    assert whole(make("gini"), dialogue("abcde", stop="quit")) == pytest.approx(0.0)
    assert whole(make("gini"), dialogue("a", stop="quit")) == pytest.approx(1 - 1 / len(CATALOGUE))
    assert whole(make("gini"), dialogue("", "", "")) is None
    assert whole(make("coverage"), dialogue("", "", "")) == 0.0


def test_a_carried_list_is_shown_once():
    once = dialogue("ab", stop="accepted")
    assert whole(make("gini"), once) == whole(make("gini"), msgspec.structs.replace(once, stop="quit"))
    assert per_turn(make("diversity"), once)[1:] == [None, None]
