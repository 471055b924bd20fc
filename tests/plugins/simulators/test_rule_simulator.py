"""Dialogues with `rule`, worked out by hand on five films."""

from __future__ import annotations

import json

import pytest
from five_films import INDEX, conversation, play, prepared

from harness.api import Catalogue, Item, Knowledge, Message, Statement
from harness_plugins.simulators.rule import Options, Rule

CRIME_BY_MOOR = Knowledge(
    "profile", liked_attributes={"genre": ("Crime",), "director": ("Dov Moor",)}, disliked_attributes={"star": ("Eve Tarn",)}
)
QUIET = {"reveal_disliked": 0.0}


def rule(**options: object) -> Rule:
    return prepared(Rule(Options(**{**QUIET, **options})))


def said(feedback: object) -> set[tuple[str, str, int]]:
    return {(s.facet, s.value, s.polarity) for s in feedback.statements}


# --------------------------------------------------------------------------------------------------------- accepting


def test_it_accepts_the_film_that_matches_every_facet_it_needs():
    answer = rule().reply(conversation("f2", "f4", "f1"), CRIME_BY_MOOR)
    assert (answer.action, answer.accepted, answer.rejected) == ("accept", ("f4",), ())
    assert "Never Been Found" in answer.text


def test_a_disliked_attribute_outweighs_every_liked_one():
    answer = rule().reply(conversation("f3"), CRIME_BY_MOOR)  # crime, by Dov Moor, but with Eve Tarn
    assert (answer.action, answer.rejected) == ("continue", ("f3",))
    assert ("star", "Eve Tarn", -1) in said(answer)
    assert "Iron Harbour" in answer.text


@pytest.mark.parametrize(("share", "action"), [(1.0, "continue"), (0.51, "continue"), (0.5, "accept")])
def test_the_share_of_matched_facets_decides(share: float, action: str):
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Horror", "Crime"), "director": ("Dov Moor",)})
    assert rule(accept=share).reply(conversation("f1"), knowledge).action == action  # horror, but not by Dov Moor


def test_a_facet_that_the_catalogue_lacks_cannot_be_matched_and_is_not_counted():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Crime",), "mood": ("dark",)})
    assert rule(accept=1.0).reply(conversation("f4"), knowledge).accepted == ("f4",)


def test_of_several_fitting_films_the_best_match_is_taken_and_rank_breaks_ties():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Crime", "Horror")})
    assert rule().reply(conversation("f1", "f3", "f4"), knowledge).accepted == ("f4",)
    assert rule().reply(conversation("f3", "f1"), knowledge).accepted == ("f3",)


def test_disliked_seen_and_already_named_films_are_declined():
    liked = {"genre": ("Crime",)}
    context = (Message("seeker", "I enjoyed Never Been Found.", items=("f4",)),)
    assert rule().reply(conversation("f4"), Knowledge("profile", disliked_items=("f4",), liked_attributes=liked)).action == (
        "continue"
    )
    seen = Knowledge("profile", seen_items=("f4",), liked_attributes=liked)
    named = conversation("f4", context=context)
    assert rule().reply(conversation("f4"), seen).action == "continue"
    assert rule().reply(named, Knowledge("profile", liked_attributes=liked)).action == "continue"
    assert rule(accept_seen=True).reply(conversation("f4"), seen).action == "accept"
    assert rule(accept_seen=True).reply(named, Knowledge("profile", liked_attributes=liked)).action == "accept"


def test_what_the_seeker_names_during_the_dialogue_is_no_film_it_has_seen():
    earlier = (Message("recommender", "?"), Message("seeker", "...", items=("f4",)))
    view = conversation("f4", turn=2)
    view = type(view)((*earlier, view.messages[-1]), 2, 7, None)
    assert rule().reply(view, Knowledge("profile", liked_attributes={"genre": ("Crime",)})).action == "accept"


# --------------------------------------------------------------------------------------------------------- criticising


def test_a_dialogue_reveals_one_wish_per_turn_then_repeats_itself():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Comedy",), "director": ("Dov Moor",), "decade": ("2010s",)})
    answers = play(rule(), knowledge, [("f5",)] * 5)
    wishes = {("genre", "Comedy", 1), ("director", "Dov Moor", 1), ("decade", "2010s", 1)}
    assert [len(a.statements) for a in answers] == [1] * 5
    assert set().union(*(said(a) for a in answers[:3])) == wishes
    assert all(said(a) < wishes for a in answers[3:])
    assert all(a.rejected == ("f5",) for a in answers)


def test_a_shared_wish_is_confirmed_by_naming_the_film_and_the_rest_is_turned_down():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Horror",), "director": ("Dov Moor",)})
    answer = rule(reveal=0).reply(conversation("f5", "f1", "f2"), knowledge)
    assert said(answer) == {("genre", "Horror", 1)}
    assert "Night Orchard" in answer.text
    assert answer.rejected == ("f5", "f1", "f2")


def test_a_confirmed_wish_does_not_use_up_the_reveal_of_the_turn():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Horror",), "director": ("Dov Moor",)})
    assert len(rule().reply(conversation("f1"), knowledge).statements) == 2


def test_titles_with_full_stops_and_negations_leave_the_polarity_of_the_statements_alone():
    knowledge = Knowledge(
        "profile",
        liked_attributes={"genre": ("Romance",), "star": ("Bo R. Reed",)},
        disliked_attributes={"director": ("Dov Moor",)},
    )
    for seed in range(60):
        answer = rule(reveal_disliked=1.0).reply(conversation("f4", "f2", seed=seed), knowledge)
        read = {(s.facet, s.value): s.polarity for s in INDEX.statements(answer.text)}
        assert "Never Been Found" in answer.text
        assert "Paper Boats!." not in answer.text
        assert {(s.facet, s.value): s.polarity for s in answer.statements}.items() <= read.items(), answer.text


def test_films_of_one_title_are_told_apart_by_their_year():
    crime = {"genre": ("Crime",)}
    twins = Catalogue(
        (
            Item("old", "Same Stone", year=1950, attributes=crime),
            Item("new", "Same  stone!", year=2001, attributes=crime),
            Item("own", "Own Stone", year=2001, attributes=crime),
        )
    )
    simulator = prepared(Rule(), twins)
    knowledge = Knowledge("profile", disliked_attributes=crime)
    assert "Same Stone (1950), " in simulator.reply(conversation("old"), knowledge).text
    assert "Same  stone! (2001), " in simulator.reply(conversation("new"), knowledge).text
    assert "Own Stone, " in simulator.reply(conversation("own"), knowledge).text


def test_films_known_as_disliked_or_seen_are_named_as_such():
    answer = rule().reply(conversation("f5"), Knowledge("profile", disliked_items=("f5",)))
    assert "The Blank Reel" in answer.text
    assert answer.statements == ()


def test_a_need_without_attributes_only_turns_down():
    answers = play(rule(), Knowledge("profile"), [("f1", "f2"), ("f3",)])
    assert [(a.action, a.rejected, a.statements) for a in answers] == [
        ("continue", ("f1", "f2"), ()),
        ("continue", ("f3",), ()),
    ]
    assert all(a.text for a in answers)
    assert all(INDEX.statements(a.text.replace("Never Been Found", "")) == () for a in answers)


def test_a_catalogue_without_attributes_is_answered_too():
    bare = Catalogue((Item("a", "One Stone"), Item("b", "Two Stones")))
    simulator = prepared(Rule(Options(eps=0.5)), bare)
    assert simulator.reply(conversation("a", "b"), Knowledge("profile")).rejected == ("a", "b")
    liked = Knowledge("profile", liked_attributes={"genre": ("Crime",)})
    assert simulator.reply(conversation("a"), liked).action == "continue"


def test_what_the_context_says_already_is_not_revealed_first():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Crime",), "director": ("Ana Sol",)})
    context = (Message("seeker", "Hello, some CRIME please"), Message("recommender", "With Ana Sol?"))
    for seed in range(20):
        answer = rule().reply(conversation("f5", context=context, seed=seed), knowledge)
        assert said(answer) == {("director", "Ana Sol", 1)}


def test_a_word_inside_another_word_is_not_said():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("War",)})
    context = (Message("seeker", "Something with an award, afterwards"),)
    assert said(rule().reply(conversation("f5", context=context), knowledge)) == {("genre", "War", 1)}
    first = rule().reply(conversation("f5", context=context), knowledge)
    assert first.state["said"] == (("genre", "War"),) or first.state["said"] == [["genre", "War"]]


def test_the_state_survives_json():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Comedy",), "director": ("Ana Sol",)})
    simulator = rule()
    first = simulator.reply(conversation("f5"), knowledge)
    direct = simulator.reply(conversation("f5", turn=2, state=first.state), knowledge)
    stored = simulator.reply(conversation("f5", turn=2, state=json.loads(json.dumps(first.state))), knowledge)
    assert direct == stored
    assert said(first) != said(stored)


# ------------------------------------------------------------------------------------------------- questions, patience


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which director do you like?", {("director", "Ana Sol", 1)}),
        ("Any favourite actress?", {("star", "Cy Lane", 1)}),
        ("What kind of films are you into?", {("genre", "Comedy", 1)}),
        ("What kind of actor?", {("star", "Cy Lane", 1)}),
        ("From which year?", {("decade", "1990s", 1)}),
        ("Do you like comedy?", {("genre", "Comedy", 1)}),
        ("What about crime?", {("genre", "Crime", -1)}),
        ("You like comedy, so which director?", {("director", "Ana Sol", 1)}),
        ("Which country?", set()),
    ],
)
def test_questions_are_answered(question: str, expected: set[tuple[str, str, int]]):
    knowledge = Knowledge(
        "profile",
        liked_attributes={"genre": ("Comedy",), "director": ("Ana Sol",), "star": ("Cy Lane",), "decade": ("1990s",)},
        disliked_attributes={"genre": ("Crime",)},
    )
    answer = rule().reply(conversation(text=question), knowledge)
    assert said(answer) == expected
    assert (answer.action, answer.rejected) == ("continue", ())
    assert answer.text


def test_asked_twice_it_names_another_one_and_then_repeats_itself():
    knowledge = Knowledge("profile", liked_attributes={"director": ("Ana Sol", "Dov Moor")})
    simulator, state, answers = rule(), None, []
    for turn in (1, 2, 3):
        view = conversation(text="Which director?", turn=turn, state=state)
        answers.append(simulator.reply(view, knowledge))
        state = answers[-1].state
    first, second, third = (said(answer) for answer in answers)
    assert first != second
    assert third < first | second
    assert "gain" in answers[2].text or "still" in answers[2].text or "As I said" in answers[2].text


def test_a_question_beside_a_list_is_answered_first():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Comedy",), "director": ("Dov Moor",)})
    for seed in range(20):
        answer = rule().reply(conversation("f5", text="How about it? Or which director?", seed=seed), knowledge)
        assert said(answer) == {("director", "Dov Moor", 1)}


def test_patience_ends_after_so_many_lists_without_any_liked_attribute():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Crime",), "director": ("Ana Sol",)})
    miss, near = ("f5",), ("f1",)
    actions = [a.action for a in play(rule(patience=2), knowledge, [miss, near, miss, miss, miss])]
    assert actions == ["continue", "continue", "continue", "quit"]
    assert [a.action for a in play(rule(patience=0), knowledge, [miss] * 5)] == ["continue"] * 5


# ------------------------------------------------------------------------------------------------------------- noise


def test_noise_is_the_same_for_a_whole_dialogue_and_differs_between_dialogues():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Crime",)})
    simulator = rule(eps=0.5)
    per_seed = [{s for a in play(simulator, knowledge, [("f5",)] * 4, seed) for s in a.statements} for seed in range(200)]
    assert all(len(statements) == 1 for statements in per_seed)
    true = sum(Statement("genre", "Crime", 1) in statements for statements in per_seed)
    assert 70 <= true <= 130  # binomial(200, 1/2): four standard deviations are 28


def test_values_are_flipped_independently_of_each_other():
    knowledge = Knowledge("profile", liked_attributes={"genre": ("Crime",), "director": ("Ana Sol",)})
    simulator = rule(eps=0.5, reveal=2)
    true = [
        sum(
            s.polarity > 0 and s.value in ("Crime", "Ana Sol")
            for s in simulator.reply(conversation(seed=n), knowledge).statements
        )
        for n in range(200)
    ]
    assert 70 <= true.count(1) <= 130  # binomial(200, 1/2) again; 0 if both shared one draw


def test_noise_does_not_change_what_is_accepted():
    for seed in range(20):
        assert rule(eps=1.0).reply(conversation("f4", seed=seed), CRIME_BY_MOOR).accepted == ("f4",)


def test_with_only_one_value_in_the_facet_a_false_statement_is_a_flipped_one():
    single = Catalogue((Item("a", "One Stone", attributes={"genre": ("Crime",)}),))
    simulator = prepared(Rule(Options(eps=1.0)), single)
    for seed in range(20):
        answer = simulator.reply(conversation(seed=seed), Knowledge("profile", liked_attributes={"genre": ("Crime",)}))
        assert answer.statements == (Statement("genre", "Crime", -1),)
