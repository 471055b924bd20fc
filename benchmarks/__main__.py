"""Run benchmarks and print their tables."""

from __future__ import annotations

import importlib
import json
import platform
from datetime import date

import click
from tabulate import tabulate

NAMES = ("startup", "overhead", "scoring", "llm_calls", "local_model", "report_page")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--json", "as_json", is_flag=True, help="JSON lines, for tracking.")
def main(names: tuple[str, ...], as_json: bool) -> None:
    """Each figure is a median of at least five and stands beside a floor that was measured in the same run."""
    if not as_json:
        click.echo(f"{date.today()}, Python {platform.python_version()}, {platform.machine()}")
    for name in names or NAMES:
        rows = importlib.import_module(f"benchmarks.{name}").main()
        if as_json:
            for row in rows:
                click.echo(json.dumps(row))
        else:
            click.echo("\n" + tabulate(rows, headers="keys", floatfmt=".3f"))


main()
