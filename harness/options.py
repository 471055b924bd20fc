"""`k=v` texts and TOML values -> a component's typed options, with errors that name the nearest field."""

from __future__ import annotations

import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from harness.errors import PluginError, UsageError
from harness.registry import Entry, Registry


def parse_pairs(pairs: Iterable[str], flag: str) -> dict[str, str]:
    """["a=1", "b=x=y"] -> {"a": "1", "b": "x=y"}. Raises UsageError for anything else, and for a name given twice."""
    options: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{flag} {pair!r}: write it as {flag} name=value")
        name = name.strip().replace("-", "_")
        if name in options:
            raise UsageError(f"{flag} {name} is given twice")
        options[name] = value
    return options


def build(registry: Registry, entry: Entry, raw: Mapping[str, Any]) -> Any:
    """The options object of a component (None if it has none). Raises UsageError with the field, the value and the fix."""
    cls = registry.options_type(entry)
    where = f"{entry.kind} {entry.name}"
    if cls is None:
        if raw:
            raise UsageError(f"{where} has no options, but {', '.join(sorted(raw))} was given")
        return None
    return convert(cls, where, raw)


def convert(cls: type[msgspec.Struct], where: str, raw: Mapping[str, Any]) -> Any:
    """An options struct from texts or plain values; `where` names its owner in errors. Raises UsageError as `build` does."""
    fields = {f.name: f for f in msgspec.structs.fields(cls)}
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(fields) or 'none'}"
            raise UsageError(f"{where} has no option {name!r}; {hint}")
        values[name] = _sequence(fields[name].type, value)
    try:
        built = msgspec.convert(values, cls, strict=False, str_keys=True)
    except TypeError as error:  # of the struct itself, not of a value
        raise PluginError(f"{where}: its options class {cls.__name__} can't be used: {error}") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(f"{where}: {_readable(error, values, fields)}") from None
    for name in fields:
        value = getattr(built, name)
        if isinstance(value, float) and not math.isfinite(value):  # JSON, and with it the fingerprint, has no such number
            raise UsageError(f"{where}: option {name}={value}: it must be a finite number")
    return built


def as_dict(options: Any) -> dict[str, Any]:
    """All option values, defaults included, as plain JSON data (for the manifest and the fingerprint)."""
    return {} if options is None else dict(msgspec.to_builtins(options))


def describe(cls: type[msgspec.Struct]) -> list[tuple[str, str, str, str]]:
    """Rows (name, type, default, description) of an options struct, for `harness show`."""
    hints = typing.get_type_hints(cls, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(cls):
        if field.default is not msgspec.NODEFAULT:
            default = json.dumps(msgspec.to_builtins(field.default))
        elif field.default_factory is not msgspec.NODEFAULT:
            default = json.dumps(msgspec.to_builtins(field.default_factory()))
        else:
            default = "required"
        description = next((m.description for m in _metas(hints[field.name]) if m.description), "")
        rows.append((field.name, type_name(field.type), default, description))
    return rows


def _metas(annotation: Any) -> Iterator[msgspec.Meta]:
    """All msgspec.Meta of a type, those of its alternatives too."""
    yield from (m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, msgspec.Meta))
    if typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _metas(part)


def type_name(annotation: Any) -> str:
    """A type as a user reads it: "int", "float | None", "one of a, b"."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return type_name(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(str(a) for a in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(a) for a in typing.get_args(annotation))
    if origin in (tuple, list):
        return f"list of {type_name(next(iter(typing.get_args(annotation)), str))}"
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _sequence(annotation: Any, value: Any) -> Any:
    """Texts for list and dict fields: JSON, or a comma list."""
    if not isinstance(value, str):
        return value
    parts = [annotation]
    while parts:
        part = parts.pop()
        origin = typing.get_origin(part)
        if origin in (tuple, list, frozenset, set) or part in (tuple, list):
            return json.loads(value) if _is_json(value, list) else [v.strip() for v in value.split(",") if v.strip()]
        if (origin is dict or part is dict) and _is_json(value, dict):
            return json.loads(value)
        if part is type(None) and value.lower() in ("none", "null"):
            return None
        if origin in (typing.Annotated, typing.Union, types.UnionType):
            parts += typing.get_args(part)
    return value


def _is_json(value: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(value), kind)
    except ValueError:
        return False


def _readable(error: Exception, values: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    message, _, path = str(error).partition(" - at ")
    name = path.strip("`$. ").split("[")[0]
    if name in values:
        return f"option {name}={values[name]}: {message}; it takes {type_name(fields[name].type)}"
    return message
