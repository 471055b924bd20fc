"""The dual-view retriever on real data: trained on the train split, against every floor on the rows of the novel test.

    python -m benchmarks.retriever --dataset inspired --out made/inspired
    python -m benchmarks.retriever --dataset redial --out made/redial --preset small

Training and runs are kept below --out and continued there. One list of 50 items from the human context, no simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from tabulate import tabulate

from harness.assembly import Assembly, assemble
from harness.cli.progress import Progress
from harness.cli.settings import run_config
from harness.comparison import paired_gain
from harness.config import Choice
from harness.experiment import Result, complete, execute
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.report.text import interval, number, p_value
from harness.store import MANIFEST, read_manifest, read_summary
from harness.training import TrainConfig, train

FLOORS: Final = ("random", "popularity", "bm25", "tfidf-lr", "ease", "attribute-match", "hybrid")
LISTED: Final = 50
PUBLISHED: Final = {
    "redial": "ReFICR, re-run on the deduplicated ReDial test (3,372 rows): R@10 .213, R@50 .465 (before its re-ranking). "
    "Other rows, another catalogue, a 7B text encoder: a line to look at, no comparison.",
    "inspired": "none on these rows; so few that differences under several points are noise.",
}


@click.command()
@click.option("--dataset", required=True, help="Its train split is learned from, its novel test is scored.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the artefact and the runs are kept.")
@click.option("--preset", default="small", show_default=True)
@click.option("--opt", "options", multiple=True, metavar="KEY=V", help="A setting of the stage retriever.")
@click.option("--seed", default=0, show_default=True)
@click.option("--limit", type=int, help="First N test scenarios only.")
def main(dataset: str, out: Path, preset: str, options: Sequence[str], seed: int, limit: int | None) -> None:
    """Train, run, print the table."""
    registry = Registry()
    given = {f"retriever.{name}": value for name, _, value in (option.partition("=") for option in options)}
    config = TrainConfig(
        trainer="smtpo", dataset=Choice(dataset), stage="retriever", preset=preset, options=given, seed=seed
    )  # fmt: skip
    train(registry, config, out, progress=_Lines())
    rows: list[tuple[str, Path, dict[str, Any]]] = []
    like: Assembly | None = None
    for name in (*FLOORS, "smtpo-retriever"):
        chosen = {"artifact": str(out)} if name == "smtpo-retriever" else {}
        flags = {"rec": name, "dataset": dataset, "limit": limit, "preset": "static", "k": LISTED}
        folder, summary, like = _run(registry, flags, chosen, out / "runs" / name, like)
        rows.append((name, folder, summary))
    click.echo(table(rows))
    click.echo(f"\npublished: {PUBLISHED.get(dataset, 'none')}")


def table(rows: Sequence[tuple[str, Path, dict[str, Any]]]) -> str:
    """R@10, R@50 and NDCG@10 with intervals, and the retriever's difference from each on the same rows."""
    own = read_rows(rows[-1][1])
    lines = []
    for name, folder, summary in rows:
        metrics = summary["metrics"]
        line = [name, *(f"{number(metrics[m]['value'])} {interval(metrics[m])}" for m in ("recall@10", "recall@50", "ndcg@10"))]
        if folder != rows[-1][1]:
            for metric in ("recall@10", "recall@50"):
                gain = paired_gain(own, read_rows(folder), metric)
                line.append(f"{number(gain.difference)} p {p_value(gain.p)}")
        lines.append(line)
    run = rows[0][2]["run"]
    head = ("recommender", "R@10", "R@50", "NDCG@10", "retriever - it, R@10", "R@50")
    title = f"{run['dataset']}: {run['scenarios']:,} scenarios (novel test), data hash {run['data_hash'][:12]}\n\n"
    return title + tabulate(lines, head, tablefmt="github", disable_numparse=True)


def _run(
    registry: Registry, flags: dict[str, Any], options: dict[str, str], folder: Path, like: Assembly | None
) -> tuple[Path, dict[str, Any], Assembly]:
    config = run_config({**flags, "rec-opt": tuple(f"{k}={v}" for k, v in options.items())}, {})
    assembly = assemble(registry, config, like=like)
    if (folder / MANIFEST).exists() and read_manifest(folder)["fingerprint"] == assembly.fingerprint and complete(folder):
        return folder, read_summary(folder), assembly
    result: Result = execute(registry, config, folder, progress=Progress(quiet=True), assembly=assembly)
    return folder, result.summary, assembly


class _Lines:
    """Progress as plain lines."""

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def step(self, what: str, done: int, total: int, values: dict[str, float]) -> None:
        click.echo(f"{what} {done}/{total} " + " ".join(f"{k}={v:.4g}" for k, v in values.items()), err=True)


if __name__ == "__main__":
    main()
