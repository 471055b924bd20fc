"""`harness compare`: paired differences of runs on the same scenarios."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from harness.cli.arguments import json_option, judge_options


@click.command(
    "compare",
    epilog="""\b
Examples:
  harness compare runs/hybrid runs/bm25
  harness compare runs/a runs/b runs/c --metric ndcg@10 --metric sr       every pair, Holm-corrected
  harness compare runs/a runs/b --differ 10                               ten dialogues that differ most, side by side
  harness compare runs/a runs/b --html ab.html                            a page with plots and all dialogues side by side
  harness compare runs/a runs/b --judge openai:gpt-4o-mini                and which of the two a judge prefers
""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--metric", "metrics", metavar="NAME[@K]", multiple=True, help="Metrics to compare.  [default: the headline]")
@click.option(
    "--any-simulator", is_flag=True, help="Compare runs with different simulators (to compare simulators, not recommenders)."
)
@click.option(
    "--differ",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    metavar="N",
    help="Show the N scenarios that differ most in the first metric, their dialogues side by side.",
)
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write a page of these runs."
)
@judge_options("--judge", "Also ask this language model which of two runs is better: openai:MODEL, ...")
@click.option(
    "--judge-metric", metavar="NAME", default="judge-preference", show_default=True, help="The judge of pairs that is asked."
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option()
def command(
    folders: tuple[Path, ...],
    metrics: tuple[str, ...],
    any_simulator: bool,
    differ: int,
    page: Path | None,
    judge: str | None,
    judge_metric: str,
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Compare runs pairwise: mean difference with 95 % CI, p (sign-flip permutation by source dialogue, Holm-corrected over all
    pairs and metrics), effect size, and wins, ties and losses by scenario; curves over the turns; and the scenarios that differ
    most, with their dialogues side by side.

    With --judge a language model reads both dialogues of every scenario, in both orders: a win needs both verdicts, all else is
    a tie. That takes two questions per pair.
    """
    import msgspec

    from harness.cli.judges import asking_of, judge_choice, stopped_line
    from harness.cli.output import page_written
    from harness.cli.preferring import judged, preference_text
    from harness.comparison import every_pair, most_different, need_comparable
    from harness.errors import BudgetExceeded, UsageError
    from harness.registry import Registry
    from harness.report.compared import comparison_text, curves_text, differences_text
    from harness.report.html import write_report
    from harness.report.rows import read_rows
    from harness.report.transcripts import background
    from harness.store import read_summary

    if len(folders) < 2:
        raise UsageError("compare needs at least two run folders")
    if judge_choice(judge, said, "--judge") is not None and len(folders) != 2:
        raise UsageError("--judge compares two runs: name two folders")
    summaries = [read_summary(folder) for folder in folders]
    need_comparable([str(folder) for folder in folders], summaries, any_simulator=any_simulator)
    rows = [read_rows(folder) for folder in folders]
    names = list(metrics) or [line["name"] for line in summaries[0]["headline"]]
    for name in names:
        for folder, summary in zip(folders, summaries, strict=True):
            if name not in summary["metrics"]:
                raise UsageError(f"{folder} has no metric {name!r}; add it with: harness score {folder} --metric {name}")
            if summary["metrics"][name]["level"] == "run":
                raise UsageError(f"{name} is one number per run: it has no scenarios to pair")
    pairs = every_pair(rows, {name: summaries[0]["metrics"][name]["higher_is_better"] for name in names})
    different = most_different(rows, names[0], differ)
    lines: list[dict[str, Any]] = [
        {
            "a": str(folders[pair.a]),
            "b": str(folders[pair.b]),
            **msgspec.to_builtins(pair.comparison),
            "p_holm": "unscored" if pair.p_holm is None else pair.p_holm,
        }
        for pair in pairs
    ]
    preference = None
    if judge is not None:
        try:
            preference, by = judged(folders, judge, judge_metric, said, quiet=quiet or as_json)
        except BudgetExceeded as error:
            click.echo(stopped_line(error, asking_of(said)), err=True)
            return 1
        lines.append({"a": str(folders[0]), "b": str(folders[1]), **msgspec.to_builtins(preference), "judge": by})
    if page is not None:
        page_written(page, write_report(Registry(), folders, page), quiet=quiet or as_json)
    if as_json:
        click.echo(msgspec.json.encode(lines).decode())
        return 0
    titles = [f"{s['run']['recommender']} x {s['run']['simulator']}" for s in summaries]
    parts = [comparison_text(titles, folders, pairs), curves_text(summaries, names)]
    if preference is not None:
        parts.append(preference_text(preference, by))
    if differ:
        known = background(Registry(), folders[0])
        width = max(80, shutil.get_terminal_size((110, 24)).columns)
        parts.append(differences_text(names[0], different, folders, known, width=width))
    click.echo("\n\n".join(part for part in parts if part))
    return 0
