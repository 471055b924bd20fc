from __future__ import annotations

import collections

import pytest
from small_world import FILMS, dialogue, human, of_items, prepared, seeker, shown, talk

from harness import Catalogue, Item
from harness.errors import UsageError

# f2 is mentioned 3 times, f5 and f1 twice, f0 once; the repeat inside one message counts once.
TRAINING = [
    dialogue(0, seeker("a", "f2", "f5"), human("b", "f1"), seeker("c", "f2", "f2")),
    dialogue(1, seeker("d", "f2", "f1"), human("e", "f5", "unknown")),
    dialogue(2, seeker("f", "f0")),
]


def test_popularity_counts_mentions_and_keeps_catalogue_order_for_ties() -> None:
    listed = prepared("popularity", TRAINING).recommend(talk(seeker("hi")), 6)
    assert listed.items == ("f2", "f1", "f5", "f0", "f3", "f4")
    assert listed.scores == (3, 2, 2, 1, 0, 0)
    assert listed.text == "How about Two Left Feet (2003), The Long Tunnel (1984) or Paper Moons (2010)?"


def test_popularity_moves_down_its_list_when_turned_down() -> None:
    conversation = talk(seeker("hi", "f5"), shown("f2", "f1"), seeker("no", rejected=["f2", "f1"]), turn=2)
    assert prepared("popularity", TRAINING).recommend(conversation, 2).items == ("f0", "f3")
    assert prepared("popularity", TRAINING, exclude_rejected=False).recommend(conversation, 2).items == ("f2", "f1")
    assert prepared("popularity", TRAINING, exclude_mentioned=False).recommend(conversation, 2).items == ("f5", "f0")


def test_copy_history_lists_the_latest_mention_first_and_nothing_else() -> None:
    conversation = talk(seeker("x", "f0", "f1"), human("y", "f2"), seeker("z", "f0"))
    assert prepared("copy-history", []).recommend(conversation, 10).items == ("f0", "f2", "f1")
    assert prepared("copy-history", []).recommend(conversation, 2).items == ("f0", "f2")


def test_copy_history_without_mentions_asks_a_question() -> None:
    listed = prepared("copy-history", []).recommend(talk(seeker("hello", "not-in-the-catalogue")), 10)
    assert listed.items == ()
    assert listed.text.endswith("?")


def test_copy_history_drops_what_is_turned_down() -> None:
    conversation = talk(seeker("x", "f0", "f1"), shown("f1", "f0"), seeker("not f1", rejected=["f1"]), turn=2)
    assert prepared("copy-history", []).recommend(conversation, 10).items == ("f0",)
    assert prepared("copy-history", [], exclude_rejected=False).recommend(conversation, 10).items == ("f1", "f0")


def test_random_depends_on_seed_and_turn_alone() -> None:
    random = prepared("random", [])
    first = random.recommend(talk(seeker("hi"), seed=1), 5)
    assert first == random.recommend(talk(seeker("something else"), seed=1), 5)
    assert first.items != random.recommend(talk(seeker("hi"), seed=2), 5).items
    assert first.items != random.recommend(talk(seeker("hi"), seed=1, turn=2), 5).items


def test_random_is_uniform() -> None:
    random = prepared("random", [])
    counts = collections.Counter(random.recommend(talk(seed=n), 1).items[0] for n in range(8000))
    # 1,000 expected each, standard deviation 30: six of them on either side.
    assert set(counts) == set(FILMS.ids)
    assert all(820 < count < 1180 for count in counts.values())


def test_random_lists_everything_that_may_be_listed() -> None:
    conversation = talk(seeker("x", "f0"), shown("f1"), seeker("no", rejected=["f1"]), turn=2)
    assert set(prepared("random", []).recommend(conversation, 100).items) == set(FILMS.ids) - {"f0", "f1"}


@pytest.mark.parametrize("name", ["popularity", "ease", "tfidf-lr", "hybrid"])
def test_learning_without_dialogues_is_the_users_error(name: str) -> None:
    with pytest.raises(UsageError, match="learns from training dialogues"):
        prepared(name, [])


def test_a_list_runs_out_with_the_catalogue_and_then_becomes_a_question() -> None:
    two = Catalogue([Item("a", "A Film"), Item("b", "B Film (1990)", 1990)])
    popularity = prepared("popularity", of_items(["b"]), two)
    assert popularity.recommend(talk(), 5).text == "How about B Film (1990) or A Film?"
    listed = popularity.recommend(talk(seeker("both", "a", "b")), 5)
    assert listed.items == ()
    assert listed.text
