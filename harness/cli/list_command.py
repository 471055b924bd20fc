"""`harness list`: which components there are. Descriptors only: nothing of a component is imported."""

from __future__ import annotations

from typing import Any

import click

from harness.api import API_VERSION
from harness.cli.arguments import json_option
from harness.cli.output import print_json, table
from harness.registry import KINDS, Entry, Kind, Registry

TITLES: dict[Kind, str] = {
    "dataset": "data sets",
    "recommender": "recommenders",
    "simulator": "simulators",
    "metric": "metrics",
    "trainer": "trainers",
}


def kind_named(ctx: click.Context, param: click.Parameter, value: str | None) -> Kind | None:
    """A kind of component in singular or plural: "dataset", "datasets", "data-sets". None stays None."""
    if value is None:
        return None
    wanted = value.lower().replace("-", "").replace("_", "").removesuffix("s")
    for kind in KINDS:
        if kind == wanted:
            return kind
    raise click.BadParameter(f"{value!r} is no kind of component; there are {', '.join(f'{kind}s' for kind in KINDS)}")


def problem(registry: Registry, entry: Entry) -> str | None:
    """Why a component can't be used under its short name, if so."""
    if entry.component.api != API_VERSION:
        return f"made for plugin API {entry.component.api}, this harness has {API_VERSION}"
    rivals = registry.clashes(entry.kind).get(entry.name)
    if rivals is None:
        return None
    if len({rival.full_name for rival in rivals}) < len(rivals):
        return f"{entry.distribution} offers this name twice"
    return f"offered by several plugins: write {entry.full_name}"


def describe(registry: Registry, entry: Entry) -> dict[str, Any]:
    """One component as JSON data."""
    component = entry.component
    return {
        "kind": entry.kind,
        "name": entry.name,
        "full_name": entry.full_name,
        "summary": component.summary,
        "distribution": entry.distribution,
        "version": entry.version,
        "knowledge": component.knowledge,
        "trained_on": list(component.trained_on),
        "problem": problem(registry, entry),
    }


@click.command(
    "list",
    epilog="""\b
Examples:
  harness list                      everything, by kind
  harness list recommenders
  harness list simulators --json    for machines, with problems and versions
""",
)
@click.argument("kind", callback=kind_named, required=False)
@json_option()
def command(kind: Kind | None, as_json: bool) -> None:
    """List data sets, recommenders, simulators, metrics and trainers.

    KIND limits the list to one of them. `harness show NAME` tells more about one component.
    """
    registry = Registry()
    kinds = [kind] if kind else list(KINDS)
    if as_json:
        print_json([describe(registry, entry) for k in kinds for entry in registry.entries(k)])
    else:
        parts = [section(registry, k) for k in kinds if kind or registry.entries(k)]
        click.echo("\n\n".join(parts) if parts else "There are no components; `harness doctor` may tell why.")
    broken = registry.broken()
    if broken:
        names = ", ".join(sorted({plugin.distribution for plugin in broken}))
        click.echo(f"\nnot listed, because they could not be loaded: {names}; `harness plugins` says why", err=True)


def section(registry: Registry, kind: Kind) -> str:
    """The table of one kind."""
    entries = registry.entries(kind)
    title = TITLES[kind]
    if not entries:
        return f"{title}: none"
    simulators = kind == "simulator"
    rows = []
    for entry in entries:
        trouble = problem(registry, entry)
        summary = f"{entry.component.summary} [{trouble}]".lstrip() if trouble else entry.component.summary
        # A name that several distributions offer is listed as it must be written.
        name = entry.full_name if entry.name in registry.clashes(kind) else entry.name
        rows.append((name, *([entry.component.knowledge or "?"] if simulators else []), entry.distribution, summary))
    headers = (title, *(["knowledge"] if simulators else []), "from", "summary")
    return table(rows, headers)
