"""What is wrong with one JSON object, field by field: all of it, not only the first thing."""

from __future__ import annotations

import difflib
import re
from typing import Any, Literal, get_args, get_origin

import msgspec

from .schema import DialogueLine, ItemLine, MessageLine, NeedLine

_NESTED: dict[str, type[msgspec.Struct]] = {"messages": MessageLine, "needs": NeedLine}
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. `line` is 0 where a file as a whole is meant, `field` empty where the line is."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: field '{self.field}': {self.message}" if self.field else f"{place}: {self.message}"


def structure_problems(content: Any, kind: type[msgspec.Struct], prefix: str = "") -> list[tuple[str, str]]:
    """(field, message) for every field of `content` that doesn't fit `kind`."""
    if type(content) is not dict:
        return [(prefix.rstrip("."), f"expected an object, found {_found(content)}")]
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
    tag_field = kind.__struct_config__.tag_field
    problems = [
        (f"{prefix}{name}", _unknown(name, list(fields))) for name in content if name not in fields and name != tag_field
    ]
    for name, field in fields.items():
        if name not in content:
            if field.required:
                problems.append((f"{prefix}{name}", f"is missing; {kind.__name__.removesuffix('Line').lower()} lines need it"))
            continue
        value = content[name]
        nested = _NESTED.get(name) if kind is DialogueLine else None
        if nested is not None and type(value) is list:
            for n, element in enumerate(value):
                problems += structure_problems(element, nested, f"{prefix}{name}[{n}].")
            continue
        if get_origin(field.type) is Literal:
            choices = get_args(field.type)
            if value not in choices:
                problems.append((f"{prefix}{name}", f"expected {' or '.join(map(repr, choices))}, found {_found(value)}"))
            continue
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            path, message = _words(str(error))
            problems.append((f"{prefix}{name}{path}", message))
    return problems


def kind_of(content: Any) -> type[ItemLine] | type[DialogueLine] | str:
    """Which line an object wants to be, or what is wrong with its `type`."""
    if type(content) is not dict:
        return f"expected a JSON object in one line, found {_found(content)}"
    kind = content.get("type")
    if kind == "item":
        return ItemLine
    if kind == "dialogue":
        return DialogueLine
    return f'every line after the first needs "type": "item" or "type": "dialogue", found {_found(kind)}'


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown field; did you mean {close[0]!r}?" if close else f"unknown field; known ones are {', '.join(known)}"


def _words(message: str) -> tuple[str, str]:
    """msgspec's message, split into the path below the field and plain words."""
    text, _, path = message.partition(" - at `$")
    plain = re.sub(r"`([a-z |]+)`", lambda m: " or ".join(_WORDS.get(word, word) for word in m[1].split(" | ")), text)
    hint = "; write it in quotes" if plain == "Expected a string, got an integer" else ""
    return path.rstrip("`"), plain[:1].lower() + plain[1:] + hint


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    shown = msgspec.json.encode(value).decode()
    return shown if len(shown) <= 40 else shown[:40] + "…"
