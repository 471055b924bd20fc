"""`harness score`: score recorded dialogues again."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.arguments import json_option


@click.command(
    "score",
    epilog="""\b
Examples:
  harness score runs/mine                          make scores.jsonl and summary.json again
  harness score runs/mine --metric my-metric@20    with a metric that the run did not have
""",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--metric", "metrics", metavar="NAME[@K]", multiple=True, help="A metric beside the default ones, any number of times."
)
@json_option()
def command(folder: Path, metrics: tuple[str, ...], as_json: bool) -> int:
    """Score a run's recorded dialogues again. No dialogue is played; the data set is loaded to know the hidden needs."""
    import msgspec

    from harness.cli.playing import exit_code
    from harness.registry import Registry
    from harness.report.text import summary_text
    from harness.results import score_folder
    from harness.store import Store, read_manifest

    earlier = read_manifest(folder).get("metrics", [])
    with Store(folder):  # nobody plays while the scores are made
        summary = score_folder(Registry(), folder, metrics=[*earlier, *metrics])
    if as_json:
        click.echo(msgspec.json.encode({"folder": str(folder), **summary}).decode())
    else:
        click.echo(summary_text(summary, full=bool(metrics)))
    return exit_code(summary, 1.0)
