"""What `run` and `resume` share: play, print, and the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from harness.assembly import assemble
from harness.cli.output import line
from harness.cli.progress import Progress
from harness.comparison import Comparison
from harness.config import RunConfig
from harness.engines import Engine
from harness.errors import UsageError
from harness.experiment import Result, control, execute, new_folder
from harness.gains import control_gains
from harness.judging import asks_model
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.report.text import summary_text
from harness.results import bind_metrics, need_judge
from harness.store import DIALOGUES, SUMMARY, read_records
from harness.wholefiles import write_atomically

RUNS = Path("runs")


def play(
    config: RunConfig,
    folder: Path | None,
    *,
    metrics: Sequence[str] = (),
    controls: Sequence[str] = (),
    schedule_seed: int | None = None,
    max_fault_rate: float = 0.02,
    quiet: bool = False,
    as_json: bool = False,
    engine: Engine | None = None,
) -> int:
    """Play a run and its controls, print the report, and return the exit code."""
    registry = Registry()
    progress = Progress(quiet=quiet or as_json)
    _check_controls(registry, config, controls)
    need_judge(bind_metrics(registry, metrics), config.judge_llm)  # what is wrong is told before anything is played
    assembly = assemble(registry, config)
    folder = folder or new_folder(RUNS, assembly, progress.say)
    result = execute(
        registry,
        config,
        folder,
        metrics=metrics,
        progress=progress,
        schedule_seed=schedule_seed,
        assembly=assembly,
        engine=engine,
    )
    gains: list[tuple[str, Comparison]] = []
    for name in controls:
        if result.summary is None:
            break
        progress.say(f"control {name}")
        second = control(registry, result, name, progress, engine)
        if second.summary is None:
            result.outcome, result.summary = second.outcome, None
            break
        gains += feedback_gains(result.folder, second.folder, name, result.summary)
    if result.summary is None:
        return _stopped(result)
    if gains:
        result.summary["gains"] = [{"control": name, **msgspec.to_builtins(gain)} for name, gain in gains]
        write_atomically(folder / SUMMARY, msgspec.json.format(msgspec.json.encode(result.summary), indent=2) + b"\n")
    if as_json:
        click.echo(msgspec.json.encode({"folder": str(folder), **result.summary}).decode())
    else:
        click.echo(summary_text(result.summary, gains=gains))
        click.echo(f"\nkept in {folder}  (harness report {folder} --full shows every metric)", err=quiet)
    if not as_json:
        tell_faults(folder)
    return exit_code(result.summary, max_fault_rate)


def feedback_gains(folder: Path, other: Path, name: str, summary: dict[str, Any]) -> list[tuple[str, Comparison]]:
    """Score minus the control's score on the same scenarios: success rate, and NDCG of the best list so far."""
    if not summary["counts"]["valid"]:
        return []
    return [(name, gain) for gain in control_gains(read_rows(folder), read_rows(other), summary["protocol"]["k"])]


def exit_code(summary: dict[str, Any], max_fault_rate: float) -> int:
    """1 and a line of explanation when too many dialogues faulted or some are incomplete."""
    counts = summary["counts"]
    faulted = counts["recommender_faults"] + counts["invalid"]
    share = faulted / counts["played"] if counts["played"] else 0.0
    if counts["incomplete"] or counts.get("missing"):
        click.echo("the run is incomplete: see the notes above", err=True)
        return 1
    if share > max_fault_rate:
        click.echo(
            f"{faulted} of {counts['played']} dialogues ({share:.1%}) faulted, more than --max-fault-rate {max_fault_rate:g}",
            err=True,
        )
        return 1
    return 0


def tell_faults(folder: Path, most: int = 3) -> None:
    """The most frequent faults of a run, on standard error: whose, what, how often, and where to look."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for record in read_records(folder):
        counts.update({(fault.blame, fault.kind, line(fault.message)[:200]) for fault in record.faults})
    for (blame, kind, message), count in counts.most_common(most):
        click.echo(f"  {blame} fault in {count:,} dialogues: {kind}: {message}", err=True)
    if len(counts) > most:
        click.echo(f"  and {len(counts) - most} other kinds: see the field faults in {folder / DIALOGUES}", err=True)


def _stopped(result: Result) -> int:
    folder = result.folder
    if result.outcome.interrupted:
        click.echo(f"interrupted; everything that was finished is kept. Go on with: harness resume {folder}", err=True)
        return 130
    click.echo(f"stopped: {result.outcome.stopped}. Go on with: harness resume {folder}", err=True)
    return 1


def _check_controls(registry: Registry, config: RunConfig, controls: Sequence[str]) -> None:
    for name in controls:
        registry.find("simulator", name)
    if controls and config.simulator is None:
        raise UsageError("--control needs a run with a simulator")


def dry(config: RunConfig, metrics: Sequence[str], controls: Sequence[str], *, as_json: bool) -> None:
    """Print what would be played and what it costs at most."""
    registry = Registry()
    _check_controls(registry, config, controls)
    need_judge(bind_metrics(registry, metrics), config.judge_llm)
    assembly = assemble(registry, config)
    dialogues = len(assembly.scenarios) * config.trials * (1 + len(controls))
    replies = 0 if config.simulator is None else config.turns if config.final_reply else config.turns - 1
    judges = sum(asks_model(bound.metric) for bound in bind_metrics(registry, metrics))
    costs = {
        "scenarios": len(assembly.scenarios),
        "dialogues": dialogues,
        "recommender_calls_at_most": dialogues * config.turns,
        "simulator_calls_at_most": dialogues * replies,
        "judgements_at_most": len(assembly.scenarios) * config.trials * judges,
    }
    if as_json:
        content = {
            "fingerprint": assembly.fingerprint,
            "config": assembly.fields,
            "transport": config.transport,
            "costs": costs,
        }
        click.echo(msgspec.json.encode(content).decode())
        return
    click.echo("\n".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in assembly.fields.items()))
    click.echo(f"fingerprint = {assembly.fingerprint}\n")
    click.echo(
        f"{dialogues:,} dialogues ({len(assembly.scenarios):,} scenarios of {assembly.rows:,} rows, {config.trials} trial(s)"
        + (f", {len(controls)} control(s)" if controls else "")
        + f"), at most {costs['recommender_calls_at_most']:,} recommender calls and {costs['simulator_calls_at_most']:,} "
        "simulator calls" + (f" and {costs['judgements_at_most']:,} judgements" if judges else "") + "; nothing was played"
    )
