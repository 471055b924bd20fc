from __future__ import annotations

import math

import pytest
from small_world import FILMS, of_items, prepared, seeker, shown, talk


def test_sums_log_inverse_frequency_of_wanted_values_and_subtracts_unwanted_ones() -> None:
    listed = prepared("attribute-match", []).recommend(talk(seeker("a thriller by Ivo Brandt, not horror")), 8)
    thriller, brandt, horror = (math.log(9 / 3),) * 3
    scores = dict(zip(listed.items, listed.scores, strict=True))
    assert scores == pytest.approx(
        {"f6": brandt, "f7": thriller, "f1": thriller + brandt - horror, "f3": -horror, "f0": 0, "f2": 0, "f4": 0, "f5": 0}
    )
    assert listed.items == ("f1", "f6", "f7", "f0", "f2", "f4", "f5", "f3")


def test_equal_weighting_counts_matches() -> None:
    listed = prepared("attribute-match", [], weighting="equal").recommend(talk(seeker("horror or thriller by Ana Ferro")), 4)
    assert list(zip(listed.items, listed.scores, strict=True)) == [("f1", 2), ("f3", 2), ("f0", 1), ("f7", 1)]


def test_equal_scores_go_by_popularity_where_there_is_training() -> None:
    horror = talk(seeker("some horror"))
    assert prepared("attribute-match", []).recommend(horror, 2).items == ("f1", "f3")
    assert prepared("attribute-match", of_items(["f3"])).recommend(horror, 3).items == ("f3", "f1", "f0")


def test_feedback_corrects_the_context_and_can_weigh_more() -> None:
    conversation = talk(seeker("a horror film"), shown("f1"), seeker("no horror after all, but drama", rejected=["f1"]), turn=2)
    once = prepared("attribute-match", [], weighting="equal").recommend(conversation, 8)
    assert once.items[:2] == ("f0", "f5")
    assert once.items[-1] == "f3"
    doubled = prepared("attribute-match", [], weighting="equal", feedback=2).recommend(conversation, 8)
    assert dict(zip(doubled.items, doubled.scores, strict=True))["f3"] == -2
    ignored = prepared("attribute-match", [], weighting="equal", disliked=0).recommend(conversation, 8)
    assert dict(zip(ignored.items, ignored.scores, strict=True))["f3"] == 0


def test_the_reply_says_what_speaks_for_the_first_item() -> None:
    reply = prepared("attribute-match", []).recommend(talk(seeker("romance please")), 10).text
    assert reply == "Since you asked for romance, how about Two Left Feet (2003), Paper Moons (2010) or Harbour Lights (1991)?"


def test_nothing_said_gives_no_reason() -> None:
    assert prepared("attribute-match", []).recommend(talk(), 1).text == f"How about {FILMS[0].title} (1991)?"
