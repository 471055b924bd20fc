"""The lines of a rankings file, read strictly: every error names its line, and many are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.checks import MAX_ID
from harness.errors import DataError
from harness.wholefiles import why

FIELDS: Final = ("id", "items", "titles", "targets", "source")
MOST_ITEMS: Final = 10_000
MOST_ERRORS: Final = 20


class Line(msgspec.Struct, frozen=True):
    """A line of the file, checked. `targets` None: the data set knows them."""

    number: int
    id: str
    items: tuple[str, ...]
    titles: bool
    targets: tuple[str, ...] | None
    source: str | None


def read(path: Path, *, with_catalogue: bool) -> list[Line]:
    """Every line, checked. Raises DataError that lists the lines that are wrong, with their numbers."""
    lines: list[Line] = []
    wrong: list[str] = []
    first: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if not raw.strip():
                    continue
                try:
                    line = _line(raw, number, with_catalogue=with_catalogue)
                except DataError as error:
                    wrong.append(f"{path}:{number}: {error}")
                    continue
                if line.id in first:
                    wrong.append(f"{path}:{number}: field 'id': {line.id!r} stands on line {first[line.id]} already")
                first.setdefault(line.id, number)
                lines.append(line)
    except OSError as error:
        raise DataError(f"can't read {path}: {why(error)}") from None
    refuse(wrong)
    if not lines:
        raise DataError(f"{path}: holds no ranked list")
    without = [line.number for line in lines if line.targets is None]
    if 0 < len(without) < len(lines):
        raise DataError(f"{path}:{without[0]}: field 'targets' is missing; either every line has it or none")
    return lines


def refuse(wrong: Sequence[str]) -> None:
    """Raises DataError with the first of the errors, if there are any."""
    if wrong:
        more = f"\n  and {len(wrong) - MOST_ERRORS:,} more" if len(wrong) > MOST_ERRORS else ""
        raise DataError("\n  ".join(wrong[:MOST_ERRORS]) + more)


def _line(raw: bytes, number: int, *, with_catalogue: bool) -> Line:
    """Raises DataError without the place."""
    try:
        content = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"this is no JSON ({error}); NaN and Infinity are none") from None
    if not isinstance(content, dict):
        raise DataError('expected an object: {"id": ..., "items": [...], "targets": [...]}')
    for name in content:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIELDS)}"
            raise DataError(f"unknown field {name[:60]!r}; {hint}")
    if ("items" in content) == ("titles" in content):
        raise DataError("one of the fields 'items' (ids) and 'titles' is needed, best first")
    titles = "titles" in content
    if titles and not with_catalogue:
        raise DataError("field 'titles': titles need a catalogue; name a data set with --dataset, or give ids as 'items'")
    items = _texts(content["titles" if titles else "items"], "titles" if titles else "items")
    if len(items) > MOST_ITEMS:
        raise DataError(f"{len(items):,} entries; a list has at most {MOST_ITEMS:,}")
    targets = None
    if "targets" in content:
        targets = tuple(dict.fromkeys(_texts(content["targets"], "targets")))
        if not targets:
            raise DataError("field 'targets': is empty: a list without a target can't be scored; remove the line")
    elif not with_catalogue:
        raise DataError("field 'targets' is missing: without --dataset only the file can say what was looked for")
    source = None if content.get("source") is None else _text(content["source"], "source")
    if "id" not in content:
        raise DataError("field 'id' is missing")
    return Line(number, _text(content["id"], "id"), items, titles, targets, source)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"field {name!r}: expected a list, found {msgspec.json.encode(value).decode()[:40]}")
    return tuple(_text(entry, name) for entry in value)


def _text(value: Any, name: str) -> str:
    """A text, or a whole number as one."""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"field {name!r}: expected texts or whole numbers, found {msgspec.json.encode(value).decode()[:40]}")
    if len(value) > MAX_ID:
        raise DataError(f"field {name!r}: a text of {len(value):,} characters; {MAX_ID} are the most")
    return value
