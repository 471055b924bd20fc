"""`harness train smtpo --stage all` in processes that are killed in every stage: it ends as one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import signal
import time
from importlib.util import find_spec
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from harness import artifacts

STAGES = {
    "simulator": "lm/checkpoint-*",
    "retriever": "last.safetensors",
    "sft": "lm/checkpoint-*",
    "rl": "checkpoints/checkpoint-*",
}
"""Each with what lies in its work folder once there is something to go on from."""
PRESET = """
[simulator]
validation = 6
scenarios = 24
rounds = 1
tiny = {width = 16, layers = 1, heads = 2, inner = 32, pieces = 330}
lm = {steps = 24, batch = 2, check_every = 8, threads = 1}
[retriever]
size = 16
heads = 2
item_size = 6
folds = 2
epochs = 6
patience = 6
batch = 16
fresh = 0
[sft]
fresh = 0.5
world = 24
scenarios = 6
validation = 4
turns = 1
tiny = {width = 16, layers = 1, heads = 2, inner = 32, pieces = 330}
prompting = {candidates = 4, answer = 2}
lm = {steps = 24, batch = 2, check_every = 8, threads = 1}
[rl]
steps = 6
scenarios = 2
group = 2
horizon = [1]
check_every = 2
check_scenarios = 2
check_turns = 1
micro_batch = 4
threads = 1
"""
SOON = 300.0


def _train(out: str, preset: str) -> None:
    """In a process of its own."""
    from harness.cli import main

    main(["train", "smtpo", "--stage", "all", "--preset", preset, "--limit", "40", "--out", out, "-q"])


def start(out: Path, preset: Path) -> ForkServerProcess:
    """A process that trains. The server that it is forked from has imported what takes long, and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trl", "harness.cli", "harness_plugins.trainers.smtpo.rl.grpo"])
    process = context.Process(target=_train, args=(str(out), str(preset)))
    process.start()
    return process


def ended(process: ForkServerProcess) -> int | None:
    process.join(SOON)
    return process.exitcode


def kill_in(stage: str, process: ForkServerProcess, out: Path) -> None:
    """SIGKILL as soon as the stage has kept something to go on from."""
    until = time.monotonic() + SOON
    while not list((out / ".work" / stage).glob(STAGES[stage])):
        assert process.is_alive(), f"ended before {stage} kept anything"
        assert time.monotonic() < until
        time.sleep(0.002)
    process.kill()


def untimed(card: artifacts.Card) -> list[dict[str, float]]:
    """The points of its curves, but for what they took."""
    return [
        {name: value for name, value in point.items() if not name.endswith("seconds")}
        for curve in card.curves.values()
        for point in curve
    ]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("trl") is None, reason="needs the package trl")
@pytest.mark.timeout(1500)
def test_killed_in_every_stage_it_ends_as_one_that_nobody_disturbed(tmp_path: Path) -> None:
    preset = tmp_path / "micro.toml"
    preset.write_text(PRESET)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert ended(start(whole, preset)) == 0
    for stage in STAGES:
        process = start(torn, preset)
        kill_in(stage, process, torn)
        assert ended(process) == -signal.SIGKILL
        assert not (torn / stage).exists(), f"killed too late to show anything of {stage}"
    assert ended(start(torn, preset)) == 0
    for stage in STAGES:
        first, second = (artifacts.read(out / stage).card for out in (whole, torn))
        assert first.curves
        assert untimed(second) == untimed(first)
        assert second.files["model.safetensors"] == first.files["model.safetensors"]
