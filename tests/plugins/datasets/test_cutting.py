from __future__ import annotations

import pytest

from harness.api import Catalogue, DatasetCard, Item, Message, TrainingDialogue
from harness.errors import DataError, UsageError
from harness_plugins.datasets.cutting import check_split, cut, hash_split, mentioned_before, strings, unique

CARD = DatasetCard("toy", "Toy", "CC0", "nobody", "https://example.org", "Ask the authors")


def test_hash_split_is_fixed():
    # printf %s TEXT | sha256sum, its first 16 hexadecimal digits modulo 100: "a" 50, "5" 83, "24" 72, "8" 95.
    assert [hash_split(text) for text in ("a", "5", "24", "8")] == ["train", "validation", "validation", "test"]
    sides = [hash_split(str(n)) for n in range(4000)]
    shares = [sides.count(name) / len(sides) for name in ("train", "validation", "test")]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.02)


def test_cut_makes_a_row_of_each_recommending_turn():
    catalogue = Catalogue(
        [
            Item("1", "Heat", attributes={"genre": ("crime", "drama"), "director": ("Michael Mann",)}),
            Item("2", "Tenet", attributes={"genre": ("action", "crime")}),
            Item("3", "Cats", attributes={"genre": ("musical", "drama")}),
        ]
    )
    messages = (
        Message("recommender", "Heat?", items=("1",)),
        Message("seeker", "I know Tenet", items=("2",)),
        Message("recommender", "What else?"),
        Message("recommender", "Heat or Tenet", items=("1", "2")),
    )
    dialogue = TrainingDialogue(id="d", messages=messages, liked=("2",), disliked=("1", "3"))
    first, second = rows = cut([dialogue], catalogue)
    assert (first.id, first.source, first.context) == ("d:0", "d", ())
    assert (second.id, second.context) == ("d:3", messages[:3])
    assert second.need.targets == ("1", "2")
    assert second.need.liked_attributes == {"genre": ("crime", "drama", "action"), "director": ("Michael Mann",)}
    assert second.need.disliked_attributes == {"genre": ("musical",)}
    assert mentioned_before(rows) == 1


def test_strings_names_the_place():
    assert strings({"a": ["x"]}, "a", "f:1") == ["x"]
    with pytest.raises(DataError, match=r"f:3: field 'a' is missing"):
        strings({}, "a", "f:3")
    with pytest.raises(DataError, match=r"f:3: field 'a' expected a list of strings, found str"):
        strings({"a": "x"}, "a", "f:3")
    with pytest.raises(DataError, match=r"f:3: field 'a', element 1: expected a string, found 7"):
        strings({"a": ["x", 7]}, "a", "f:3")


def test_unknown_split_is_a_usage_error():
    check_split("test", CARD)
    with pytest.raises(UsageError, match="no split called 'dev'; use train, validation or test"):
        check_split("dev", CARD)


def test_unique_keeps_the_first():
    assert unique(["b", "a", "b"]) == ("b", "a")
