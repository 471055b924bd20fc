"""`harness artifacts`: what trainings have made, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.arguments import json_option
from harness.cli.output import line, pairs, print_json, size, table

if TYPE_CHECKING:
    from harness.artifacts import Artifact


@click.group(
    "artifacts",
    epilog="""\b
Examples:
  harness artifacts list
  harness artifacts show smtpo-tiny           what it was trained on, results, parts; its files are checked
  harness artifacts show ./made/rl            a folder
  harness run --rec llm-rerank --rec-llm hf:$(harness artifacts path smtpo-tiny/rl)

Names are looked for in the folders of $HARNESS_ARTIFACTS, in ./artifacts and among what plugins bring along.
""",
)
def command() -> None:
    """List and inspect artefacts: the folders that trainings make and that recommenders and simulators load."""


@command.command("list")
@json_option()
def list_artifacts(as_json: bool) -> None:
    """List the artefacts that have names; their files are not looked at."""
    from harness.artifacts import listed, read
    from harness.errors import HarnessError

    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for name, origin, folder in listed():
        row: dict[str, Any] = {"name": name, "from": origin, "path": str(folder), "hidden": name in seen, "error": None}
        row |= {"kind": "", "summary": "", "trained_on": [], "parts": []}
        seen.add(name)
        try:
            card = read(folder).card
            row |= {"kind": card.kind, "summary": card.summary, "trained_on": list(card.trained_on), "parts": list(card.parts)}
        except HarnessError as error:
            row["error"] = str(error)
        rows.append(row)
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("There are no artefacts: `harness train` makes some; set HARNESS_ARTIFACTS to where yours lie.")
    else:
        shown = [
            (
                row["name"],
                row["kind"] or "damaged",
                ", ".join(row["trained_on"]),
                row["from"],
                ("hidden by the one above; " if row["hidden"] else "") + (row["error"] or row["summary"]),
            )
            for row in rows
        ]
        click.echo(table(shown, ("artefact", "kind", "trained on", "from", "summary")))


@command.command("show")
@click.argument("name")
@json_option()
def show(name: str, as_json: bool) -> None:
    """Show an artefact's card, after a look whether its files are what was written."""
    import msgspec

    from harness.artifacts import find
    from harness.modelcard import flat

    found = find(name)
    card = found.card
    if as_json:
        content = msgspec.to_builtins(card)
        print_json({"path": str(found.path), **content, "bytes": _bytes(found), "revision": found.revision()})
        return
    rows: list[tuple[str, object]] = [
        ("artefact", card.name),
        ("kind", card.kind),
        ("path", found.path),
        ("size", size(_bytes(found))),
        ("trained on", ", ".join(card.trained_on) or "nothing"),
        ("trained against", ", ".join(card.trained_against) or "no simulator"),
        ("seeds", ", ".join(map(str, card.seeds))),
        ("parts", ", ".join(card.parts)),
        ("content", found.revision()["files"]),
    ]
    blocks = [line(card.summary), pairs([row for row in rows if row[1]])]
    blocks += ["\n".join(f"- {line(note)}" for note in card.notes)]
    for values, header in ((card.results, "result"), (card.settings, "setting")):
        blocks += [table(flat(values), (header, "value"))] if values else []
    blocks += [table(list(card.versions.items()), ("package", "version"))] if card.versions else []
    click.echo("\n\n".join(block for block in blocks if block))
    click.echo("\nevery file is what was written; curves are in its README.md")


@command.command("path")
@click.argument("name")
def path(name: str) -> None:
    """Print an artefact's folder, for other programs: hf:$(harness artifacts path NAME/PART)."""
    from harness.artifacts import find

    click.echo(find(name).path.absolute())


def _bytes(found: Artifact) -> int:
    """Of its files and its parts'."""
    from harness.artifacts import read

    own = sum((found.path / name).stat().st_size for name in found.card.files)
    return own + sum(_bytes(read(found.path / part)) for part in found.card.parts)
