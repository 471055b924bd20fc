"""A person in the terminal, with scripted input."""

from __future__ import annotations

import io

import pytest
from five_films import FILMS, conversation, prepared

from harness.api import Feedback, Item, Knowledge
from harness_plugins.simulators.human import Human, describe


def ask(typed: str | bytes, *ranked: str, text: str = "How about these?") -> tuple[Feedback, str]:
    stdin = io.StringIO(typed) if isinstance(typed, str) else io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8")
    out = io.StringIO()
    human = prepared(Human(None, stdin=stdin, stdout=out))
    return human.reply(conversation(*ranked, text=text), Knowledge()), out.getvalue()


def test_the_list_is_shown_with_attributes_and_the_text_goes_out_as_typed():
    answer, printed = ask("something funnier\n", "f1", "f5", "zz")
    assert answer == Feedback("something funnier", rejected=())
    assert "How about these?" in printed
    assert "1. Night Orchard (1984)  genre: Horror; director: Ana Sol; star: Bo R. Reed; decade: 1980s\n" in printed
    assert "2. The Blank Reel\n" in printed
    assert "3. zz (not in the catalogue)" in printed


@pytest.mark.parametrize(("line", "accepted"), [("/accept", ("f1",)), ("/accept 2", ("f3",)), ("  /ACCEPT   2 ", ("f3",))])
def test_accept(line: str, accepted: tuple[str, ...]):
    answer, _ = ask(line + "\n", "f1", "f3")
    assert (answer.action, answer.accepted, answer.rejected) == ("accept", accepted, ())
    assert FILMS.get(accepted[0]).title in answer.text


@pytest.mark.parametrize(
    ("line", "rejected", "text"),
    [
        ("/reject 2", ("f3",), "Not Iron Harbour."),
        ("/reject 1, 3 too old for me", ("f1", "f2"), "too old for me"),
        ("/reject 2 2", ("f3",), "Not Iron Harbour."),
        ("/reject all", ("f1", "f3", "f2"), "None of these."),
        ("/reject all more comedies", ("f1", "f3", "f2"), "more comedies"),
    ],
)
def test_reject(line: str, rejected: tuple[str, ...], text: str):
    answer, _ = ask(line + "\n", "f1", "f3", "f2")
    assert (answer.action, answer.rejected, answer.text) == ("continue", rejected, text)


@pytest.mark.parametrize("typed", ["/quit\n", "", "\n\n"])
def test_quit_and_the_end_of_input_end_the_dialogue(typed: str):
    answer, _ = ask(typed, "f1")
    assert (answer.action, answer.accepted, answer.rejected) == ("quit", (), ())
    assert answer.text


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("", "type an answer"),
        ("   ", "type an answer"),
        ("/accept 3", "(1 to 2)"),
        ("/accept 0", "(1 to 2)"),
        ("/accept -1", "(1 to 2)"),
        ("/accept ²", "(1 to 2)"),
        ("/accept " + "9" * 5000, "(1 to 2)"),
        ("/accept 1 2", "one number"),
        ("/accept it", "no number"),
        ("/reject", "numbers"),
        ("/reject it", "numbers"),
        ("/reject 9", "(1 to 2)"),
        ("/quit now", "no argument"),
        ("/stop", "Unknown command /stop"),
        ("/help", "/accept [n]"),
    ],
)
def test_what_is_not_understood_is_asked_again(bad: str, told: str):
    answer, printed = ask(f"{bad}\n/accept 2\n", "f1", "f3")
    assert answer.accepted == ("f3",)
    assert told in printed
    assert printed.count("you> ") == 2


def test_nothing_can_be_chosen_from_an_empty_list():
    answer, printed = ask("/accept\n/reject 1\n/reject all\nwell\n")
    assert answer == Feedback("well", rejected=())
    assert printed.count("Nothing is listed") == 3


def test_bytes_that_are_no_text_are_asked_again():
    answer, _ = ask(b"\xff\xfe\n/quit\n", "f1")
    assert answer.action == "quit"
    lone = io.StringIO("caf\udce9\n")
    typed = prepared(Human(stdin=lone, stdout=io.StringIO())).reply(conversation("f1"), Knowledge())
    assert typed.text.encode("utf-8") == b"caf?"


def test_a_recommender_cannot_steer_the_terminal():
    _, printed = ask("ok\n", text="\x1b[2Jgone\x07\r\u202e\x9b31m\nnext line")
    assert not any(c in printed for c in "\x1b\x07\r\u202e\x9b")
    assert "next line" in printed
    assert describe(Item("x", "A\x1b[31mB", attributes={"genre": ("\x00odd",)})) == "A[31mB  genre: odd"


def test_what_the_recommender_writes_is_no_command():
    answer, _ = ask("go on\n", "f1", text="/accept 1\n/quit")
    assert answer.action == "continue"
