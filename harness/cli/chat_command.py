"""`harness chat`: a person talks to a recommender, through the same dialogue loop that evaluates it."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from harness.api import DialogueRecord, Message, Need, Scenario
from harness.assembly import Assembly, assemble, prepare
from harness.cli.arguments import (
    DEFAULT_DATASET,
    choice,
    dataset_choice,
    dataset_opt,
    isolation_options,
    recommender_options,
    split_option,
)
from harness.cli.output import line
from harness.config import Choice, RunConfig, Transport
from harness.errors import DataError, UsageError
from harness.leakgate import LeakGate
from harness.scenarios import data_hash

PATIENCE = 30 * 24 * 3600.0
"""Seconds that a call may take: a person thinks as long as a person likes. Ctrl-C ends a recommender that hangs."""

FAULTS = ("recommender_fault", "simulator_fault", "transport")


@click.command(
    "chat",
    epilog="""\b
Examples:
  harness chat --rec hybrid
  harness chat --rec bm25 --say "something like Alien, but funny"
  harness chat --rec ease --dataset redial --scenario ID     go on where a recorded context ends
  harness chat --rec their-package:theirs --isolate          a stranger's recommender, in a process of its own
""",
)
@recommender_options(required=True)
@click.option("--dataset", metavar="NAME", default=DEFAULT_DATASET, show_default=True, help="Whose catalogue is talked about.")
@dataset_opt()
@split_option()
@click.option("--scenario", metavar="ID", help="Start from this scenario's context.")
@click.option("--say", metavar="TEXT", help="What you say first. Without it the recommender opens.")
@click.option("--turns", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Most turns.")
@click.option("--k", type=click.IntRange(1), default=10, show_default=True, metavar="K", help="Length of a ranked list.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="The recommender's seed.")
@isolation_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder for the transcript.  [default: runs/chat-TIME]",
)
def command(
    rec: str,
    rec_opt: tuple[str, ...],
    dataset: str,
    dataset_opt: tuple[str, ...],
    split: str | None,
    scenario: str | None,
    say: str | None,
    turns: int,
    k: int,
    seed: int,
    out: Path | None,
    **isolating: Any,
) -> int:
    """Be the user yourself: talk to a recommender in the terminal.

    Each turn shows its text and its ranked list with attributes. /help lists what you can type beside plain text; /quit, the
    end of input or Ctrl-C ends the dialogue. The transcript is kept as a run folder with one dialogue. It has no targets, as
    nobody knows what you look for, so it can't be scored.
    """
    from harness.cli.settings import isolation
    from harness.experiment import new_manifest
    from harness.isolation.opening import gaps, keep_out
    from harness.registry import Registry
    from harness.runner import run
    from harness.store import MANIFEST, Store, read_lines

    data, core = dataset_choice(dataset, dataset_opt, split=split)
    config = RunConfig(
        recommender=choice(rec, rec_opt, "--rec-opt"),
        simulator=Choice("human"),
        dataset=data,
        split=core.get("split", "test"),
        variant=core.get("variant", "all"),
        preset="chat",
        turns=turns,
        k=k,
        final_reply=True,  # the person sees the last list too
        seed=seed,
        transport=Transport(concurrency=1, timeout=PATIENCE),
        isolation=isolation({name.replace("_", "-"): value for name, value in isolating.items()}),
    )
    keep_out([config])
    folder = out or _new_folder()
    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds a run already; choose another --out")
    assembly = occasion(assemble(Registry(), config), scenario, say)
    prepare(assembly)
    context = assembly.scenarios[0].context
    with Store(folder) as store:
        about = {"scenario": scenario, "context": msgspec.to_builtins(context)}
        manifest = new_manifest(assembly) | {"kind": "chat", "chat": about}
        store.write_json(MANIFEST, manifest)
        if told := gaps(manifest["isolation"]):
            click.echo(told, err=True)
        _introduce(assembly, context)
        outcome = run(assembly, store, done=set(), finished=lambda record: None)
    if outcome.interrupted:
        click.echo("")
    records = list(read_lines(folder))
    click.echo(f"{_ending(records[-1]) if records else 'Nothing was said.'} Transcript: {folder}")
    if outcome.stopped:
        click.echo(f"stopped: {outcome.stopped}", err=True)
    if outcome.interrupted:
        return 130
    return int(bool(outcome.stopped) or not records or records[-1].stop in FAULTS)


def occasion(assembly: Assembly, scenario: str | None, say: str | None) -> Assembly:
    """The assembly with one scenario in place of the data set's: that one's context, or an empty one, and what is said first.

    Its need is empty: the person's is not the data set's. So nothing the person types is taken for a leak.
    """
    context: tuple[Message, ...] = ()
    name = source = "chat"
    if scenario is not None:
        chosen = next((s for s in assembly.scenarios if s.id == scenario), None)
        if chosen is None:
            raise DataError(_unknown(scenario, [s.id for s in assembly.scenarios], assembly.config))
        context, name, source = chosen.context, f"chat:{chosen.id}", chosen.source
    if say is not None:
        if not say.strip():
            raise UsageError("--say needs a text")
        # Items that it names are linked, as the leak gate does for every later text.
        context = (*context, Message("seeker", say, items=LeakGate(assembly.catalogue).check(say, hidden=()).items))
    own = Scenario(name, source, context, Need(targets=()))
    digest = data_hash(assembly.split, [own])
    fields = assembly.fields | {"data_hash": digest}
    return msgspec.structs.replace(assembly, scenarios=[own], data_hash=digest, fields=fields)


def _unknown(scenario: str, ids: Sequence[str], config: RunConfig) -> str:
    near = difflib.get_close_matches(scenario, ids, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"its ids look like {', '.join(ids[:3])}"
    return f"{config.dataset.name} has no scenario {scenario!r} in split {config.split!r}, variant {config.variant!r}; {hint}"


def _new_folder() -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder, number = Path("runs") / f"chat-{stamp}", 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"chat-{stamp}.{number}"
    return folder


def _introduce(assembly: Assembly, context: Sequence[Message]) -> None:
    config = assembly.config
    click.echo(
        f"You talk to {config.recommender.name} about {config.dataset.name} ({len(assembly.catalogue):,} items), at most "
        f"{config.turns} turns.\n"
    )
    for message in context:
        click.echo(f"{'you' if message.role == 'seeker' else 'recommender'}> {line(message.text)}")


def _ending(record: DialogueRecord) -> str:
    count = f"{len(record.turns)} turn{'' if len(record.turns) == 1 else 's'}"
    text = f"The dialogue ended after {count}: {record.stop.replace('_', ' ')}."
    return text + "".join(f"\n  {fault.role} {fault.kind}: {line(fault.message)}\n" for fault in record.faults)
