"""README.md of an artefact, made from its card. Everything in a card is text to be shown, never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.artifacts import Card

MOST_POINTS = 20
"""Of a curve; longer ones are thinned, first and last point kept."""


def render(card: Card) -> str:
    """Markdown."""
    facts = [
        ("kind", card.kind),
        ("trained on", ", ".join(card.trained_on) or "nothing"),
        ("trained against", ", ".join(card.trained_against) or "no simulator"),
        ("seeds", ", ".join(str(seed) for seed in card.seeds) or "none"),
    ]
    if card.data is not None:
        facts.append(("data", card.data.name + "".join(f", {k} = {_plain(v)}" for k, v in card.data.options.items())))
        facts.append(("data hash (SHA-256)", card.data.hash or "unknown"))
    if card.parts:
        facts.append(("parts", ", ".join(card.parts)))
    blocks = [f"# {text(card.name)}", text(card.summary), _table(("", ""), facts)]
    blocks += _section("To know", "\n".join(f"- {text(note)}" for note in card.notes))
    blocks += _section("Results", _table(("result", "value"), flat(card.results)))
    for name, points in card.curves.items():
        blocks += _section(f"Curve: {text(name)}", _curve(points))
    blocks += _section("Settings", _table(("setting", "value"), flat(card.settings)))
    blocks += _section("Versions", _table(("package", "version"), card.versions.items()))
    blocks += _section("Files", _table(("file", "SHA-256"), card.files.items()))
    return "\n\n".join(block for block in blocks if block) + "\n"


def text(value: object) -> str:
    """A text as one line in which no character means anything to markdown or HTML."""
    shown = "".join(c for c in " ".join(_plain(value).split()) if c.isprintable())
    return re.sub(r"([\\`*_{}\[\]()<>#+!|&~$])", r"\\\1", shown)


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested tables as rows ("outer.inner", value)."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        inner = f"{before}{name}"
        rows += flat(value, f"{inner}.") if isinstance(value, Mapping) and value else [(inner, value)]
    return rows


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []


def _table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    shown = [f"| {' | '.join(text(cell) for cell in row)} |" for row in rows]
    if not shown:
        return ""
    return "\n".join([f"| {' | '.join(text(h) for h in headers)} |", "|" + " --- |" * len(headers), *shown])


def _curve(points: Sequence[Mapping[str, Any]]) -> str:
    if len(points) > MOST_POINTS:
        last = len(points) - 1
        points = [points[round(n * last / (MOST_POINTS - 1))] for n in range(MOST_POINTS)]
    columns = list(dict.fromkeys(name for point in points for name in point))
    return _table(columns, [[point.get(name, "") for name in columns] for point in points])


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(each) for each in value)
    return str(value)
