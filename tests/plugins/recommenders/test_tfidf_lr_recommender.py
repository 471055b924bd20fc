from __future__ import annotations

import pytest
from small_world import dialogue, human, prepared, seeker, shown, talk

from harness.errors import UsageError

WISHES = {
    "f1": ["something scary in the dark", "scary and dark please", "a scary one, dark mood"],
    "f2": ["make me laugh out loud", "a good laugh tonight", "laugh with friends tonight"],
    "f6": ["space ships and robots", "robots in space", "big space robots"],
}
TRAINING = [
    dialogue(n, seeker(text), human("take this", item))
    for n, (item, text) in enumerate((item, text) for item, texts in WISHES.items() for text in texts)
]


@pytest.mark.parametrize(("text", "item"), [("a dark scary story", "f1"), ("we want to laugh", "f2"), ("robots, space", "f6")])
def test_recommends_what_was_recommended_after_such_words(text: str, item: str) -> None:
    listed = prepared("tfidf-lr", TRAINING).recommend(talk(seeker(text)), 3)
    assert listed.items[0] == item
    assert set(listed.items) == {"f1", "f2", "f6"}
    assert sum(listed.scores) == pytest.approx(1.0, abs=1e-6)


def test_other_items_follow_by_popularity_with_score_zero() -> None:
    training = [*TRAINING, dialogue(90, seeker("hello"), human("well", "f7")), dialogue(91, seeker("ok"), human("so", "f7"))]
    listed = prepared("tfidf-lr", training, min_examples=3).recommend(talk(seeker("dark")), 8)
    assert listed.items[3:] == ("f7", "f0", "f3", "f4", "f5")
    assert listed.scores[3:] == (0,) * 5


def test_negated_clauses_and_own_replies_are_not_part_of_the_text() -> None:
    recommender = prepared("tfidf-lr", TRAINING)
    plain = recommender.recommend(talk(seeker("laugh tonight")), 3)
    assert recommender.recommend(talk(seeker("laugh tonight. nothing scary, nothing dark")), 3).scores == plain.scores
    after = talk(seeker("laugh tonight"), shown("f4", text="space robots scary"), seeker("hmm", rejected=["f4"]), turn=2)
    assert recommender.recommend(after, 3).scores == plain.scores


def test_fits_the_same_model_twice() -> None:
    wish = talk(seeker("space in the dark"))
    assert prepared("tfidf-lr", TRAINING).recommend(wish, 8) == prepared("tfidf-lr", TRAINING).recommend(wish, 8)


def test_too_few_examples_name_the_option_to_change() -> None:
    with pytest.raises(UsageError, match="min_examples=4"):
        prepared("tfidf-lr", TRAINING, min_examples=4)


def test_the_number_of_classes_is_bounded() -> None:
    listed = prepared("tfidf-lr", TRAINING, max_classes=2).recommend(talk(seeker("space robots")), 8)
    assert sum(score > 0 for score in listed.scores) == 2
