"""The same component in another process, where texts hash differently: what depends on the order of a set shows there."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.config import Choice
from harness.errors import HarnessError, described
from harness.registry import Kind, Registry
from harness.wholefiles import write_atomically

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
    revision: str = ""
    """Of the component, as JSON."""
    read: list[str] = []
    """Files of data sets that it opened."""


class Died(RuntimeError):
    """The process ended, or was ended, before it had an answer."""


def ask_elsewhere(task: Task, distribution: str) -> Answer:
    """Run a task in another process, for a component of that distribution.

    Raises Died when the process did not live to answer, with the end of its error output, RuntimeError when it took too long.
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
            said = f"; it said: {lines[-1][:300]}" if lines else ""
            raise Died(f"tried in another process, it ended that process {_how(done.returncode)}{said}")
        return msgspec.json.decode(answer.read_bytes(), type=Answer)


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def main(listed: Iterable[str], question: str, answer: str) -> None:
    """The other process: reads a task from one file and writes the answer to the other."""
    task = msgspec.json.decode(Path(question).read_bytes(), type=Task)
    packages = sorted({name.partition(".")[0] for name in listed})
    try:
        content = msgspec.structs.replace(call(Registry(), task), listed=packages) if task.calls else Answer([], packages)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        content = Answer([], packages, f"{type(error).__name__}: {described(error)}")
    write_atomically(Path(answer), msgspec.json.encode(content))
    sys.stderr.flush()
    os._exit(0)  # what the component left running shall not keep this process


def call(registry: Registry, task: Task) -> Answer:
    """What the calls gave here; hashes of the splits for a data set, values for a metric."""
    from harness.assembly import resolve
    from harness.testing.calls import Caller, Method, snapshot
    from harness.testing.datasets import hashes
    from harness.testing.installed import model_for, world_for
    from harness.testing.metrics import numbers
    from harness.testing.probes import for_recommender, for_simulator
    from harness.testing.recommenders import setup_for as recommender_setup
    from harness.testing.simulators import setup_for as simulator_setup
    from harness.testing.trainings import artefacts
    from harness.testing.trials import digest, setup_of

    options = {} if task.kind == "trainer" else task.choice.options
    part = resolve(registry, task.kind, Choice(task.choice.name, options))
    if task.kind == "dataset":
        return Answer(hashes(part.create), [])
    world, model = world_for(registry, task.dataset), model_for(task.llm)
    if task.kind == "trainer":
        return Answer(artefacts(part.create, world, model, task.choice.options), [])
    if task.kind == "metric":
        return Answer(numbers(part.create, world, model, task.timeout), [])
    with _files() as opened:
        instance = part.create()
        own = getattr(instance, "revision", None)
        revision = ""
        if callable(own):
            with contextlib.suppress(HarnessError):  # what it needs isn't there: prepare() will tell
                revision = snapshot(own()).decode()
        setup: Any
        if task.kind == "recommender":
            setup, probes = recommender_setup(world, world.training, task.k, model), for_recommender(world, task.k)
        else:
            setup, probes = simulator_setup(world, world.training, model), for_simulator(world, instance.knowledge, task.k)
        if hasattr(instance, "prepare"):
            instance.prepare(setup_of(instance, setup))
        method: Method = "recommend" if task.kind == "recommender" else "reply"
        outcomes = Caller(task.timeout, model).ask(instance, method, [probe.arguments for probe in probes])
    folders = _data_folders(registry, part.cls.__module__)
    read = sorted({path for path in opened if any(Path(path).is_relative_to(folder) for folder in folders)})
    return Answer([digest(outcome) for outcome in outcomes], [], revision=revision, read=read)


@contextlib.contextmanager
def _files() -> Iterator[list[str]]:
    """Collects the files that are opened meanwhile, code left out. An audit hook can't be taken back: only for this process."""
    opened: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if not path.endswith((".py", ".pyc", ".so")):
                opened.append(os.path.realpath(path))

    sys.addaudithook(hook)
    try:
        yield opened
    finally:
        watching = False


def _data_folders(registry: Registry, module: str) -> list[Path]:
    """$HARNESS_DATA, and the folders of data sets' packages, unless the component's own module lies there too."""
    given = os.environ.get("HARNESS_DATA", "")
    folders = [Path(given).resolve()] if given else []
    own = _package_folder(module)
    for entry in registry.entries("dataset"):
        folder = _package_folder(entry.component.target.partition(":")[0])
        if folder is not None and not (own is not None and own.is_relative_to(folder)):
            folders.append(folder)
    return folders


def _package_folder(module: str) -> Path | None:
    """The folder of a module's package, None for a module of no package. Imports at most the packages above it."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin).resolve().parent if spec is not None and spec.origin and spec.parent else None
