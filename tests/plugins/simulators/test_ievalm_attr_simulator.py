"""Attribute question answering: what is picked is read from the recommender's text, answers come from the targets' metadata."""

from __future__ import annotations

from typing import Any

import pytest
from five_films import FILMS, conversation, play, prepared

from harness.api import Catalogue, Feedback, Item, Knowledge, Statement
from harness.errors import UsageError
from harness_plugins.recommenders.reply import reply
from harness_plugins.simulators.ievalm_attr import ACCEPT, NOTHING, REFUSE, IevalmAttr, Options

TOLD = Knowledge("target_aware", targets=("f4", "f3"))


def ask(text: str, *ranked: str, knowledge: Knowledge = TOLD, state: Any = None) -> Feedback:
    return prepared(IevalmAttr()).reply(conversation(*ranked, text=text, state=state), knowledge)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which genre do you like?", "Crime, Horror"),
        ("What kind of film would you like?", "Crime, Horror"),
        ("genre", "Crime, Horror"),
        ("A: genre", "Crime, Horror"),
        ("Do you like horror?", "Crime, Horror"),
        ("Who is your favourite director?", "Dov Moor"),
        ("Tell me a director you like.", "Dov Moor"),
        ("Which actors?", "Cy Lane, Eve Tarn"),
        ("Hello! I can help. Is there an actress you like?", "Cy Lane, Eve Tarn"),
    ],
)
def test_an_attribute_is_answered_from_all_targets(question: str, answer: str) -> None:
    feedback = ask(question)
    assert (feedback.text, feedback.action, feedback.rejected) == (answer, "continue", ())
    assert ", ".join(dict.fromkeys(s.value for s in feedback.statements or ())) == answer
    assert all(s.polarity == 1 for s in feedback.statements or ())


def test_a_value_of_two_targets_is_stated_once() -> None:
    assert ask("Which director do you like?").statements == (Statement("director", "Dov Moor"),)


def test_every_attribute_can_be_picked_once() -> None:
    first = ask("Which genre do you like?")
    assert first.text == "Crime, Horror"
    assert ask("Which genre do you like?", state=first.state).text == NOTHING
    assert ask("Which director do you like?", state=first.state).text == "Dov Moor"


@pytest.mark.parametrize("question", ["Which decade do you prefer?", "How are you?", "Which star do you like?", "Ok.", ""])
def test_what_is_not_known_or_not_on_offer_gets_no_information(question: str) -> None:
    feedback = ask(question, knowledge=Knowledge("target_aware", targets=("f4",)))
    assert (feedback.text, feedback.statements, feedback.action) == (NOTHING, (), "continue")


def test_a_list_without_a_target_is_refused_and_one_with_a_target_accepted() -> None:
    refused = ask("How about these?", "f1", "f2")
    assert (refused.text, refused.action, refused.rejected) == (REFUSE, "continue", ("f1", "f2"))
    accepted = ask("How about these?", "f1", "f3", "f2")
    assert (accepted.text, accepted.action, accepted.accepted) == (ACCEPT, "accept", ("f3",))


@pytest.mark.parametrize(
    "text",
    [
        reply([FILMS[0], FILMS[1]]),
        reply([FILMS[0]], "you asked for horror"),
        reply([FILMS[1]], "you like films directed by Ana Sol"),
        "Do you like horror? Then Night Orchard!",
        "I recommend Night Orchard, its director is great.",
    ],
)
def test_a_recommendation_is_no_question_whatever_it_speaks_of(text: str) -> None:
    assert ask(text, "f1", "f2").text == REFUSE


def test_titles_of_shown_items_ask_nothing() -> None:
    films = Catalogue(
        (
            Item("x", "What Star, Which Director?", attributes={"star": ("A",), "director": ("B",)}),
            Item("y", "Y", attributes={"star": ("C",), "director": ("D",)}),
        )
    )
    simulator = prepared(IevalmAttr(), films)
    told = Knowledge("target_aware", targets=("y",))
    assert simulator.reply(conversation("x", text="How about What Star, Which Director?"), told).text == REFUSE


def test_an_open_question_beside_a_list_is_answered_and_nothing_is_turned_down() -> None:
    feedback = ask("Night Orchard, perhaps. Or which director do you like?", "f1")
    assert (feedback.text, feedback.rejected) == ("Dov Moor", ())


@pytest.mark.parametrize("style", ["clean", "published"])
def test_a_recommender_that_always_recommends_learns_what_was_refused_at_most(style: Any) -> None:
    lists = [("f1",), ("f2",), ("f5",), ("f1", "f2"), ("f5",)]
    answers = play(prepared(IevalmAttr(Options(style=style))), TOLD, lists)
    assert [a.text for a in answers] == [REFUSE] * 5
    assert [a.rejected for a in answers] == (lists if style == "clean" else [()] * 5)
    assert not any(a.statements for a in answers)


def test_the_published_attributes_are_on_offer_and_every_facet_where_there_are_none_of_them() -> None:
    books = Catalogue((Item("b", "B", attributes={"author": ("Una Penn",), "country": ("Wales",)}),))
    simulator = prepared(IevalmAttr(), books)
    told = Knowledge("target_aware", targets=("b",))
    assert simulator.reply(conversation(text="Which author do you like?"), told).text == "Una Penn"
    films = prepared(IevalmAttr(Options(facets=("decade",))))
    assert films.reply(conversation(text="Which decade do you prefer?"), TOLD).text == "1990s"
    assert films.reply(conversation(text="Which genre do you prefer?"), TOLD).text == NOTHING


def test_a_facet_that_the_catalogue_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="no facet 'colour'; it has genre, director, star, decade"):
        prepared(IevalmAttr(Options(facets=("colour",))))
