"""Plays the floors and baselines on every data set that is here and submits them: `python leaderboards/floors.py --help`.

Runs are kept below --runs and continued there. Of licensed data only ranks per scenario are written, never a sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.assembly import Assembly, assemble
from harness.cli.progress import Progress
from harness.cli.settings import run_config
from harness.errors import DataError
from harness.experiment import complete, execute
from harness.leaderboard.boards import default_title, new_board
from harness.leaderboard.identity import board_name, same_but_for
from harness.leaderboard.prepare import About, prepare
from harness.registry import Registry
from harness.store import MANIFEST, read_manifest

ROOT = Path(__file__).parent
FREE = ("cinema",)
"""Data whose transcripts anybody may publish."""
DATASETS = (*FREE, "inspired", "opendialkg", "redial")
RECOMMENDERS = ("random", "popularity", "copy-history", "bm25", "tfidf-lr", "ease", "attribute-match", "hybrid")
AUTHORS = ("crs-harness",)


@click.command(
    epilog="""\b
Examples:
  python leaderboards/floors.py && harness leaderboard build        all data sets that are found
  python leaderboards/floors.py --dataset cinema --sim smtpo-sft    a board of another simulator
"""
)
@click.option("--dataset", "datasets", multiple=True, default=DATASETS, help="Data sets, any number of times.")
@click.option("--rec", "recommenders", multiple=True, default=RECOMMENDERS, help="Recommenders, any number of times.")
@click.option("--sim", default="rule", show_default=True, help="The simulator of the boards with five turns.")
@click.option("--control", default="exclude-only", show_default=True, help="The control of the feedback gain.")
@click.option("--limit", type=int, help="First N scenarios only: boards of their own, for a quick look.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/floors"), show_default=True)
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=True, help="Where the boards are.")
def main(
    datasets: Sequence[str], recommenders: Sequence[str], sim: str, control: str, limit: int | None, runs: Path, root: Path
) -> None:
    """Play every floor on every data set, static and with a simulator, and write the submissions and the boards."""
    registry = Registry()
    for dataset in datasets:
        like: Assembly | None = None
        for name in recommenders:
            wanted = {"rec": name, "dataset": dataset, "limit": limit}
            try:
                assembly, folder = play(registry, {**wanted, "variant": "novel", "preset": "static"}, runs, like)
            except DataError as error:
                click.echo(f"{dataset} is left out: {error}", err=True)
                break
            submit(registry, assembly, folder, root)
            assembly, folder = play(registry, {**wanted, "sim": sim}, runs, assembly)
            like, other = play(registry, {**wanted, "sim": control}, runs, assembly)
            submit(registry, assembly, folder, root, [other])
            if name == "copy-history":  # what repeating alone reaches where repeated targets count
                submit(registry, *play(registry, {**wanted, "variant": "all", "preset": "static"}, runs, None), root)


def play(registry: Registry, flags: dict[str, Any], runs: Path, like: Assembly | None) -> tuple[Assembly, Path]:
    """One run, kept or continued in a folder named after what it is."""
    config = run_config(flags, {})
    assembly = assemble(registry, config, like=like)
    folder = runs / "-".join(str(value) for value in flags.values() if value is not None)
    # The data hash is among the fields: which options the data set has by now doesn't matter.
    done = (
        (folder / MANIFEST).exists()
        and complete(folder)
        and not same_but_for(read_manifest(folder)["fields"], assembly.fields, "dataset.")
    )
    click.echo(f"{folder}{' (kept)' if done else ''}", err=True)
    if not done:
        execute(registry, config, folder, progress=Progress(quiet=not sys.stderr.isatty()), assembly=assembly)
    return assembly, folder


def submit(registry: Registry, assembly: Assembly, run: Path, root: Path, controls: Sequence[Path] = ()) -> None:
    """Into the board of such runs, which is made if it is not there."""
    board = root / board_name(assembly.config)
    form = "transcripts" if assembly.config.dataset.name in FREE else "ranks"
    new_board(board, run, title=default_title(assembly.config), form=form)
    about = About(name=assembly.config.recommender.name, authors=AUTHORS)
    click.echo(prepare(registry, run, about, root, controls=controls, form=form, board=board))


if __name__ == "__main__":
    main()
