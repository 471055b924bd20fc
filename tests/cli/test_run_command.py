"""`run`, `resume`, `score`, `report` and `compare` on the bundled data, through the command's own entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main

Ended = tuple[int, str, str]
Harness = Callable[..., Ended]

CHEAP = "attribute-match"
"""Prepared in no time, and has options that are numbers."""


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Harness:
    """Runs the command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_a_run_prints_its_table_and_keeps_everything(harness: Harness, tmp_path: Path) -> None:
    code, out, _ = harness("run", "--rec", "popularity", "--limit", "12", "--out", "mine")
    assert code == 0
    assert "popularity x rule on cinema (test, novel): 12 scenarios of 1,480 rows" in out
    assert "Bayes-optimal" in out, "the ceilings stand beside every cinema table"
    assert "95 % CI" in out
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert manifest["fields"]["recommender.name"] == "popularity"
    assert len((tmp_path / "mine" / "dialogues.jsonl").read_text().splitlines()) == 12
    assert len((tmp_path / "mine" / "scores.jsonl").read_text().splitlines()) == 12


def test_the_same_command_plays_nothing_twice(harness: Harness, tmp_path: Path) -> None:
    command = ("run", "--rec", "popularity", "--limit", "6", "--out", "mine", "--json")
    first = json.loads(harness(*command)[1])
    written = (tmp_path / "mine" / "dialogues.jsonl").read_bytes()
    second = json.loads(harness(*command)[1])
    assert (tmp_path / "mine" / "dialogues.jsonl").read_bytes() == written
    assert first["metrics"]["sr"] == second["metrics"]["sr"]


def test_without_out_an_unfinished_run_is_gone_on_with_and_a_finished_one_is_not(harness: Harness, tmp_path: Path) -> None:
    command = ("run", "--rec", "popularity", "--limit", "6", "-q")
    harness(*command)
    (folder,) = (tmp_path / "runs").iterdir()
    lines = (folder / "dialogues.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "dialogues.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:40])
    (folder / "summary.json").unlink()
    harness(*command)
    assert [folder] == list((tmp_path / "runs").iterdir())
    assert len((folder / "dialogues.jsonl").read_bytes().splitlines()) == 6
    assert (folder / "dialogues.torn").read_bytes().startswith(lines[2][:40])
    harness(*command)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_another_option_is_refused_with_the_difference(harness: Harness) -> None:
    harness("run", "--rec", CHEAP, "--limit", "3", "--out", "mine", "-q")
    code, _, err = harness("run", "--rec", CHEAP, "--rec-opt", "disliked=2", "--limit", "3", "--out", "mine", "-q")
    assert code == 3
    assert "recommender.options.disliked: 1.0 -> 2.0" in err
    code, _, err = harness("resume", "mine", "--sim-opt", "eps=0.5")
    assert code == 3
    assert "simulator.options.eps: 0.0 -> 0.5" in err
    assert harness("resume", "mine", "--concurrency", "3", "-q")[0] == 0, "how it is carried out may differ"


def test_a_control_gives_the_feedback_gain(harness: Harness) -> None:
    code, out, _ = harness("run", "--rec", CHEAP, "--limit", "30", "--control", "exclude-only", "--out", "mine", "--json")
    gains = {gain["metric"]: gain for gain in json.loads(out)["gains"]}
    assert code == 0
    assert gains["sr"]["n"] == 30
    played = json.loads(out)["metrics"]["sr"]["value"]
    control = json.loads(Path("mine/control-exclude-only/summary.json").read_text())["metrics"]["sr"]["value"]
    assert gains["sr"]["difference"] == pytest.approx(played - control)


def test_settings_come_from_a_file_and_flags_win(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(
        'rec = "bm25"\nlimit = 4\ntrials = 2\n[rec-opt]\nk1 = 1.2\nb = 0.5\n[sim-opt]\neps = 0.25\n', encoding="utf-8"
    )
    code, out, _ = harness("run", "--config", "my.toml", "--rec-opt", "b=0.75", "--dry-run", "--json")
    fields = json.loads(out)["config"]
    assert code == 0
    assert (fields["recommender.options.k1"], fields["recommender.options.b"], fields["trials"]) == (1.2, 0.75, 2)
    assert fields["simulator.options.eps"] == 0.25
    other = json.loads(harness("run", "--config", "my.toml", "--rec", "popularity", "--dry-run", "--json")[1])["config"]
    assert "recommender.options.k1" not in other, "the file's options belong to the file's recommender"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('recc = "bm25"\n', "did you mean rec"),
        ("rec-opt = 3\n", "rec-opt must be a table"),
        ("turns = 0\n", "turns must be at least 1"),
        ('turns = "many"\n', "turns"),
        ("rec = \n", "my.toml"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(harness: Harness, tmp_path: Path, settings: str, told: str) -> None:
    (tmp_path / "my.toml").write_text(settings, encoding="utf-8")
    code, _, err = harness("run", "--config", "my.toml", "--dry-run")
    assert code == 2
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rec", "popularty"), "did you mean popularity"),
        (("--rec-opt", "exclude_rejectd=1"), "did you mean exclude_rejected"),
        (("--sim", "rule", "--sim-opt", "eps=2"), "eps"),
        (("--dataset", "cinma"), "did you mean cinema"),
        (("--metric", "ndgc@10"), "did you mean ndcg"),
        (("--preset", "fast"), "unknown preset"),
        (("--preset", "static", "--sim", "rule"), "static has no simulator"),
        (("--sim-opt", "eps"), "name=value"),
        (("--dataset-opt", "variant=some"), "must be one of novel, all"),
        (("--control", "exclude"), "did you mean exclude-only"),
    ],
)
def test_a_wrong_name_or_option_is_told_in_one_line(harness: Harness, arguments: tuple[str, ...], told: str) -> None:
    code, _, err = harness("run", *arguments, "--limit", "2")
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_a_dry_run_plays_nothing(harness: Harness, tmp_path: Path) -> None:
    code, out, _ = harness("run", "--limit", "10", "--trials", "3", "--control", "exclude-only", "--dry-run")
    assert code == 0
    assert "60 dialogues (10 scenarios of 1,480 rows, 3 trial(s), 1 control(s)), at most 300 recommender calls and 240" in out
    assert not (tmp_path / "runs").exists()


def test_copy_history_scores_exactly_nothing_on_novel(harness: Harness) -> None:
    summary = json.loads(harness("run", "--rec", "copy-history", "--preset", "static", "--out", "mine", "--json")[1])
    assert summary["metrics"]["recall@10"]["value"] == 0
    assert summary["metrics"]["hr@10"]["value"] == 0
    everything = json.loads(
        harness(
            "run", "--rec", "copy-history", "--preset", "static", "--dataset-opt", "variant=all", "--limit", "500",
            "--out", "all", "--json",
        )[1]
    )  # fmt: skip
    assert summary["run"]["scenarios"] > 1000
    assert everything["run"]["scenarios"] == 500
    assert everything["metrics"]["hr@10"]["value"] > 0.05


def test_scores_can_be_made_again_and_with_another_metric(harness: Harness, tmp_path: Path) -> None:
    first = json.loads(harness("run", "--rec", CHEAP, "--limit", "20", "--out", "mine", "--json")[1])
    (tmp_path / "mine" / "summary.json").unlink()
    again = json.loads(harness("score", "mine", "--metric", "ndcg@3", "--json")[1])
    assert again["metrics"]["ndcg@10"] == first["metrics"]["ndcg@10"]
    assert 0 <= again["metrics"]["ndcg@3"]["value"] <= 1
    assert harness("score", "mine", "--metric", "nothing")[0] == 2


def test_compare_pairs_runs_and_refuses_what_can_not_be_paired(harness: Harness) -> None:
    for name in (CHEAP, "popularity"):
        harness("run", "--rec", name, "--limit", "20", "--out", name, "-q")
    lines: list[dict[str, Any]] = json.loads(harness("compare", CHEAP, "popularity", "--metric", "sr", "--json")[1])
    (line,) = lines
    assert line["n"] == 20
    assert line["wins"] + line["ties"] + line["losses"] == 20
    assert line["p"] <= line["p_holm"] <= 1
    code, out, _ = harness("compare", CHEAP, "popularity")
    assert code == 0
    assert f"A = {CHEAP} x rule" in out
    harness("run", "--rec", "popularity", "--limit", "10", "--out", "short", "-q")
    code, _, err = harness("compare", CHEAP, "short")
    assert code == 2
    assert "differ in data_hash" in err
    harness("run", "--rec", "popularity", "--limit", "20", "--sim", "exclude-only", "--out", "control", "-q")
    assert "differ in simulator" in harness("compare", CHEAP, "control")[2]
    assert harness("compare", CHEAP, "control", "--any-simulator")[0] == 0


def test_trials_add_pass_to_the_power_of_k(harness: Harness) -> None:
    summary = json.loads(
        harness("run", "--rec", "random", "--limit", "40", "--trials", "3", "--k", "50", "--out", "mine", "--json")[1]
    )
    solved = [entry["value"] for entry in summary["pass^k"]["values"]]
    assert summary["counts"]["played"] == 120
    assert len(solved) == 3
    assert solved == sorted(solved, reverse=True)


def test_reports_of_one_and_of_several_runs(harness: Harness) -> None:
    harness("run", "--rec", CHEAP, "--limit", "10", "--out", "a", "-q")
    harness("run", "--rec", "random", "--limit", "10", "--out", "b", "-q")
    assert "attribute-precision" in harness("report", "a", "--full")[1]
    out = harness("report", "a", "b")[1]
    assert f"{CHEAP} x rule" in out
    assert "random x rule" in out
    code, _, err = harness("report", ".")
    assert code == 4
    assert "harness score" in err
