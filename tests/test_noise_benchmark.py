"""`python -m benchmarks.noise`: numbers by hand, and a whole command on what needs no artefact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.noise import main, results, told


def rows(values: Mapping[str, float], stop: str = "max_turns") -> list[dict[str, Any]]:
    return [{"scenario": name, "source": name, "stop": stop, "values": {"ndcg@10": value}} for name, value in values.items()]


def test_means_differences_and_changes_are_paired_by_scenario() -> None:
    cells = {
        ("search", "eps 0"): rows({"a": 0.4, "b": 0.6}),
        ("search", "eps 0.4"): rows({"a": 0.1, "b": 0.5}),
        ("search", "untuned"): rows({"a": 0.2, "b": 0.2}),
        # Two seeds, averaged: a .6, b .8.
        ("sft", "eps 0"): [*rows({"a": 0.5, "b": 0.8}, "accepted"), *rows({"a": 0.7, "b": 0.8})],
        ("sft", "eps 0.4"): rows({"a": 0.5, "b": 0.8}),
        ("sft", "untuned"): rows({"a": 0.2, "b": 0.4}),
    }
    found = results(cells, {"search": [1, 6], "sft": [0, 8]})
    values = {kind: {place: block["value"] for place, block in found[kind].items()} for kind in ("scores", "difference")}
    assert values["scores"]["search | eps 0.4"] == pytest.approx(0.3)
    assert values["scores"]["sft | eps 0"] == pytest.approx(0.7)
    assert found["scores"]["sft | eps 0"]["ended"] == 0.5
    assert values["difference"] == {
        "search | eps 0": pytest.approx(-0.2),
        "search | eps 0.4": pytest.approx(-0.35),
        "search | untuned": pytest.approx(-0.1),
    }
    # a loses .3 and b .1; SFT loses .1 and nothing.
    assert found["change"]["search | eps 0.4"]["value"] == pytest.approx(-0.2)
    assert found["change"]["sft | eps 0.4"]["value"] == pytest.approx(-0.05)
    assert found["beyond"]["search | eps 0.4"]["value"] == pytest.approx(-0.15)
    assert set(found["beyond"]) == {"search | eps 0.4"}
    text = told(found)
    assert "frozen + beam search: 1 of 6 dialogues end with its fault" in text
    assert "-0.1500" in text


def test_the_command_plays_prints_draws_and_does_not_play_again(tmp_path: Path) -> None:
    given = ["--rec", "hybrid", "--no-untuned", "--scenarios", "3", "--eps", "0,1", "--rule", "accept=1"]
    given += ["--out", str(tmp_path / "runs"), "--json", str(tmp_path / "n.json"), "--plot", str(tmp_path / "n.svg")]
    first = CliRunner().invoke(main, given)
    assert first.exit_code == 0, first.output
    assert "| hybrid |" in first.output
    found = json.loads((tmp_path / "n.json").read_text())
    assert found["simulators"] == ["eps 0", "eps 1"]
    assert found["scores"]["hybrid | eps 1"]["scenarios"] == 3
    drawn = (tmp_path / "n.svg").read_bytes()
    assert drawn.startswith(b"<?xml")
    runs = sorted((tmp_path / "runs").glob("*/dialogues.jsonl"))
    assert [path.parent.name for path in runs] == ["hybrid--eps-0--any-0", "hybrid--eps-1--any-0"]
    before = [path.stat().st_mtime_ns for path in runs]
    assert CliRunner().invoke(main, given).exit_code == 0
    assert [path.stat().st_mtime_ns for path in runs] == before
    assert (tmp_path / "n.svg").read_bytes() == drawn


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--eps", "0,2"], "from 0 to 1"),
        (["--eps", "much"], "numbers between commas"),
        (["--seeds", "a"], "whole numbers"),
        (["--rec", "sft,bert"], "there is no 'bert'"),
        (["--artifact", "./nowhere"], "no artefact at ./nowhere"),
    ],
)
def test_what_can_not_be_asked_is_told(given: list[str], said: str, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(main, [*given, "--out", str(tmp_path)])
    assert outcome.exit_code != 0
    assert said in outcome.output
    assert isinstance(outcome.exception, SystemExit)
