"""`harness show`: one component's description, options and, for a data set, its card."""

from __future__ import annotations

import inspect
from typing import Any

import click
import msgspec

from harness import options
from harness.api import DatasetCard
from harness.cli.arguments import json_option
from harness.cli.list_command import describe, kind_named
from harness.cli.output import line, pairs, print_json, size, table
from harness.cli.printable import printable
from harness.errors import HarnessError, PluginError
from harness.lookup import named
from harness.registry import Entry, Kind, Registry

OPTION_FLAGS: dict[Kind, str] = {"dataset": "--dataset-opt", "recommender": "--rec-opt", "simulator": "--sim-opt"}


@click.command(
    "show",
    epilog="""\b
Examples:
  harness show bm25                   what it does and its options
  harness show redial                 a data set, with licence, citation and how to get it
  harness show ndcg@10                a metric
  harness show my-package:bm25        the one of that distribution, where two offer the name
  harness show random --kind recommender
""",
)
@click.argument("name")
@click.option("--kind", metavar="KIND", callback=kind_named, help="Look among this kind of components only.")
@json_option()
def command(name: str, kind: Kind | None, as_json: bool) -> None:
    """Show what a component does, where it comes from and which options it has.

    A data set's licence, citation, home page and the way to get it are shown too.
    """
    registry = Registry()
    found = [details(registry, entry) for entry in named(registry, name, kind)]
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
    else:
        click.echo("\n\n".join(_text(each) for each in found))
    for each in found:
        if each["error"]:
            raise PluginError(each["error"])


def details(registry: Registry, entry: Entry) -> dict[str, Any]:
    """A component as JSON data. `error` says why its class or options can't be imported, else it is None."""
    shown = describe(registry, entry) | {
        "target": entry.component.target, "doc": "", "options": [], "facts": {}, "card": None, "error": None,
    }  # fmt: skip
    try:
        cls = registry.load(entry)
        shown["doc"] = _own_docstring(cls)
        options_type = registry.options_type(entry)
        if options_type is not None:
            names = ("name", "type", "default", "description")
            shown["options"] = [dict(zip(names, row, strict=True)) for row in options.describe(options_type)]
        shown["facts"] = _facts(entry.kind, cls)
        if entry.kind == "dataset":
            card = card_of(registry, entry)
            shown["card"] = None if card is None else msgspec.to_builtins(card)
    except HarnessError as error:
        shown["error"] = str(error)
    return shown


def card_of(registry: Registry, entry: Entry) -> DatasetCard | None:
    """A data set's card: from its class, else from an instance with default options. None when it has none."""
    cls = registry.load(entry)
    card = getattr(cls, "card", None)
    if not isinstance(card, DatasetCard):
        try:
            card = getattr(cls(options.build(registry, entry, {})), "card", None)
        except Exception:  # noqa: BLE001  a stranger's constructor; the card is all that is lost
            return None
    return card if isinstance(card, DatasetCard) else None


def _own_docstring(cls: type[Any]) -> str:
    """Not an inherited one, nor the signature that msgspec and dataclasses write in place of a missing one."""
    text = cls.__dict__.get("__doc__") or ""
    return "" if text.startswith(f"{cls.__name__}(") else inspect.cleandoc(text)


def _facts(kind: Kind, cls: type[Any]) -> dict[str, Any]:
    """What a class declares beyond its options."""
    if kind == "metric":
        found = {name: getattr(cls, name, None) for name in ("level", "family", "higher_is_better", "bounds")}
        return {
            name: value if isinstance(value, (str, bool)) else [str(bound) for bound in value]
            for name, value in found.items()
            if isinstance(value, (str, bool, tuple))
        }
    method = {"recommender": "recommend", "simulator": "reply"}.get(kind)
    if method is None:
        return {}
    return _called(cls, method) | ({"language_model": "its own, unless another is chosen"} if _brings_model(cls) else {})


def _brings_model(cls: type[Any]) -> bool:
    return callable(getattr(cls, "default_llm", None))


def _called(cls: type[Any], method: str) -> dict[str, Any]:
    if callable(getattr(cls, f"{method}_batch", None)):
        maximum = getattr(cls, "max_batch", None)
        return {"called": "in batches" + (f" of at most {maximum}" if isinstance(maximum, int) else "")}
    if inspect.iscoroutinefunction(getattr(cls, method, None)):
        return {"called": "asynchronously"}
    return {"called": "one call at a time"} if getattr(cls, "serial", False) is True else {}


def _text(shown: dict[str, Any]) -> str:
    parts = [f"{shown['kind']} {shown['name']}" + (f": {line(shown['summary'])}" if shown["summary"] else "")]
    rows = [("from", f"{shown['distribution']} {shown['version']}"), ("class", shown["target"])]
    if shown["knowledge"]:
        rows.append(("knowledge", shown["knowledge"]))
    if shown["trained_on"]:
        rows.append(("trained on", ", ".join(shown["trained_on"])))
    rows += [(name.replace("_", " "), _fact(value)) for name, value in shown["facts"].items()]
    if shown["problem"]:
        rows.append(("problem", shown["problem"]))
    parts.append(pairs(rows))
    if shown["doc"]:
        parts.append(printable(shown["doc"]))
    if shown["card"]:
        parts.append(card_text(msgspec.convert(shown["card"], DatasetCard)))
    if shown["options"]:
        flag = OPTION_FLAGS.get(shown["kind"])
        given = [tuple(row.values()) for row in shown["options"]]
        heading = f"Options, each set with {flag} NAME=VALUE:\n\n" if flag else ""
        parts.append(heading + table(given, ("option", "type", "default", "description")))
    elif not shown["error"]:
        parts.append("It has no options.")
    return "\n\n".join(parts)


def card_text(card: DatasetCard) -> str:
    """Title, licence, citation, home page and the way to get it."""
    rows = [
        ("title", card.title),
        ("licence", card.licence),
        ("citation", card.citation),
        ("home page", card.homepage),
        ("how to get", card.how_to_get),
    ]
    if card.files:
        known = [file.bytes for file in card.files if file.bytes is not None]
        total = f", {size(sum(known))}" if len(known) == len(card.files) else ""
        count = f"{len(card.files)} file{'s' if len(card.files) > 1 else ''}{total}"
        rows.append(("download", f"harness data get {card.name}  ({count})"))
    return pairs([row for row in rows if row[1]])


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else " to ".join(value)
