"""`harness chat`."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.store import read_manifest, read_records


@pytest.fixture
def chat(harness: Callable, club: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`chat("typed text", flags...)`: the outcome and the only record of the transcript (None if there is no transcript)."""

    def run(typed: str, *flags: str, rec: str = "shelf") -> Any:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        ran = harness("chat", "--rec", rec, "--dataset", "club", "--out", str(tmp_path / "talk"), *flags)
        records = list(read_records(tmp_path / "talk"))
        assert len(records) <= 1
        return ran, records[0] if records else None

    return run


def test_a_dialogue_to_its_accept(chat: Callable, tmp_path: Path) -> None:
    ran, record = chat("more like Alien\n/reject 1 seen it\n/accept 1\n", "--k", "2")
    assert ran.code == 0, ran.err
    assert record.stop == "accepted"
    assert record.targets == (), "nobody knows what the person looks for"
    assert [turn.user_text for turn in record.turns] == ["more like Alien", "seen it", "I'll take Heat."]
    assert [turn.items for turn in record.turns] == [("a", "b"), ("a", "b"), ("b", "c")]
    assert [turn.rejected for turn in record.turns] == [(), ("a",), ()]
    assert record.turns[2].accepted == ("b",)
    assert "accepted" in ran.out
    assert str(tmp_path / "talk") in ran.out


def test_each_turn_shows_the_text_and_the_list_with_attributes(chat: Callable) -> None:
    ran, _ = chat("hm\n/quit\n", "--rec-opt", "greeting=Good evening.")
    assert "recommender> Good evening." in ran.out
    assert "1. Alien (1979)  genre: horror, science fiction; director: Ridley Scott" in ran.out
    assert "recommender> You said hm []" in ran.out


def test_end_of_input_quits_and_keeps_the_transcript(chat: Callable) -> None:
    ran, record = chat("one thing\n")
    assert ran.code == 0
    assert record.stop == "quit"
    assert record.turns[0].user_text == "one thing"


def test_the_last_list_is_shown_and_answered_too(chat: Callable) -> None:
    ran, record = chat("one\ntwo\nthree\n", "--turns", "2")
    assert record.stop == "max_turns"
    assert [turn.user_text for turn in record.turns] == ["one", "two"]
    assert ran.out.count("1. Alien") == 2


def test_what_is_said_first_is_the_context_with_its_items(chat: Callable, tmp_path: Path) -> None:
    ran, record = chat("/quit\n", "--say", "I loved Zodiac (2007)")
    assert "you> I loved Zodiac (2007)" in ran.out
    assert record.turns[0].text == "You said I loved Zodiac (2007) [c]"
    context = read_manifest(tmp_path / "talk")["chat"]["context"]
    assert [message["text"] for message in context] == ["I loved Zodiac (2007)"]


def test_a_scenario_s_context_is_shown_and_its_targets_stay_out(chat: Callable, tmp_path: Path) -> None:
    """s1's target is hidden from simulators; a person who types it is not censored, for the person's need is another."""
    ran, record = chat("what about Heat?\n/quit\n", "--scenario", "s1")
    assert ran.out.index("you> Alien was great") < ran.out.index("recommender> I see") < ran.out.index("1. Alien")
    assert record.turns[0].user_text == "what about Heat?"
    assert record.turns[0].user_items == ("b",)
    assert (record.targets, record.turns[0].leaks) == ((), ())
    manifest = read_manifest(tmp_path / "talk")
    assert manifest["chat"]["scenario"] == "s1"
    assert "s1" not in (record.scenario, record.source), "not to be taken for the data set's own row"


def test_all_rows_can_be_started_from(chat: Callable) -> None:
    assert chat("/quit\n", "--scenario", "s3")[0].code == 0, "s3 has no novel target"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--scenario", "s12"], "did you mean s"),
        (["--scenario", "zzz"], "its ids look like s1"),
        (["--say", "  "], "--say needs a text"),
        (["--dataset-opt", "split=validation"], "no validation split"),
        (["--rec-opt", "greetings=x"], "did you mean greeting"),
        (["--turns", "0"], "--turns"),
    ],
)
def test_a_wrong_flag_is_told_before_anything_is_written(chat: Callable, tmp_path: Path, flags: list[str], told: str) -> None:
    ran, record = chat("hello\n", *flags)
    assert ran.code == 2
    assert told in ran.err
    assert record is None
    assert not (tmp_path / "talk").exists()


def test_a_recommender_that_fails_ends_the_chat_with_its_reason(chat: Callable) -> None:
    ran, record = chat("hello\n", rec="drunk")
    assert ran.code == 1
    assert record.stop == "recommender_fault"
    assert "RuntimeError: hic" in ran.out


def test_a_spent_budget_ends_the_chat_with_what_was_said(chat: Callable) -> None:
    ran, record = chat("yes\n", rec="spender")
    assert ran.code == 1
    assert "3 dollars are spent" in ran.err
    assert record.stop == "cancelled"
    assert [turn.user_text for turn in record.turns] == ["yes"]


def test_a_folder_with_a_run_is_left_alone(chat: Callable) -> None:
    _, before = chat("one\n")
    ran, after = chat("two\n")
    assert ran.code == 2
    assert "choose another --out" in ran.err
    assert after == before


def test_without_out_it_goes_under_runs(harness: Callable, club: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.StringIO("/quit\n"))
        assert harness("chat", "--rec", "shelf", "--dataset", "club").code == 0
    folders = list(Path("runs").glob("chat-*"))
    assert len(folders) == 2
    assert all((folder / "manifest.json").is_file() for folder in folders)


@pytest.mark.parametrize("verb", ["score", "resume"])
def test_a_chat_is_no_result(chat: Callable, harness: Callable, tmp_path: Path, verb: str) -> None:
    chat("/quit\n")
    ran = harness(verb, str(tmp_path / "talk"))
    assert ran.code == 2
    assert "is a chat" in ran.err


def test_the_same_words_give_the_same_record(harness: Callable, chat: Callable, tmp_path: Path) -> None:
    _, first = chat("hello\n/accept 2\n")
    (tmp_path / "talk").rename(tmp_path / "before")
    _, second = chat("hello\n/accept 2\n")
    assert msgspec.structs.replace(first, seconds={}) == msgspec.structs.replace(second, seconds={})


def test_ctrl_c_keeps_what_was_said(club_site: Path, tmp_path: Path) -> None:
    """In a terminal of its own, with the key pressed while the chat waits for a line."""
    program = "from harness.cli import main; main()"
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.environ["PYTHONPATH"] = str(club_site)
        os.chdir(tmp_path)
        os.execv(
            sys.executable, [sys.executable, "-c", program, "chat", "--rec", "shelf", "--dataset", "club", "--out", "talk"]
        )
    seen = b""
    keys = [b"hello there\n", b"\x03"]
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
            if keys and seen.count(b"you> ") > 2 - len(keys):
                os.write(terminal, keys.pop(0))
    except OSError:  # how Linux tells the end of a terminal
        pass
    finally:
        os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 130, seen.decode()
    assert b"cancelled" in seen
    assert b"Traceback" not in seen
    (record,) = read_records(tmp_path / "talk")
    assert record.stop == "cancelled"
    assert [turn.user_text for turn in record.turns] == ["hello there", None]
