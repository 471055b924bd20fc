"""The structured answer of an LLM seeker: read strictly, acted on by its fields alone."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from chat_models import reply
from five_films import FILMS
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Catalogue, Item, Statement
from harness.errors import ComponentFault
from harness.llm.api import Completion
from harness_plugins.simulators.structured import Answer, Mentioned, Values, feedback, parse, schema

VALUES = Values(FILMS)


@pytest.mark.parametrize(
    "wrapped",
    ["{}", "  {}\n", "```json\n{}\n```", "```\n{}\n```", "```JSON\n{}```", "<think>\nIs it {{}}?\n</think>\n{}"],
)
def test_one_json_object_is_read_in_a_fence_or_after_thoughts_too(wrapped: str) -> None:
    answer = parse(Completion(wrapped.replace("{{}}", "this").replace("{}", reply("Hm.", "accept", [2]))))
    assert (answer.text, answer.action, answer.accepted) == ("Hm.", "accept", (2,))


@pytest.mark.parametrize(
    "text",
    [
        "I accept the first one.",
        "I'm sorry, but I can't help with that.",
        '{"text": "ok"}',
        '{"text": "ok", "action": "stop"}',
        '{"text": "ok", "action": "Accept"}',
        '{"text": "ok", "action": ["accept"]}',
        '{"text": 5, "action": "continue"}',
        '{"text": "ok", "action": "continue", "accepted": ["1"]}',
        '{"text": "ok", "action": "continue", "accepted": [1.5]}',
        '{"text": "ok", "action": "continue", "mentioned": ["horror"]}',
        '{"text": "ok", "action": "continue", "score": 1}',
        '{"text": "ok", "action": "continue"} and more',
        'Sure! {"text": "ok", "action": "continue"}',
        '{"text": "ok", "action": "continue"',
        '[{"text": "ok", "action": "continue"}]',
        "```json\nnot json\n```",
        "null",
        "[" * 5000,
        '{"text": "\ud800", "action": "continue"}',
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(ComponentFault) as caught:
        parse(Completion(text))
    assert caught.value.kind == "malformed"
    assert len(str(caught.value)) < 1000, "a long answer must not fill the record"


def test_an_empty_answer_is_empty_and_one_that_was_cut_off_says_what_to_set() -> None:
    with pytest.raises(ComponentFault) as caught:
        parse(Completion(" \n"))
    assert caught.value.kind == "empty"
    with pytest.raises(ComponentFault, match="max_tokens"):
        parse(Completion('{"text": "I would li', finish="length"))


@given(st.text(max_size=200))
@settings(deadline=None)
def test_no_text_makes_the_reader_raise_anything_else(text: str) -> None:
    with contextlib.suppress(ComponentFault):
        parse(Completion(text))


@given(st.text(max_size=60), st.sampled_from(["continue", "accept", "quit"]), st.lists(st.integers(1, 9), max_size=4))
@settings(deadline=None)
def test_what_fits_the_schema_is_read_back(text: str, action: str, accepted: list[int]) -> None:
    answer = parse(Completion(reply(text, action, accepted, [("genre", "Horror", False)])))
    assert (answer.text, answer.action, list(answer.accepted)) == (text, action, accepted)
    assert answer.mentioned == (Mentioned("genre", "Horror", False),)


def test_the_schema_names_the_fields_that_are_read_and_requires_all() -> None:
    asked = schema()
    assert set(asked["required"]) == set(asked["properties"]) == {f.name for f in msgspec.structs.fields(Answer)}
    mentioned = asked["properties"]["mentioned"]["items"]
    assert set(mentioned["required"]) == set(mentioned["properties"]) == {f.name for f in msgspec.structs.fields(Mentioned)}
    json.dumps(asked)


def test_accepted_numbers_are_places_in_the_list_that_was_shown() -> None:
    given_back = feedback(Answer("Yes!", "accept", (2, 2), ()), ["f3", "f1"], VALUES)
    assert (given_back.action, given_back.accepted, given_back.rejected) == ("accept", ("f1",), ())


@pytest.mark.parametrize("numbers", [(), (0,), (3,), (-1,), (10**30,)])
def test_accepting_nothing_or_what_is_not_shown_is_malformed(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ComponentFault) as caught:
        feedback(Answer("Yes!", "accept", numbers), ["f1", "f2"], VALUES)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize("action", ["continue", "quit"])
def test_only_the_action_accepts_whatever_the_text_and_the_numbers_say(action: str) -> None:
    answer = parse(Completion(reply('I accept. {"action": "accept"} [ACCEPT]', action, [1])))
    given_back = feedback(answer, ["f1", "f2"], VALUES)
    assert (given_back.action, given_back.accepted, given_back.rejected) == (action, (), ("f1", "f2"))


def test_statements_are_values_of_the_catalogue_that_the_text_says() -> None:
    text = "Crime or comedies by Moor, no scary horrors, and nothing from Hollywood."
    claims = (
        Mentioned("genre", "crime", True),  # in the catalogue's spelling afterwards
        Mentioned("Genre", "COMEDY", True),
        Mentioned("filmmaker", "Dov Moor", True),  # another name of the facet, the last name alone
        Mentioned("genre", "horror", False),
        Mentioned("genre", "Romance", True),  # claimed, but not said
        Mentioned("genre", "Hollywood", True),  # said, but no value
        Mentioned("studio", "Crime", True),  # no such facet
        Mentioned("star", "Crime", True),  # not a value of this facet
    )
    assert VALUES.statements(claims, text) == (
        Statement("genre", "Crime", 1),
        Statement("genre", "Comedy", 1),
        Statement("director", "Dov Moor", 1),
        Statement("genre", "Horror", -1),
    )


def test_a_shortened_value_counts_as_said_and_the_last_word_on_it_counts() -> None:
    values = Values(Catalogue((Item("x", "X", attributes={"genre": ("Science Fiction", "War")}),)))
    claims = (Mentioned("genre", "Science Fiction", False), Mentioned("genre", "Science Fiction", True))
    assert values.statements(claims, "Some sci-fi, maybe?") == (Statement("genre", "Science Fiction", 1),)
    war = (Mentioned("genre", "War", True),)
    assert values.statements(war, "Something about wars.") == (Statement("genre", "War", 1),)
    assert values.statements(war, "Something warm.") == ()


def test_an_answer_without_the_field_leaves_the_statements_to_the_text() -> None:
    assert feedback(parse(Completion('{"text": "Crime!", "action": "continue"}')), [], VALUES).statements is None
    assert feedback(parse(Completion(reply("Crime!"))), [], VALUES).statements == ()
