"""Plays the floors on every data set that is here and writes leaderboards/floors.md: `python leaderboards/floors.py --help`.

Only numbers derived from dialogues are written, never a sentence of a data set. Runs are kept below --runs and continued there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness import __version__
from harness.assembly import Assembly, assemble
from harness.cli.playing import feedback_gains
from harness.cli.progress import Progress
from harness.cli.settings import run_config
from harness.comparison import paired_gain
from harness.errors import DataError
from harness.experiment import Result, complete, execute
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.report.text import interval, number, p_value
from harness.runner import Outcome
from harness.statistics import holm
from harness.store import MANIFEST, read_manifest, read_summary

PAGE = Path(__file__).with_name("floors.md")
DATASETS = ("cinema", "redial", "inspired", "opendialkg")
RECOMMENDERS = ("random", "popularity", "copy-history", "bm25", "tfidf-lr", "ease", "attribute-match", "hybrid")
CONTROL = "exclude-only"


@click.command(
    epilog="""\b
Examples:
  python leaderboards/floors.py                               all data sets that are found
  python leaderboards/floors.py --dataset cinema --limit 100  a quick look (writes nothing without --write)
  python leaderboards/floors.py --write                       writes leaderboards/floors.md
"""
)
@click.option("--dataset", "datasets", multiple=True, default=DATASETS, help="Data sets, any number of times.")
@click.option("--limit", type=int, help="First N scenarios only.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs/floors"), show_default=True, help="Where runs are kept."
)
@click.option("--write", is_flag=True, help="Write the page; else it is printed.")
def main(datasets: Sequence[str], limit: int | None, runs: Path, write: bool) -> None:
    """Play every floor on every data set: static, with `rule` and with the control `exclude-only`."""
    registry = Registry()
    parts = [HEAD.format(version=__version__)]
    for dataset in datasets:
        try:
            parts.append(board(registry, dataset, limit, runs))
        except DataError as error:
            click.echo(f"{dataset} is left out: {error}", err=True)
    page = "\n".join(parts)
    if write:
        PAGE.write_text(page, encoding="utf-8")
    else:
        click.echo(page)


HEAD = """# Floors

Simple recommenders that every table should contain. Written by `python leaderboards/floors.py --write` with harness {version};
protocol and metrics: [docs/protocol.md](../docs/protocol.md). Test split, seed 0. `rule` reads a profile: on data sets without
stated tastes its attributes are those of the targets (titles never), so scores with it are much higher than without, and what
matters is the difference between rows. Gain: `rule` minus the control `exclude-only`, on the same scenarios. Numbers in
brackets are 95 % confidence intervals (bootstrap by source dialogue). Rows that share a rank do not differ significantly from
the best row of that rank (paired permutation test on SR, Holm-corrected within the table).
"""


def board(registry: Registry, dataset: str, limit: int | None, runs: Path) -> str:
    """The section of one data set: the static table and the five-turn table."""
    static, played = [], []
    like: Assembly | None = None
    for name in RECOMMENDERS:
        for variant in ("novel", "all") if name == "copy-history" else ("novel",):
            flags = {"rec": name, "dataset": dataset, "variant": variant, "limit": limit, "preset": "static"}
            result, _ = play(registry, flags, runs, None if variant == "all" else like)
            static.append((name, variant, result.summary))
            like = result.assembly if variant == "novel" else like
        flags = {"rec": name, "dataset": dataset, "limit": limit, "sim": "rule"}
        result, folder = play(registry, flags, runs, like)
        _, control_folder = play(registry, {**flags, "sim": CONTROL}, runs, result.assembly)
        gains = {g.metric: g for _, g in feedback_gains(folder, control_folder, CONTROL, result.summary)}
        played.append((name, folder, result.summary, gains))
        like = result.assembly
    first = static[0][2]["run"]
    heading = (
        f"\n## {dataset}\n\n{first['scenarios']:,} scenarios of {first['rows']:,} rows (variant novel, test), data hash "
        f"`{first['data_hash'][:16]}`, from {static[0][2]['counts']['sources']:,} source dialogues.\n"
    )
    return heading + _static(static) + _played(played) + _notes(static[0][2])


def play(registry: Registry, flags: dict[str, Any], runs: Path, like: Assembly | None) -> tuple[Any, Path]:
    """One run, kept or continued in a folder named after what it is."""
    config = run_config(flags, {})
    assembly = assemble(registry, config, like=like)
    folder = runs / "-".join(str(v) for v in flags.values() if v is not None)
    click.echo(folder, err=True)
    if (folder / MANIFEST).exists() and read_manifest(folder)["fingerprint"] == assembly.fingerprint and complete(folder):
        return Result(folder, assembly, Outcome(), read_summary(folder)), folder
    return execute(registry, config, folder, progress=Progress(quiet=not sys.stderr.isatty()), assembly=assembly), folder


def _static(rows: list[Any]) -> str:
    lines = []
    for name, variant, summary in rows:
        metrics = summary["metrics"]
        lines.append(
            (
                name if variant == "novel" else f"{name} (variant all, {summary['run']['scenarios']:,} rows)",
                *(f"{number(metrics[m]['value'])} {interval(metrics[m])}" for m in ("ndcg@10", "recall@10")),
                *(number(metrics[m]["micro"]["value"]) for m in ("recall@1", "recall@10")),
                f"{100 * summary['counts']['recommender_faults'] / summary['counts']['played']:.1f} %",
            )
        )
    head = ("recommender", "NDCG@10", "R@10", "R@1 micro", "R@10 micro", "faults")
    return (
        "\n### One list from the context (`--preset static`)\n\n"
        + tabulate(lines, head, tablefmt="github", disable_numparse=True)
        + "\n"
    )


def _played(rows: list[Any]) -> str:
    rows = sorted(rows, key=lambda row: -row[2]["metrics"]["sr"]["value"])
    ranks = _ranks([row[1] for row in rows])
    lines = []
    for rank, (name, _, summary, gains) in zip(ranks, rows, strict=True):
        metrics, sr = summary["metrics"], gains["sr"]
        best = metrics["ndcg@10"]["cumulative_by_turn"]
        lines.append(
            (
                rank,
                name,
                f"{number(metrics['sr']['value'])} {interval(metrics['sr'])}",
                " ".join(f"{v:.3f}" for v in metrics["success"]["by_turn"]),
                number(best[-1]),
                f"{number(metrics['ndcg@10']['value'])} {interval(metrics['ndcg@10'])}",
                f"{number(sr.difference)} [{number(sr.ci[0])}, {number(sr.ci[1])}] p {p_value(sr.p)}",
                f"{100 * summary['counts']['invalid'] / summary['counts']['played']:.1f} %",
            )
        )
    head = (
        "rank",
        "recommender",
        "SR (top 10 by turn 5)",
        "success@1..5",
        "NDCG@10 best so far",
        "NDCG@10 last turn",
        "gain in SR",
        "invalid",
    )
    return "\n### Five turns with `rule`\n\n" + tabulate(lines, head, tablefmt="github", disable_numparse=True) + "\n"


def _ranks(folders: list[Path]) -> list[int]:
    """Rank per row, best first: a row opens a new rank when it differs significantly from the first row of the current one."""
    rows = [read_rows(folder) for folder in folders]
    pairs = [(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows))]
    tests = [paired_gain(rows[a], rows[b], "sr").p for a, b in pairs]
    corrected = dict(zip(pairs, holm([p if isinstance(p, float) else 1.0 for p in tests]), strict=True))
    ranks, leader = [1], 0
    for row in range(1, len(rows)):
        if corrected[leader, row] < 0.05:
            leader = row
        ranks.append(leader + 1)
    return ranks


def _notes(summary: dict[str, Any]) -> str:
    text = ""
    if summary["ceilings"]:
        names = list(dict.fromkeys(n for c in summary["ceilings"] for n in c["values"]))
        lines = [(c["name"], *(number(c["values"][n]) if n in c["values"] else "" for n in names)) for c in summary["ceilings"]]
        text += (
            "\n### What can be known\n\n"
            + tabulate(lines, ("reference", *names), tablefmt="github", disable_numparse=True)
            + "\n"
        )
    if summary["counts"]["valid"] < 250:
        n = summary["counts"]["valid"]
        text += f"\nOnly {n} scored scenarios: differences under about {100 / n**0.5:.0f} points are noise.\n"
    notes = "".join(f"- {note}\n" for note in summary["run"]["notes"])
    return text + (f"\nNotes of the loader:\n\n{notes}" if notes else "")


if __name__ == "__main__":
    main()
