"""One run from start to end: manifest, preparation, dialogues, scores. The command line and library users call `execute`."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness import __version__
from harness.api import DialogueRecord
from harness.assembly import Assembly, assemble, trained
from harness.config import Choice, RunConfig, difference
from harness.engines import Engine, Local
from harness.errors import BudgetExceeded, ConfigMismatch, StoreError
from harness.models import charge
from harness.registry import Registry
from harness.results import score_folder
from harness.runner import Outcome, run
from harness.store import MANIFEST, SUMMARY, Store, finished, read_lines, read_manifest, read_summary


class Progress(Protocol):
    """Told what happens; shows it or not."""

    def start(self, total: int, done: int) -> None: ...
    def update(self, record: DialogueRecord) -> None: ...
    def judged(self, count: int) -> None: ...
    def stop(self) -> None: ...
    def say(self, text: str) -> None: ...


class Silent:
    """Shows nothing."""

    def start(self, total: int, done: int) -> None:
        """Nothing."""

    def update(self, record: DialogueRecord) -> None:
        """Nothing."""

    def judged(self, count: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


class Result(msgspec.Struct):
    """What came of a run. `summary` is None when it ended before it was complete."""

    folder: Path
    assembly: Assembly
    outcome: Outcome
    summary: dict[str, Any] | None = None


def execute(
    registry: Registry,
    config: RunConfig,
    folder: Path,
    *,
    metrics: Sequence[str] = (),
    progress: Progress | None = None,
    schedule_seed: int | None = None,
    assembly: Assembly | None = None,
    engine: Engine | None = None,
) -> Result:
    """Play what is missing in `folder`, then score. Raises ConfigMismatch when it holds another configuration's run.

    `engine` says where the dialogues run (in this process); whoever made it closes it.
    """
    progress = progress or Silent()
    engine = engine or Local()
    assembly = assembly or assemble(registry, config)
    with Store(folder) as store:
        manifest = _manifest(assembly, folder, metrics)
        if manifest is None:
            manifest = new_manifest(assembly, metrics)
            store.write_json(MANIFEST, manifest)
        done = finished(folder)
        total = len(assembly.scenarios) * config.trials
        outcome = Outcome(kept=len(done))
        if manifest.get("isolation"):
            from harness.isolation.opening import gaps

            if told := gaps(manifest["isolation"]):
                progress.say(told)
        registry.notify("harness_run_started", progress.say, manifest=manifest)
        if len(done) < total:
            charge(assembly.layers, read_lines(folder))
            engine.prepare(assembly, progress.say)
            progress.start(total, len(done))

            def played(record: DialogueRecord) -> None:
                progress.update(record)
                registry.notify("harness_dialogue_finished", progress.say, record=record)

            try:
                outcome = run(assembly, store, done=done, finished=played, schedule_seed=schedule_seed, player=engine.play)
            finally:
                progress.stop()
        if outcome.interrupted or outcome.stopped:
            return Result(folder, assembly, outcome)
    try:
        summary = score_folder(
            registry, folder, metrics=manifest["metrics"], assembly=assembly, config=assembly.config, told=progress.judged
        )
    except BudgetExceeded as error:
        outcome.stopped = f"every dialogue is played, but not all are judged: {error}"
        return Result(folder, assembly, outcome)
    finally:
        progress.stop()
    registry.notify("harness_run_finished", progress.say, summary=summary)
    return Result(folder, assembly, outcome, summary)


def _manifest(assembly: Assembly, folder: Path, metrics: Sequence[str]) -> dict[str, Any] | None:
    """The manifest of an earlier start of this very run, None without one. Raises ConfigMismatch with the difference."""
    if not (folder / MANIFEST).exists():
        if (folder / "dialogues.jsonl").exists() and (folder / "dialogues.jsonl").stat().st_size:
            raise StoreError(
                f"{folder} holds dialogues but no manifest.json: it is no run of this harness; choose another --out"
            )
        return None
    manifest = read_manifest(folder)
    if manifest.get("fingerprint") != assembly.fingerprint:
        lines = difference(manifest.get("fields", {}), assembly.fields)
        raise ConfigMismatch(
            f"{folder} holds a run with another configuration (recorded -> asked for):\n  "
            + "\n  ".join(lines)
            + "\nchoose another --out, or ask for the recorded values"
        )
    if manifest.get("isolation") and assembly.config.isolation is None:
        raise ConfigMismatch(
            f"{folder} holds a run whose recommender is isolated: go on with --isolate, or choose another --out"
        )
    manifest["metrics"] = list(dict.fromkeys([*manifest.get("metrics", []), *metrics]))
    return manifest


def _isolation(assembly: Assembly) -> dict[str, Any] | None:
    """What kept the recommender from everything else; None when nothing did."""
    if assembly.config.isolation is None:
        return None
    from harness.isolation.opening import facts

    return facts(assembly.instances["recommender"])


def new_manifest(assembly: Assembly, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """What manifest.json says of a run."""
    return {
        "format": 1,
        "fingerprint": assembly.fingerprint,
        "fields": assembly.fields,
        "config": msgspec.to_builtins(assembly.config),
        "data_hash": assembly.data_hash,
        "rows": assembly.rows,
        "scenarios": len(assembly.scenarios),
        "dialogues": len(assembly.scenarios) * assembly.config.trials,
        "notes": list(assembly.split.notes),
        "trained": {
            role: trained(part, assembly.fields, role)
            for role, part in (("recommender", assembly.recommender), ("simulator", assembly.simulator))
            if part is not None
        },
        "isolation": _isolation(assembly),
        "metrics": list(metrics),
        "made_by": {"harness": __version__, "python": platform.python_version(), "platform": platform.platform()},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def control(
    registry: Registry, result: Result, name: str, progress: Progress | None = None, engine: Engine | None = None
) -> Result:
    """Play the same scenarios with a control simulator, into the folder control-NAME of the run."""
    config = msgspec.structs.replace(result.assembly.config, simulator=Choice(name))
    assembly = assemble(registry, config, like=result.assembly)
    folder = result.folder / f"control-{slug(name)}"
    return execute(registry, config, folder, progress=progress, assembly=assembly, engine=engine)


def new_folder(root: Path, assembly: Assembly, say: Callable[[str], None]) -> Path:
    """Where a run without --out goes: an unfinished run of the same fingerprint under `root`, else a new folder."""
    for path in sorted(root.glob(f"*-{assembly.fingerprint[:8]}"), reverse=True):
        try:
            unfinished = read_manifest(path)["fingerprint"] == assembly.fingerprint and not complete(path)
        except (StoreError, KeyError):
            continue
        if unfinished:
            say(f"going on with the unfinished run {path}")
            return path
    config = assembly.config
    names = "-".join(slug(n) for n in (config.recommender.name, _name(config.simulator), config.dataset.name) if n)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = root / f"{stamp}-{names}-{assembly.fingerprint[:8]}"
    number = 1
    while folder.exists():
        number += 1
        folder = root / f"{stamp}.{number}-{names}-{assembly.fingerprint[:8]}"
    return folder


def complete(folder: Path) -> bool:
    """True when a run directory is scored and nothing of it is left to play."""
    if not (folder / SUMMARY).exists():
        return False
    counts = read_summary(folder).get("counts", {})
    return not counts.get("missing") and not counts.get("incomplete")


def slug(name: str) -> str:
    """A component's name as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:40] or "x"


def _name(choice: Choice | None) -> str | None:
    return choice.name if choice else None
