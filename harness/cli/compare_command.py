"""`harness compare`: paired differences of runs on the same scenarios."""

from __future__ import annotations

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
  harness compare runs/a runs/b --judge openai:gpt-4o-mini                and which of the two a judge prefers
""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--metric", "metrics", metavar="NAME[@K]", multiple=True, help="Metrics to compare.  [default: the headline]")
@click.option(
    "--any-simulator", is_flag=True, help="Compare runs with different simulators (to compare simulators, not recommenders)."
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
    judge: str | None,
    judge_metric: str,
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Compare runs pairwise: mean difference with 95 % CI, p (sign-flip permutation by source dialogue, Holm-corrected over all
    pairs and metrics), effect size, and wins, ties and losses by scenario.

    With --judge a language model reads both dialogues of every scenario, in both orders: a win needs both verdicts, all else is
    a tie. That takes two questions per pair.
    """
    import msgspec

    from harness.cli.judges import asking_of, judge_choice, stopped_line
    from harness.cli.preferring import judged, preference_text
    from harness.comparison import paired_gain
    from harness.errors import BudgetExceeded, UsageError
    from harness.report.rows import read_rows
    from harness.report.text import comparison_text
    from harness.statistics import holm
    from harness.store import read_summary

    if len(folders) < 2:
        raise UsageError("compare needs at least two run folders")
    if judge_choice(judge, said, "--judge") is not None and len(folders) != 2:
        raise UsageError("--judge compares two runs: name two folders")
    summaries = [read_summary(folder) for folder in folders]
    _comparable(folders, summaries, any_simulator)
    rows = [read_rows(folder) for folder in folders]
    names = list(metrics) or [line["name"] for line in summaries[0]["headline"]]
    for name in names:
        for folder, summary in zip(folders, summaries, strict=True):
            if name not in summary["metrics"]:
                raise UsageError(f"{folder} has no metric {name!r}; add it with: harness score {folder} --metric {name}")
            if summary["metrics"][name]["level"] == "run":
                raise UsageError(f"{name} is one number per run: it has no scenarios to pair")
    results = [
        (a, b, paired_gain(rows[a], rows[b], name, higher_is_better=summaries[a]["metrics"][name]["higher_is_better"]))
        for name in names
        for a in range(len(folders))
        for b in range(a + 1, len(folders))
    ]
    tested = [n for n, (_, _, c) in enumerate(results) if isinstance(c.p, float)]
    corrected = dict(zip(tested, holm([results[n][2].p for n in tested]), strict=True))  # type: ignore[misc]
    lines: list[dict[str, Any]] = [
        {"a": str(folders[a]), "b": str(folders[b]), **msgspec.to_builtins(c), "p_holm": corrected.get(n, "unscored")}
        for n, (a, b, c) in enumerate(results)
    ]
    preference = None
    if judge is not None:
        try:
            preference, by = judged(folders, judge, judge_metric, said, quiet=quiet or as_json)
        except BudgetExceeded as error:
            click.echo(stopped_line(error, asking_of(said)), err=True)
            return 1
        lines.append({"a": str(folders[0]), "b": str(folders[1]), **msgspec.to_builtins(preference), "judge": by})
    if as_json:
        click.echo(msgspec.json.encode(lines).decode())
        return 0
    titles = [f"{s['run']['recommender']} x {s['run']['simulator']}" for s in summaries]
    click.echo(comparison_text(titles, folders, results, corrected))
    if preference is not None:
        click.echo(f"\n{preference_text(preference, by)}")
    return 0


def _comparable(folders: tuple[Path, ...], summaries: list[dict[str, Any]], any_simulator: bool) -> None:
    """Raises UsageError for runs whose numbers mean different things."""
    from harness.errors import UsageError

    keys = ["dataset", "split", "variant", "data_hash", "preset", "protocol", *([] if any_simulator else ["simulator"])]
    first = summaries[0]["run"]
    for folder, summary in zip(folders, summaries, strict=True):
        for key in keys:
            if summary["run"][key] != first[key]:
                hint = "; --any-simulator allows that" if key == "simulator" else ""
                raise UsageError(
                    f"{folders[0]} and {folder} differ in {key} ({first[key]} and {summary['run'][key]}): no pairs{hint}"
                )
        for key in ("k", "max_turns", "success_k", "read_at"):
            if summary["protocol"][key] != summaries[0]["protocol"][key]:
                raise UsageError(f"{folders[0]} and {folder} differ in {key}: their numbers mean different things")
