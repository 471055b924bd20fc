"""`harness new`: a plugin package to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import click

from harness.registry import Registry
from harness.scaffold import SCAFFOLDS, Scaffold, check_name, write_package

TRIED = {
    "recommender": "harness run --rec {name} --limit 20",
    "simulator": "harness run --sim {name} --limit 20",
    "metric": "harness run --metric {name} --limit 20",
    "dataset": "harness run --dataset {name} --rec bm25",
}


@click.command(
    "new",
    epilog="""\b
Examples:
  harness new recommender mine               writes ./harness-mine
  harness new metric recency --out ~/recency
  harness new dataset book-club && pip install -e ./harness-book-club && harness check book-club
""",
)
@click.argument("kind", metavar=f"[{'|'.join(get_args(Scaffold))}]", type=click.Choice(SCAFFOLDS))
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The package's folder, which must not exist.  [default: ./harness-NAME]",
)
def command(kind: Scaffold, name: str, out: Path | None) -> None:
    """Write an installable plugin package with a small working component, typed options, tests and a README.

    The package harness-NAME passes `harness check` and its own tests as it is; change it into your own. Nothing is ever
    overwritten.
    """
    names = check_name(kind, name, Registry())
    folder = (out or Path(names.distribution)).expanduser()
    written = write_package(names, folder)
    place = str(folder) if folder.is_absolute() else os.path.join(".", folder)  # noqa: PTH118  Path drops the dot
    click.echo(f"wrote {place}:")
    for path in written:
        click.echo(f"  {path}")
    click.echo("next:")
    for line in (
        f"pip install -e {place}",
        f"harness check {name}",
        f"python -m pytest {place}",
        TRIED[kind].format(name=name),
    ):
        click.echo(f"  {line}")
