"""What counts as a list of titles in a model's answer, and what doesn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ComponentFault
from harness.llm.api import Completion
from harness_plugins.recommenders.naming import Answer, read


def titles(text: str) -> tuple[str, ...]:
    return read(Completion(text)).titles


def test_a_json_object_gives_titles_text_and_reasoning() -> None:
    answer = read(Completion('{"reasoning": "wants fear", "titles": ["Alien (1979)", "Heat"], "text": " Boo. "}'))
    assert (answer.titles, answer.text, answer.reasoning) == (("Alien (1979)", "Heat"), "Boo.", "wants fear")


@pytest.mark.parametrize(
    "text",
    [
        '["Alien (1979)", "Heat"]',
        '```json\n["Alien (1979)", "Heat"]\n```',
        '<think>hm</think>\n{"titles": [{"title": "Alien", "year": 1979, "why": "scary"}, {"title": "Heat"}]}',
        "1. Alien (1979)\n2. Heat",
        "Sure!\n\n1) Alien (1979) - a crew meets a guest\n   more about it\n2) Heat\n\nEnjoy!",
        "1. **Alien** (1979): fear\n2. *Heat*",
        "1. **Alien (1979)** - fear\n2. **Heat**",
        '1. "Alien" (1979), fear\n2. "Heat"',
        "**1. Alien (1979)**\n**2.** Heat",
    ],
)
def test_forms_of_the_same_list(text: str) -> None:
    assert titles(text) == ("Alien (1979)", "Heat")


def test_a_numbered_answer_is_the_text_as_it_stands() -> None:
    assert read(Completion("Try these:\n1. Alien\n")).text == "Try these:\n1. Alien"


def test_thoughts_are_reasoning() -> None:
    assert read(Completion('<think>space, fear</think>["Alien"]')).reasoning == "space, fear"


def test_a_question_without_titles_is_read_as_one() -> None:
    answer = read(Completion('{"titles": [], "text": "Which decade?"}'))
    assert (answer.titles, answer.text) == ((), "Which decade?")


@pytest.mark.parametrize(
    "text",
    [
        "You should watch Alien.",
        "- Alien\n- Heat",
        "2. Alien\n3. Heat",
        "1. Alien\n3. Heat",
        "1. Alien\n1. Heat",
        '{"titles": ["Alien"',
        '{"titles": "Alien"}',
        '{"films": ["Alien"]}',
        '{"titles": [1, 2]}',
        '{"titles": ["Alien"], "text": null}',
        '["Alien"] and more',
        "[[[[[[",
        "{}",
        "null",
        "[" + ",".join(['"x"'] * 201) + "]",
        "\n".join(f"{n}. x" for n in range(1, 202)),
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(ComponentFault) as caught:
        read(Completion(text))
    assert caught.value.kind == "malformed"


def test_a_cut_answer_says_so() -> None:
    with pytest.raises(ComponentFault, match="larger max_tokens"):
        read(Completion('{"titles": ["Ali', "length"))


@pytest.mark.parametrize("text", ["", "  \n", "<think>only thoughts</think>"])
def test_no_answer_is_empty(text: str) -> None:
    with pytest.raises(ComponentFault) as caught:
        read(Completion(text))
    assert caught.value.kind == "empty"


def outcome(text: str) -> Answer | ComponentFault:
    try:
        return read(Completion(text))
    except ComponentFault as fault:
        return fault


PIECES = st.sampled_from(
    [
        "```",
        "json",
        "<think>",
        "</think>",
        "[",
        "]",
        "{",
        "}",
        '"titles":',
        '"x"',
        "1.",
        "2)",
        "**",
        " ",
        "\n",
        "C01",
        "(1979)",
        "\ud800",
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_any_answer_is_read_or_refused(text: str) -> None:
    got = outcome(text)
    if isinstance(got, ComponentFault):
        assert got.kind in ("malformed", "empty")
    else:
        assert all(isinstance(title, str) for title in got.titles)


@pytest.mark.parametrize(
    "text",
    [
        "```" + " " * 3_000_000,
        "```\n" + " \n" * 1_000_000 + "x",
        "1. a" + " " * 3_000_000 + "b",
        "1. **" + "a" * 3_000_000,
        "1. " + "_" * 3_000_000,
        "1. " + "a (" * 1_000_000,
        "1." + "\t" * 3_000_000,
        "<think>" * 400_000,
        "[" * 1_000_000,
        '{"titles": ' * 100_000,
    ],
    ids=range(10),
)
def test_very_long_answers_take_no_longer_than_reading_them(text: str) -> None:
    """The suite's time limit would end what is quadratic."""
    got = outcome(text)
    assert not isinstance(got, ComponentFault) or len(str(got)) < 1000
