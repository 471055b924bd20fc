from __future__ import annotations

import numpy as np
import pytest
from small_world import of_items, prepared, seeker, shown, talk

from harness.errors import UsageError
from harness_plugins.recommenders.hybrid import reciprocal_ranks

TRAINING = of_items(["f5", "f0"], ["f5", "f0"], ["f5", "f2"], ["f1", "f3"], ["f6"])


def test_equal_scores_share_the_best_rank() -> None:
    assert reciprocal_ranks(np.array([9.0, 4.0, 4.0, 1.0]), 60).tolist() == [1 / 61, 1 / 62, 1 / 62, 1 / 64]


def test_fusion_by_hand() -> None:
    """popularity: f5 3, f0 2, then f1 f2 f3 f6 1 each; attribute-match for horror: f1 and f3 equal; the others get no vote."""
    options = {"members": ("popularity", "attribute-match"), "weights": (1.0, 2.0), "constant": 10.0}
    listed = prepared("hybrid", TRAINING, **options).recommend(talk(seeker("horror")), 8)
    expected = {
        "f1": 1 / 13 + 2 / 11,
        "f3": 1 / 13 + 2 / 11,
        "f5": 1 / 11,
        "f0": 1 / 12,
        "f2": 1 / 13,
        "f6": 1 / 13,
        "f4": 0,
        "f7": 0,
    }
    assert dict(zip(listed.items, listed.scores, strict=True)) == pytest.approx(expected, rel=1e-6)
    assert listed.items == tuple(expected)


def test_excluded_items_hold_no_rank() -> None:
    conversation = talk(seeker("anything"), shown("f5"), seeker("no", rejected=["f5"]), turn=2)
    listed = prepared("hybrid", TRAINING, members=("popularity",), weights=(1.0,), constant=0.0).recommend(conversation, 2)
    assert list(zip(listed.items, listed.scores, strict=True)) == [("f0", 1.0), ("f1", 0.5)]


def test_an_answer_with_attributes_raises_the_attribute_members_vote() -> None:
    options = {"members": ("popularity", "attribute-match"), "weights": (1.0, 1.0), "constant": 0.0, "feedback": 3.0}
    hybrid = prepared("hybrid", TRAINING, **options)
    in_context = hybrid.recommend(talk(seeker("horror")), 1)
    assert in_context.scores == pytest.approx([1 + 1 / 3], rel=1e-6)  # f1: third in popularity, first of its attribute
    vague = talk(seeker("horror"), shown("f3"), seeker("hm, something else", rejected=["f3"]), turn=2)
    assert hybrid.recommend(vague, 1).scores == in_context.scores
    told = talk(seeker("hello"), shown("f3"), seeker("I want horror", rejected=["f3"]), turn=2)
    assert hybrid.recommend(told, 1).scores == pytest.approx([3 + 1 / 3], rel=1e-6)


def test_places_beyond_the_depth_do_not_vote() -> None:
    options = {"members": ("popularity",), "weights": (1.0,), "depth": 2}
    listed = prepared("hybrid", TRAINING, **options).recommend(talk(), 8)
    assert [score > 0 for score in listed.scores] == [True, True] + [False] * 6


def test_members_bring_their_default_weights() -> None:
    members = ("popularity", "attribute-match", "bm25", "ease")
    wish = talk(seeker("horror, like Paper Moons", "f5"))
    given = prepared("hybrid", TRAINING, members=members, weights=(0.25, 1.5, 1.0, 1.0)).recommend(wish, 8)
    assert prepared("hybrid", TRAINING, members=members).recommend(wish, 8) == given


def test_works_without_training_when_its_members_do() -> None:
    hybrid = prepared("hybrid", [], members=("bm25", "attribute-match"))
    assert hybrid.recommend(talk(seeker("a horror film by Ana Ferro")), 1).items == ("f3",)


def test_the_text_classifier_can_be_a_member() -> None:
    training = [d for n in range(3) for d in TRAINING]
    with pytest.raises(UsageError, match="tfidf-lr"):
        prepared("hybrid", training, members=("tfidf-lr",), weights=(1.0,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": ("bm25", "ease"), "weights": (1.0,)}, "2 members and 1 weights"),
        ({"members": ("bm25", "bm25"), "weights": (1.0, 1.0)}, "named twice"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepared("hybrid", TRAINING, **options)
