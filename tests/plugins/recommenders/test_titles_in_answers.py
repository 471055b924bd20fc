"""What counts as a list of titles in a model's answer, and what doesn't."""

from __future__ import annotations

import pytest

from harness.errors import ComponentFault
from harness.llm.api import Completion
from harness_plugins.recommenders.naming import read


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
