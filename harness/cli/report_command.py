"""`harness report`: the table of scored runs, or a page of them."""

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
  harness report runs/mine --html mine.html      a page: plots, tables, every dialogue; it needs no network
  harness report runs/a runs/b --html ab.html    the same for runs on the same scenarios, side by side
""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--full", is_flag=True, help="Every metric.")
@click.option(
    "--control",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A run of the same scenarios with a control simulator.",
)
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a page instead of a table."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="With --html: keep N dialogues in the page.  [default: all]")
@click.option("--quiet", "-q", is_flag=True, help="With --html: say nothing.")
@json_option()
def command(
    folders: tuple[Path, ...],
    full: bool,
    control: Path | None,
    page: Path | None,
    limit: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Show the scores of runs; one run in full, several as a line each.

    With --html a page is written: headline and intervals, curves over the turns, ranks of the targets, faults and costs, and
    every dialogue with its ranked lists, to search and to filter. It is one file and loads nothing.
    """
    import msgspec

    from harness.cli.playing import feedback_gains
    from harness.errors import UsageError
    from harness.report.text import overview_text, summary_text
    from harness.store import read_summary

    if page is not None:
        from harness.cli.output import page_written
        from harness.registry import Registry
        from harness.report.html import write_report

        if full or control is not None or as_json:
            raise UsageError("--html goes with none of --full, --control and --json: a page shows every metric, and kept gains")
        page_written(page, write_report(Registry(), folders, page, most=limit), quiet=quiet)
        return 0
    if limit is not None:
        raise UsageError("--limit goes with --html")
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
