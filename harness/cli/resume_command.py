"""`harness resume`: go on with an interrupted run."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from harness.cli.arguments import json_option


@click.command(
    "resume",
    epilog="""\b
Examples:
  harness resume runs/20260101-120000-hybrid-rule-cinema-1a2b3c4d
  harness resume runs/mine --concurrency 64      how it is carried out may change, what is played may not
""",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Dialogues in flight.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Limit of one call of a component.")
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
) -> int:
    """Play what is missing in a run's folder and score it. Refused when plugins, data or the protocol are no longer the same."""
    from harness.cli.playing import play
    from harness.results import config_of
    from harness.store import read_manifest

    config = config_of(read_manifest(folder), folder)
    said = {"concurrency": concurrency, "timeout": timeout}
    transport = msgspec.structs.replace(config.transport, **{k: v for k, v in said.items() if v is not None})
    config = msgspec.structs.replace(config, transport=transport)
    return play(config, folder, controls=control, max_fault_rate=max_fault_rate, quiet=quiet, as_json=as_json)
