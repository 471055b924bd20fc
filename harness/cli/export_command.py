"""`harness export`: a run in another tool's format."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.arguments import json_option


@click.command(
    "export",
    epilog="""\b
Examples:
  harness export runs/mine --to inspect                    mine.eval, a log that `inspect view` opens
  harness export runs/mine --to dialoguekit --out mine.json
  harness export runs/mine --to csv                        mine.csv, a row per turn
  harness export runs/mine --to hf --out mine-data         a folder for datasets.load_dataset("mine-data")
""",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", required=True, type=click.Choice(["inspect", "dialoguekit", "csv", "hf"]), help="The format.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PATH", help="Where to.  [default: the run's name, in this folder]"
)
@click.option("--force", is_flag=True, help="Replace what lies there, if it is a file or an earlier export.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing.")
@json_option()
def command(folder: Path, to: str, out: Path | None, force: bool, quiet: bool, as_json: bool) -> int:
    """Write a run's dialogues, lists and scores in the format of another tool. The run stays as it is.

    Targets are marked as hidden in every format: they never stand among what the recommender saw. An export quotes the data
    set and the models: mind the data set's licence.
    """
    import msgspec

    from harness.cli.output import size
    from harness.exchange.export import export
    from harness.registry import Registry

    done = export(Registry(), folder, to, out, force=force)
    if as_json:
        content = {"path": str(done.path), "format": to, "dialogues": done.dialogues, "bytes": done.bytes, "notes": done.notes}
        click.echo(msgspec.json.encode(content).decode())
        return 0
    if not quiet:
        click.echo(f"{done.dialogues:,} dialogues written to {done.path} ({size(done.bytes)}); mind the data set's licence")
        for note in done.notes:
            click.echo(f"note: {note}", err=True)
    return 0
