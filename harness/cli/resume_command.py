"""`harness resume`: go on with an interrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from harness.cli.arguments import (
    asking_options,
    dataset_choice,
    dataset_options,
    engine_options,
    isolation_options,
    json_option,
    recommender_options,
    simulator_options,
)
from harness.config import Asking, Choice, RunConfig
from harness.options import parse_pairs


@click.command(
    "resume",
    epilog="""\b
Examples:
  harness resume runs/20260101-120000-hybrid-rule-cinema-1a2b3c4d
  harness resume runs/mine --concurrency 64      how it is carried out may change, what is played may not
  harness resume runs/mine --engine ray          wherever it began, on a Ray cluster now
""",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@recommender_options()
@simulator_options()
@dataset_options(default=None)
@click.option("--turns", type=int, metavar="T", help="As recorded, or it is refused; so for the options above.")
@click.option("--k", type=int, metavar="K", help="As recorded.")
@click.option("--limit", type=int, metavar="N", help="As recorded.")
@click.option("--trials", type=int, metavar="N", help="As recorded.")
@click.option("--seed", type=int, metavar="S", help="As recorded.")
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Dialogues in flight.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Limit of one call of a component.")
@asking_options()
@isolation_options()
@engine_options()
@click.option("--control", metavar="NAME", multiple=True, help="Also play this control simulator and report the feedback gain.")
@click.option(
    "--max-fault-rate", type=click.FloatRange(0, 1), default=0.02, show_default=True, help="Exit with 1 above this share."
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option()
def command(
    folder: Path,
    concurrency: int | None,
    timeout: float | None,
    control: tuple[str, ...],
    max_fault_rate: float,
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Play what is missing in a run's folder and score it.

    Refused, field by field, when plugins, data or the protocol are no longer the same, or when an option says something else
    than what is recorded.
    """
    from harness.cli.engines import opened
    from harness.cli.playing import play
    from harness.cli.settings import isolation
    from harness.isolation.opening import keep_out
    from harness.results import config_of, need_run
    from harness.store import read_manifest

    manifest = read_manifest(folder)
    need_run(manifest, folder, "played on")
    config = _overlay(config_of(manifest, folder), said)
    carried = {"concurrency": concurrency, "timeout": timeout}
    transport = msgspec.structs.replace(config.transport, **{k: v for k, v in carried.items() if v is not None})
    asked = {name: said[name] for name in Asking.__struct_fields__ if said[name] is not None}
    config = msgspec.structs.replace(config, transport=transport, asking=msgspec.structs.replace(config.asking, **asked))
    isolating = isolation({name.replace("_", "-"): value for name, value in said.items()}, config.isolation)
    config = msgspec.structs.replace(config, isolation=isolating)
    keep_out([config], control)
    with opened({name.replace("_", "-"): value for name, value in said.items()}) as engine:
        return play(
            config, folder, controls=control, max_fault_rate=max_fault_rate, quiet=quiet, as_json=as_json, engine=engine
        )


def _overlay(config: RunConfig, said: dict[str, Any]) -> RunConfig:
    """The recorded configuration with what was said now; the comparison of fingerprints finds any difference."""
    changes: dict[str, Any] = {n: said[n] for n in ("turns", "k", "limit", "trials", "seed") if said[n] is not None}
    recorded = config.dataset
    dataset, core = dataset_choice(
        said["dataset"] or recorded.name, said["dataset_opt"], variant=said["variant"], split=said["split"]
    )
    changes |= {**core, "dataset": Choice(dataset.name, {**recorded.options, **dataset.options})}
    for flag, role in (("rec", "recommender"), ("sim", "simulator")):
        pairs = parse_pairs(said[f"{flag}_opt"], f"--{flag}-opt")
        old: Choice = getattr(config, role) or Choice("none")
        if said[flag] or pairs:
            name = said[flag] or old.name
            changes[role] = Choice(name, {**(old.options if name == old.name else {}), **pairs})
    return msgspec.structs.replace(config, **changes)
