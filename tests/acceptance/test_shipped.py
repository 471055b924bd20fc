"""The weights that come with the package: whole and small; and the command that the project is known by runs on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import artifacts
from harness.text import AttributeIndex
from harness_plugins.datasets.cinema import Cinema, Options

MOST = 25_000_000
PARTS = ("simulator", "retriever", "sft", "rl")
PLAIN = {".json", ".jinja", ".md", ".safetensors"}


@pytest.fixture(autouse=True)
def no_other_artefacts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_ARTIFACTS", raising=False)
    monkeypatch.chdir(tmp_path)


def test_they_are_whole_small_and_say_where_they_come_from() -> None:
    bundle = artifacts.find("smtpo-tiny")
    assert bundle.card.parts == PARTS
    files = [file for file in bundle.path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < MOST
    assert {file.suffix for file in files} <= PLAIN, "nothing that could be code"
    for part in PARTS:
        card = artifacts.find("smtpo-tiny", part).card
        assert card.trained_on == ("cinema",)
        assert card.seeds
        assert card.curves
        assert card.results
        assert card.versions["torch"]


def test_weights_are_in_half_precision() -> None:
    from safetensors import safe_open

    for part in ("simulator", "sft", "rl"):
        with safe_open(artifacts.find("smtpo-tiny", part).file("model.safetensors"), "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118  it is no dict


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Records of the headline command, on 24 scenarios, by an own process without a network."""
    out = tmp_path_factory.mktemp("shipped") / "run"
    command = "run --rec smtpo --sim smtpo-sft --limit 24 --max-fault-rate 1 -q --out"
    program = (
        "import socket, sys\n"
        "def refused(*_, **__): raise OSError('no network here')\n"
        "socket.socket.connect = refused; socket.getaddrinfo = refused\n"
        "from harness.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split(), str(out)], cwd=out.parent, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (out / "dialogues.jsonl").read_text().splitlines()]


def test_the_headline_command_runs_offline(played: list[dict[str, Any]]) -> None:
    assert len(played) == 24
    assert all(record["stop"] in {"accepted", "max_turns", "recommender_fault"} for record in played)
    assert sum(record["stop"] == "recommender_fault" for record in played) <= 1


def test_reasoning_and_candidates_are_recorded(played: list[dict[str, Any]]) -> None:
    turns = [turn for record in played for turn in record["turns"] if turn.get("items")]
    assert len(turns) > 60
    for turn in turns:
        assert turn["reasoning"].startswith("preference: ")
        assert len(turn["candidates"]) == 100
        assert set(turn["items"]) <= set(turn["candidates"])
        assert turn["recommender_usage"]["completion_tokens"] > 20


def test_users_say_what_they_look_for_and_not_all_the_same(played: list[dict[str, Any]]) -> None:
    """What can be told without repeating oneself is told in the first answer; later ones may say no more than no."""
    index = AttributeIndex(Cinema(Options()).load("test").catalogue)
    first = [record["turns"][0]["user_text"] for record in played if record["stop"] == "max_turns"]
    assert len(first) > 10
    assert sum(bool(index.statements(text)) for text in first) >= len(first) / 2
    said = {turn["user_text"] for record in played for turn in record["turns"] if turn.get("user_text")}
    assert len(said) >= 10
