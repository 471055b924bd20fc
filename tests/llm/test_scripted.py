"""The scripted backend."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from harness.errors import DataError, LlmError, RefusedError
from harness.llm import ChatMessage, ChatRequest
from harness.llm.build import build
from harness.llm.layers import Layers
from tests.llm.asking import ask, quick, run


@pytest.fixture
def script(tmp_path):
    def write(*lines):
        path = tmp_path / "script.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return build(f"scripted:{path}", {}, Layers())

    return write


def test_the_first_line_that_matches_answers(script):
    model = script(
        {"match": "horror", "text": "Try Alien."},
        {"match": r"(500) Days", "text": "As it stands."},
        {"match": r"\bcom(edy|ic)\b", "text": "Try Clue."},
        {"match": "You are a seeker", "role": "system", "text": "Yes, please."},
        {"text": "Hm."},
    )
    for text, answer in [
        ("a horror comedy", "Try Alien."),
        ("(500) Days of Summer", "As it stands."),
        ("a comedy", "Try Clue."),
        ("comedyish", "Hm."),
        ("Horror", "Hm."),
    ]:
        assert run(model.chat(ask(text))).text == answer
    system = ChatMessage("system", "You are a seeker of films.")
    assert run(model.chat(ChatRequest((system, ChatMessage("user", "hello"))))).text == "Yes, please."


def test_a_list_is_played_by_the_request_not_by_the_order(script):
    model = script(*({"text": f"answer {n}"} for n in range(7)))
    requests = [ask(f"question {n}", seed=n % 3) for n in range(60)]

    async def play(order):
        answers = await asyncio.gather(*(model.chat(requests[n]) for n in order))
        return {n: answer.text for n, answer in zip(order, answers, strict=True)}

    order = list(range(60))
    first = run(play(order))
    random.Random(1).shuffle(order)
    assert run(play(order)) == first
    assert len(set(first.values())) == 7


def test_texts_of_one_rule_depend_on_the_seed(script):
    model = script({"match": "x", "text": ["a", "b", "c"]})
    texts = [run(model.chat(ask("x", seed=n))).text for n in range(30)]
    assert texts == [run(model.chat(ask("x", seed=n))).text for n in range(30)]
    assert set(texts) == {"a", "b", "c"}


def test_limits_stops_and_usage(script):
    model = script({"text": "one two  three four STOP five"})
    answer = run(model.chat(ask("a b c", stop=("STOP",))))
    assert (answer.text, answer.finish) == ("one two  three four ", "stop")
    assert (answer.usage.calls, answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 3, 4)
    cut = run(model.chat(ask("a b c", max_tokens=3)))
    assert (cut.text, cut.finish, cut.usage.completion_tokens) == ("one two  three", "length", 3)


def test_refusals_and_scores(script):
    model = script({"match": "bomb", "refuse": "no"}, {"match": "good", "scores": {"Yes": -0.1, "No": -2.5}}, {"text": "fine"})
    with pytest.raises(RefusedError, match="no"):
        run(model.chat(ask("a bomb")))
    asked = [ChatMessage("user", "is it good?")]
    assert run(model.score(asked, ["No", "Yes"])) == [-2.5, -0.1]
    with pytest.raises(LlmError, match="say nothing of 'Perhaps'"):
        run(model.score(asked, ["Perhaps"]))
    assert run(model.chat(ask("is it good?"))).text == "fine"


def test_nothing_matches(script):
    with pytest.raises(LlmError, match=r'no line with "text" matches \'hello\'; a line without "match"'):
        run(script({"match": "x", "text": "y"}).chat(ask("hello")))
    with pytest.raises(LlmError, match='no line with "scores"'):
        run(script({"text": "y"}).score([ChatMessage("user", "hello")], ["a"]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"match": "x"}', "script.jsonl:2: a line needs one of"),
        ('{"text": "x", "refuse": "y"}', "script.jsonl:2: a line needs one of"),
        ('{"text": []}', "a line needs one of"),
        ('{"role": "user", "text": "x"}', 'there is no "match"'),
        ('{"texts": "x"}', "script.jsonl:2: .*texts"),
        ("nonsense", "script.jsonl:2"),
    ],
)
def test_wrong_lines_are_told_with_their_place(script, line, message):
    with pytest.raises(DataError, match=message):
        script({"text": "fine"}, line)


def test_wrong_files(script, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        build(f"scripted:{tmp_path / 'none.jsonl'}", {}, Layers())
    with pytest.raises(DataError, match="holds no line"):
        script("")


def test_the_revision_is_the_content_and_layers_stand_around_it_too(script):
    one = script({"text": "a"})
    assert one.revision()["sha256"] != script({"text": "b"}).revision()["sha256"]
    path = one.name.partition(":")[2]
    layers = Layers(quick(cache="read-write", max_tokens=1_000))
    assert run(build(f"scripted:{path}", {}, layers).chat(ask())).usage.calls == 1
    assert run(build(f"scripted:{path}", {}, layers).chat(ask())).usage.cache_hits == 1


def test_the_example_of_the_manual(script):
    manual = Path(__file__).parents[2] / "docs" / "llm.md"
    model = script(*manual.read_text().partition("```jsonl\n")[2].partition("```")[0].splitlines())
    assert run(model.chat(ask("some horror?"))).text == "I can't stand horror."
    with pytest.raises(RefusedError, match="I won't talk about that"):
        run(model.chat(ask("a bomb")))
    assert run(model.score([ChatMessage("user", "Does it fit?")], ["Yes"])) == [-0.1]
    assert run(model.chat(ask("hello"))).text in ("Something funny, please.", "Something old, please.")


def test_a_script_cannot_be_held_to_a_pattern(script):
    with pytest.raises(LlmError, match="can't be held to a pattern"):
        run(script({"text": "yes"}).chat(ask(pattern="yes")))
