"""`harness report`: the table of scored runs."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.arguments import json_option


@click.command(
    "report",
    epilog="""\b
Examples:
  harness report runs/mine                       headline, turn curve, cut-offs, counts
  harness report runs/mine --full                every metric
  harness report runs/with-rule --control runs/with-exclude-only     the feedback gain of the first over the second
  harness report runs/a runs/b runs/c            one line each
""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--full", is_flag=True, help="Every metric.")
@click.option(
    "--control",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A run of the same scenarios with a control simulator.",
)
@json_option()
def command(folders: tuple[Path, ...], full: bool, control: Path | None, as_json: bool) -> int:
    """Show the scores of runs; one run in full, several as a line each."""
    import msgspec

    from harness.cli.playing import feedback_gains
    from harness.errors import UsageError
    from harness.report.text import overview_text, summary_text
    from harness.store import read_summary

    summaries = [read_summary(folder) for folder in folders]
    if control is not None and len(folders) > 1:
        raise UsageError("--control goes with one run")
    if as_json:
        click.echo(msgspec.json.encode([{"folder": str(f), **s} for f, s in zip(folders, summaries, strict=True)]).decode())
    elif len(folders) == 1:
        inner = [
            (p.name.removeprefix("control-"), p) for p in sorted(folders[0].glob("control-*")) if (p / "summary.json").exists()
        ]
        others = [(read_summary(control)["run"]["simulator"], control)] if control else inner
        gains = [gain for name, other in others for gain in feedback_gains(folders[0], other, name, summaries[0])]
        click.echo(summary_text(summaries[0], full=full, gains=gains))
    else:
        click.echo(overview_text([(str(f), s) for f, s in zip(folders, summaries, strict=True)]))
    return 0
