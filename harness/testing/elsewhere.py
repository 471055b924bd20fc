"""The same component in another process, where texts hash differently: what depends on the order of a set shows there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.config import Choice
from harness.errors import described
from harness.registry import Kind, Registry

LIMIT = 1800.0
"""Seconds that the process may take."""
# One plugin is listed before anything else is imported, to see what listing it imports; its component may need the others.
_PROGRAM = """
import os, sys
from harness.registry import Registry
everybody = os.environ.get("HARNESS_PLUGINS", "")
os.environ["HARNESS_PLUGINS"] = sys.argv[3]
Registry()
listed = list(sys.modules)
os.environ["HARNESS_PLUGINS"] = everybody
from harness.testing.elsewhere import main
main(listed, *sys.argv[1:3])
"""


class Task(msgspec.Struct, frozen=True):
    """What to do there: resolve the component, make the calls, hand back the digests."""

    kind: Kind
    choice: Choice
    dataset: Choice | None
    k: int
    timeout: float
    llm: Choice | None = None
    calls: bool = True
    """False: only list the plugin."""


class Answer(msgspec.Struct, frozen=True):
    """Digests in the order of the calls, the modules that listing alone imported, and why there are no digests if so."""

    digests: list[str]
    listed: list[str]
    error: str = ""


def ask_elsewhere(task: Task, distribution: str) -> Answer:
    """Run a task in another process, for a component of that distribution.

    Raises RuntimeError with the end of its error output when it fails.
    """
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    paths = os.pathsep.join(filter(None, sys.path))
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
        question, answer = Path(folder, "task.json"), Path(folder, "answer.json")
        question.write_bytes(msgspec.json.encode(task))
        try:
            done = subprocess.run(
                # -P: a folder of the current one must not hide a module, here no more than in the installed command
                [sys.executable, "-P", "-c", _PROGRAM, str(question), str(answer), distribution], env=env, timeout=LIMIT,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"another process had no answer within {LIMIT:g} s") from None
        if done.returncode or not answer.exists():
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise RuntimeError(f"another process failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
        return msgspec.json.decode(answer.read_bytes(), type=Answer)


def main(listed: Iterable[str], question: str, answer: str) -> None:
    """The other process: reads a task from one file and writes the answer to the other."""
    task = msgspec.json.decode(Path(question).read_bytes(), type=Task)
    packages = sorted({name.partition(".")[0] for name in listed})
    try:
        content = Answer(digests(Registry(), task) if task.calls else [], packages)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        content = Answer([], packages, f"{type(error).__name__}: {described(error)}")
    Path(answer).write_bytes(msgspec.json.encode(content))


def digests(registry: Registry, task: Task) -> list[str]:
    """What the calls gave here; hashes of the splits for a data set, nothing for a metric."""
    from harness.assembly import resolve
    from harness.testing.calls import Caller, Method
    from harness.testing.datasets import hashes
    from harness.testing.installed import model_for, world_for
    from harness.testing.probes import for_recommender, for_simulator
    from harness.testing.recommenders import setup_for as recommender_setup
    from harness.testing.simulators import setup_for as simulator_setup
    from harness.testing.turns import digest

    part = resolve(registry, task.kind, task.choice)
    if task.kind == "dataset":
        return hashes(part.create)
    if task.kind not in ("recommender", "simulator"):
        return []
    world = world_for(registry, task.dataset)
    instance = part.create()
    model = model_for(task.llm)
    setup: Any
    if task.kind == "recommender":
        setup, probes = recommender_setup(world, world.training, task.k, model), for_recommender(world, task.k)
    else:
        setup, probes = simulator_setup(world, world.training, model), for_simulator(world, instance.knowledge, task.k)
    if hasattr(instance, "prepare"):
        instance.prepare(setup)
    method: Method = "recommend" if task.kind == "recommender" else "reply"
    outcomes = Caller(task.timeout, model).ask(instance, method, [probe.arguments for probe in probes])
    return [digest(outcome) for outcome in outcomes]
