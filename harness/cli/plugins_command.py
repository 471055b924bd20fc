"""`harness plugins`: what is installed, what each distribution offers, and what is wrong with it."""

from __future__ import annotations

import os
from typing import Any

import click

from harness.cli.arguments import json_option
from harness.cli.list_command import TITLES, problem
from harness.cli.output import line, print_json
from harness.registry import FIRST_PARTY, KINDS, Plugin, Registry, canonical

OBSERVERS = "harness_run_started", "harness_dialogue_finished", "harness_run_finished"
SWITCHES = "HARNESS_PLUGINS", "HARNESS_DISABLE_PLUGINS"


def describe(registry: Registry) -> list[dict[str, Any]]:
    """One object per distribution, ours first: entry points, components by kind, observers, problems."""
    distributions: dict[str, list[Plugin]] = {}
    for plugin in registry.plugins:
        distributions.setdefault(plugin.distribution, []).append(plugin)
    order = sorted(distributions, key=lambda name: (canonical(name) != FIRST_PARTY, canonical(name)))
    return [_describe(registry, name, distributions[name]) for name in order]


def _describe(registry: Registry, name: str, plugins: list[Plugin]) -> dict[str, Any]:
    entries = {kind: [e for e in registry.entries(kind) if e.distribution == name] for kind in KINDS}
    points = [{"name": p.name.partition("/")[2], "value": p.value, "error": p.error} for p in plugins]
    troubles = [f"{kind} {e.name}: {why}" for kind, found in entries.items() for e in found if (why := problem(registry, e))]
    return {
        "distribution": name,
        "version": plugins[0].version,
        "entry_points": sorted(points, key=lambda point: str(point["name"])),
        "offers": {kind: [e.name for e in found] for kind, found in entries.items() if found},
        "observes": [hook for hook in OBSERVERS if any(hook in p.hooks for p in plugins)],
        "problems": troubles,
    }


@click.command(
    "plugins",
    epilog="""\b
Examples:
  harness plugins
  HARNESS_DISABLE_PLUGINS=a,b harness plugins    without the distributions a and b
  HARNESS_PLUGINS=a,b harness plugins            with these and ours only
""",
)
@json_option()
def command(as_json: bool) -> None:
    """List installed plugins, what each offers, and the broken ones with their reason.

    A broken plugin harms no run that doesn't name it, so this command ends with 0; `harness doctor` doesn't.
    """
    registry = Registry()
    found = describe(registry)
    if as_json:
        print_json(found)
        return
    click.echo("\n\n".join(_text(distribution) for distribution in found) or "No plugin is installed.")
    for variable in SWITCHES:
        if os.environ.get(variable):
            click.echo(f"\n{variable}={line(os.environ[variable])} is set: plugins may have been left out")


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['distribution']} {found['version']}"]
    for point in found["entry_points"]:
        state = f"BROKEN: {line(point['error'])}" if point["error"] else "ok"
        lines.append(f"  entry point {point['name']} = {point['value']}: {state}")
    lines += [f"  {TITLES[kind]}: {', '.join(map(line, names))}" for kind, names in found["offers"].items()]
    if found["observes"]:
        lines.append(f"  observes: {', '.join(found['observes'])}")
    lines += [f"  problem: {line(text)}" for text in found["problems"]]
    return "\n".join(lines)
