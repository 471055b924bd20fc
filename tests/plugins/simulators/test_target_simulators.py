"""`rule-target` and `oracle` on five films: they accept exactly the target and talk about its attributes."""

from __future__ import annotations

import pytest
from five_films import FILMS, INDEX, conversation, play, prepared

from harness.api import Catalogue, Item, Knowledge, Statement
from harness_plugins.simulators.rule import Options
from harness_plugins.simulators.target import Oracle, RuleTarget


@pytest.mark.parametrize("cls", [RuleTarget, Oracle])
def test_a_target_is_accepted_whatever_the_profile_says(cls: type):
    knowledge = Knowledge(
        "target_aware", disliked_items=("f4",), disliked_attributes={"genre": ("Crime",)}, targets=("f4", "f1")
    )
    simulator = prepared(cls())
    answer = simulator.reply(conversation("f2", "f4"), knowledge)
    assert (answer.action, answer.accepted, answer.rejected) == ("accept", ("f4",), ())
    assert simulator.reply(conversation("f4", "f2", "f1"), knowledge).accepted == ("f4", "f1")
    # Film 3 has everything that the profile likes, but it is no target.
    liked = Knowledge("target_aware", liked_attributes=FILMS.get("f3").attributes, targets=("f1",))
    assert simulator.reply(conversation("f3"), liked).action == "continue"


def test_the_rule_asks_first_for_what_no_shown_film_has():
    knowledge = Knowledge("target_aware", targets=("f2",), liked_attributes={"genre": ("Crime",)})
    simulator = prepared(RuleTarget(Options(reveal=2, reveal_disliked=0.0)))
    for seed in range(20):
        answer = simulator.reply(conversation("f3", seed=seed), knowledge)
        confirmed, *missing = answer.statements  # film 3 shares the star and the decade
        assert confirmed in {Statement("star", "Cy Lane", 1), Statement("decade", "1990s", 1)}
        assert set(missing) < {Statement("genre", "Comedy"), Statement("genre", "Romance"), Statement("director", "Ana Sol")}
        assert len(missing) == 2


def test_the_targets_attributes_are_never_refused():
    knowledge = Knowledge("target_aware", targets=("f4",), disliked_attributes={"genre": ("Crime", "Comedy")})
    answers = play(prepared(RuleTarget(Options(reveal_disliked=1.0))), knowledge, [("f3", "f2")] * 5)
    refused = {s for a in answers for s in a.statements if s.polarity < 0}
    assert refused == {Statement("genre", "Comedy", -1)}


def test_without_metadata_of_the_target_the_profile_speaks():
    knowledge = Knowledge("target_aware", targets=("f5",), liked_attributes={"genre": ("Crime",)})
    answer = prepared(RuleTarget()).reply(conversation("f1"), knowledge)
    assert answer.statements == (Statement("genre", "Crime", 1),)


def test_the_oracle_says_everything_at_once_and_again():
    knowledge = Knowledge("target_aware", targets=("f2", "f3"))
    for answer in play(prepared(Oracle()), knowledge, [("f1",), ("f1", "f4")]):
        assert {(s.facet, s.value) for s in answer.statements} == {
            ("genre", "Comedy"),
            ("genre", "Romance"),
            ("genre", "Crime"),
            ("director", "Ana Sol"),
            ("director", "Dov Moor"),
            ("star", "Cy Lane"),
            ("star", "Eve Tarn"),
            ("decade", "1990s"),
        }
        assert set(INDEX.statements(answer.text)) == set(answer.statements)
        assert answer.rejected[0] == "f1"


def test_the_oracle_has_an_answer_for_a_target_without_attributes():
    simulator = prepared(Oracle())
    for ranked in ((), ("f1",)):
        answer = simulator.reply(conversation(*ranked), Knowledge("target_aware", targets=("f5",)))
        assert answer.text
        assert answer.statements == ()
        assert answer.rejected == ranked


@pytest.mark.parametrize("cls", [RuleTarget, Oracle])
def test_neither_an_attribute_nor_a_sequel_gives_the_title_away(cls: type):
    saga = Catalogue(
        (
            Item(
                "one",
                "Copper Moon",
                attributes={"series": ("Copper Moon", "Metal Moons"), "genre": ("Crime",)},
                aliases=("Cuprum",),
            ),
            Item("two", "Copper Moon 2", attributes={"series": ("Copper Moon",), "genre": ("Crime",)}),
            Item("three", "CUPRUM: the making", attributes={"genre": ("Crime",)}),
        )
    )
    simulator = prepared(cls(), saga)
    for seed in range(40):
        for ranked in (("two",), ("three", "two")):
            text = simulator.reply(conversation(*ranked, seed=seed), Knowledge("target_aware", targets=("one",))).text.lower()
            assert "copper moon" not in text
            assert "cuprum" not in text
