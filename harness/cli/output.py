"""How the verbs print: tables as plain text, JSON for machines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

import click
import msgspec
from tabulate import tabulate


def line(text: object) -> str:
    """A text of a plugin or a file as one printable line."""
    return "".join(c for c in " ".join(str(text).split()) if c.isprintable())


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """Plain columns; those in `right` are flush right. On a terminal the last column is wrapped to the window's width."""
    cells = [[line(cell) for cell in row] for row in rows]
    align = tuple("right" if n in right else "left" for n in range(len(headers)))
    widths = None
    if cells and sys.stdout.isatty():
        used = sum(max(len(row[n]) for row in (*cells, headers)) + 2 for n in range(len(headers) - 1))
        widths = [*([None] * (len(headers) - 1)), max(24, shutil.get_terminal_size().columns - used)]
    return tabulate(
        cells, headers, tablefmt="simple", disable_numparse=True, colalign=align if cells else None, maxcolwidths=widths
    )


def pairs(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values under each other; on a terminal long values are wrapped to the window's width."""
    width = max(len(name) for name, _ in rows) + 2
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    shown = []
    for name, value in rows:
        text = f"{name + ':':<{width}}{line(value)}"
        shown.append(fill(text, room, subsequent_indent=" " * width, break_on_hyphens=False) if room > width + 20 else text)
    return "\n".join(shown)


def size(count: int) -> str:
    """Bytes as people read them, in decimal units: "5.8 MB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def page_written(path: object, count: int, *, quiet: bool = False) -> None:
    """Says on standard error where a page lies."""
    if not quiet:
        click.echo(f"written to {path} ({size(count)}); it holds the dialogues: mind the data set's licence", err=True)


def print_json(content: Any) -> None:
    """Indented JSON on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())
