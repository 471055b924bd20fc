from __future__ import annotations

import math

import pytest
from small_world import FILMS, dialogue, human, prepared, seeker, shown, talk

from harness import Catalogue, Item


def test_finds_the_item_whose_attributes_are_asked_for() -> None:
    bm25 = prepared("bm25", [])
    assert bm25.recommend(talk(seeker("a horror film by Ana Ferro")), 1).items == ("f3",)
    assert bm25.recommend(talk(seeker("Something with MIRA OLSEN, a drama from 2010")), 1).items == ("f5",)


def test_scores_are_lucenes_bm25() -> None:
    """idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b length / mean length)), worked out here by hand."""
    texts = ["red red fox", "red owl", "blue whale sings loud songs"]
    catalogue = Catalogue([Item(f"i{n}", text) for n, text in enumerate(texts)])
    listed = prepared("bm25", [], catalogue, k1=1.2, b=0.6).recommend(talk(seeker("a red fox, red")), 3)

    def term(tf: int, holders: int, length: int) -> float:
        return math.log(1 + (3 - holders + 0.5) / (holders + 0.5)) * tf / (tf + 1.2 * (1 - 0.6 + 0.6 * length / (10 / 3)))

    expected = {"i0": term(2, 2, 3) + term(1, 1, 3), "i1": term(1, 2, 2), "i2": 0.0}
    assert dict(zip(listed.items, listed.scores, strict=True)) == pytest.approx(expected, rel=1e-6)


def test_words_before_a_training_recommendation_find_the_item_again() -> None:
    training = [dialogue(0, seeker("my grandmother wants zeppelins"), human("try this one", "f6"))]
    wish = talk(seeker("are there any zeppelins?"))
    assert prepared("bm25", training, exclude_mentioned=True).recommend(wish, 1).items == ("f6",)
    without = prepared("bm25", training, dialogues=0).recommend(wish, 8)
    assert set(without.scores) == {0.0}


def test_negated_words_attract_nothing_and_may_repel() -> None:
    wish, bare = talk(seeker("science fiction. no thriller")), talk(seeker("science fiction"))
    assert prepared("bm25", []).recommend(wish, 8).scores == prepared("bm25", []).recommend(bare, 8).scores
    repelled = prepared("bm25", [], negative=5).recommend(wish, 8)
    assert repelled.items[0] == "f6"
    assert set(repelled.items[-2:]) == {"f1", "f7"}


def test_feedback_weight_lets_the_answer_outweigh_the_context() -> None:
    conversation = talk(seeker("comedy romance drama"), shown("f2"), seeker("rather science fiction", rejected=["f2"]), turn=2)
    assert prepared("bm25", [], feedback=0.1).recommend(conversation, 1).items == ("f5",)
    assert prepared("bm25", [], feedback=10).recommend(conversation, 1).items == ("f6",)


def test_a_conversation_without_known_words_scores_nothing() -> None:
    listed = prepared("bm25", []).recommend(talk(seeker("xyzzy")), 3)
    assert listed.items == FILMS.ids[:3]
    assert listed.scores == (0, 0, 0)
