"""`harness train` and `harness artifacts`: the real command with a small trainer that is really installed."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import install

from harness.artifacts import find

GYM = {
    "gym.py": '''
        import os
        import time

        import msgspec

        from harness import (ArtifactFolder, Catalogue, Component, Item, Message, Need, Scenario, Split, TrainingDialogue,
                             hookimpl)
        from harness.artifactfiles import create
        from harness.artifacts import Card

        @hookimpl
        def harness_trainers():
            yield Component("lift", "gym:Lift", summary="counts to ten")

        @hookimpl
        def harness_datasets():
            yield Component("weights", "gym:Weights")

        class Weights:
            def __init__(self, options): ...

            def load(self, split):
                said = (Message("seeker", "heavy"),)
                rows = [Scenario(f"s{n}", f"d{n}", said, Need(("a",))) for n in range(8)]
                return Split(split, rows, [TrainingDialogue("t", said)], Catalogue([Item("a", "Anvil")]))

        @hookimpl
        def harness_artifacts():
            yield ArtifactFolder("ready", "harness_plugins", "no-such-folder", summary="not there")

        class Lift:
            """Counts, one file per step, and breaks off where the environment says so."""

            def __init__(self, options): ...

            def plan(self, setup):
                return {"count": {"steps": int(setup.options.get("count.steps", 10)), "simulator": setup.simulator}}

            def train(self, setup, out):
                steps = self.plan(setup)["count"]["steps"]
                work = out / "steps"
                work.mkdir(exist_ok=True)
                end = os.environ.get("GYM_END", "")
                for step in range(steps):
                    if (work / str(step)).exists():
                        continue
                    if f"{step}" == end.partition(":")[2]:
                        if end.startswith("interrupt"):
                            raise KeyboardInterrupt
                        os.kill(os.getpid(), 9)
                    (work / str(step)).write_text(str(time.time_ns()))
                    setup.progress.step("count", step + 1, steps, {"loss": 1 / (step + 1)})
                card = Card(kind="counted", name="ten", summary="| counted", trained_on=(setup.dataset,),
                            seeds=(setup.seed,), results={"steps": steps})
                with create(out / "made", card) as folder:
                    for path in work.iterdir():
                        (folder / path.name).write_text(path.read_text())
    ''',
}


@pytest.fixture
def gym(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    install(site, "gym", GYM, {"gym": "gym"})
    monkeypatch.syspath_prepend(str(site))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("HARNESS_ARTIFACTS", "HARNESS_PLUGINS", "HARNESS_DISABLE_PLUGINS", "GYM_END"):
        monkeypatch.delenv(name, raising=False)
    return site


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "steps").iterdir()}


@pytest.mark.usefixtures("gym")
def test_an_artefact_is_made_listed_shown_and_found(harness: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = harness("train", "lift", "--dataset", "weights", "--seed", "4", "--out", "gains")
    assert (ran.code, ran.out) == (0, "")
    assert "count: 10/10 steps; loss 0.1" in ran.err
    monkeypatch.setenv("HARNESS_ARTIFACTS", "gains")
    listed = json.loads(harness("artifacts", "list", "--json").out)
    assert [(row["name"], row["kind"], row["error"] is None) for row in listed if row["from"] != "crs-harness"] == [
        ("made", "counted", True),
        ("ready", "", False),
    ]
    assert "made" in harness("artifacts", "list").out
    shown = harness("artifacts", "show", "made")
    assert (shown.code, "| counted" in shown.out, "weights" in shown.out) == (0, True, True)
    assert json.loads(harness("artifacts", "show", "./gains/made", "--json").out)["seeds"] == [4]
    assert harness("artifacts", "path", "made").out.strip() == str(Path("gains/made").absolute())
    (Path("gains") / "made" / "3").write_text("more")
    harmed = harness("artifacts", "show", "made")
    assert (harmed.code, harmed.out) == (2, "")
    assert "3 is not what was written" in harmed.err
    missing = harness("artifacts", "path", "mode")
    assert (missing.code, "did you mean made" in missing.err) == (2, True)


@pytest.mark.usefixtures("gym")
def test_ctrl_c_prints_the_command_that_goes_on(harness: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_END", "interrupt:6")
    flags = "--dataset weights --opt count.steps=8 --sim rule --sim-opt eps=0.1 --fresh -q".split()
    ran = harness("train", "lift", *flags, "--out", "my gains")
    assert ran.code == 130
    told = ran.err.strip().partition("Go on with: ")[2]
    before = files(Path("my gains"))
    assert len(before) == 6
    assert "--fresh" not in told
    monkeypatch.delenv("GYM_END")
    again = harness(*shlex.split(told)[1:])
    assert (again.code, again.err) == (0, "")
    assert len(files(Path("my gains"))) == 8
    assert before.items() <= files(Path("my gains")).items()


def test_a_killed_training_goes_on_by_the_same_command(gym: Path, process: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(gym))
    monkeypatch.setenv("GYM_END", "kill:7")
    command = ("-m", "harness", "train", "lift", "--dataset", "weights", "--out", "gains")
    killed: subprocess.CompletedProcess[str] = process(*command)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    out = gym.parent / "gains"
    before = files(out)
    assert len(before) == 7
    monkeypatch.delenv("GYM_END")
    ran: subprocess.CompletedProcess[str] = process(*command)
    assert ran.returncode == 0, ran.stderr
    assert len(files(out)) == 10
    assert before.items() <= files(out).items()
    assert len(find(str(out / "made")).card.files) == 10


@pytest.mark.usefixtures("gym")
def test_another_configuration_is_refused_with_exit_code_3(harness: Callable) -> None:
    assert harness("train", "lift", "--dataset", "weights", "--out", "gains").code == 0
    refused = harness("train", "lift", "--dataset", "weights", "--opt", "count.steps=3", "--seed", "1", "--out", "gains")
    assert refused.code == 3
    assert "count.steps: 10 -> 3" in refused.err
    assert "seed: 0 -> 1" in refused.err
    assert harness("train", "lift", "--dataset", "weights", "--opt", "count.steps=3", "--out", "gains", "--fresh").code == 0


@pytest.mark.usefixtures("gym")
def test_a_dry_run_shows_every_setting_and_makes_nothing(harness: Callable) -> None:
    ran = harness("train", "lift", "--dataset", "weights", "--opt", "count.steps=3", "--out", "gains", "--dry-run")
    assert ran.code == 0
    assert "[count]\nsteps = 3\n" in ran.out
    assert "1 dialogues and 8 scenarios to learn from, 8 to choose on" in ran.out
    assert not Path("gains").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("lifft", "--out", "x"), "unknown trainer 'lifft'; did you mean lift"),
        (("lift", "--out", "x", "--dataset", "weigths"), "did you mean weights"),
        (("lift", "--out", "x", "--opt", "steps"), "write it as --opt name=value"),
        (("lift", "--out", "x", "--sim-opt", "eps=1"), "--sim-opt was given, but no --sim"),
        (("lift", "--out", "x", "--sim-llm", "hf:a"), "--sim-llm was given, but no --sim"),
        (("lift", "--out", "x", "--llm-opt", "a=b"), "--llm-opt was given, but no --sim-llm"),
        (("lift", "--out", "x", "--sim", "rull"), "did you mean rule"),
        (("lift", "--out", "x", "--dataset-opt", "split=test"), "chooses on validation"),
        (("lift", "--out", "x", "--from", "nothing"), "unknown artefact 'nothing'"),
        (("lift",), "Missing option '--out'"),
    ],
)
@pytest.mark.usefixtures("gym")
def test_what_is_wrong_is_one_error_with_what_to_do(harness: Callable, flags: tuple[str, ...], told: str) -> None:
    ran = harness("train", *flags)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert not Path("x").exists()
