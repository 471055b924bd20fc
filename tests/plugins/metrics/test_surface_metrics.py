"""Counts over texts, by hand."""

from __future__ import annotations

import pytest
from played import dialogue, make, per_turn, whole

from harness.api import TurnRecord

TALK = dialogue(
    TurnRecord("It's a good film, a good one.", user_text="Why? Tell me."),
    TurnRecord("", user_text="Hello?"),
    stop="quit",
)


def test_turns_are_those_that_were_played() -> None:
    assert whole(make("turns"), TALK) == 2
    assert whole(make("turns"), dialogue("ab", fault=2)) == 1
    assert whole(make("turns"), dialogue(fault=1)) == 0


def test_words_of_both_sides_turn_by_turn() -> None:
    assert per_turn(make("reply-words"), TALK) == [7, 0, None]
    assert per_turn(make("seeker-words"), TALK) == [3, 1, None]
    assert per_turn(make("seeker-words"), dialogue("ab")) == [None, None, None], "who does not answer has no words"


def test_distinct_pairs_of_the_recommender_within_a_dialogue() -> None:
    # it's-a a-good good-film film-a a-good good-one: five different of six.
    assert whole(make("reply-distinct-2"), TALK) == pytest.approx(5 / 6)
    assert whole(make("reply-distinct-2"), dialogue(TurnRecord("Heat?"))) is None
    # Pairs do not cross turns.
    assert whole(make("reply-distinct-2"), dialogue(TurnRecord("a b"), TurnRecord("a b"))) == pytest.approx(1 / 2)
