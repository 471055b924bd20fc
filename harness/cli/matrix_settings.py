"""What `harness matrix` was told: components by label, each with options of its own."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from harness.errors import UsageError

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")


class Named(msgspec.Struct, frozen=True):
    """A component of the matrix. `pairs` are its options as texts "key=value"."""

    label: str
    name: str
    pairs: tuple[str, ...] = ()


def components(said: Iterable[str], options: Iterable[str], flag: str) -> list[Named]:
    """["a,b", "small=c"] and ["small.size=1", 'a={"k1": 2}'] -> the components with their options.

    A part is NAME or LABEL=NAME; options are LABEL.key=value or LABEL={JSON object}. Raises UsageError with the fix.
    """
    names: dict[str, str] = {}
    for part in (part.strip() for text in said for part in text.split(",")):
        label, equals, name = part.partition("=")
        if not part or (equals and not name) or not LABEL.fullmatch(label):
            raise UsageError(f"{flag} {part!r}: write NAME, or LABEL=NAME to have one component twice")
        if label in names:
            raise UsageError(f"{flag} names {label!r} twice; tell them apart: {flag} {label},other={name or label}")
        names[label] = name or label
    if not names:
        raise UsageError(f"{flag} needs a name at least")
    pairs: dict[str, list[str]] = {label: [] for label in names}
    for option in options:
        label, found = _option(option, names, f"{flag}-opt")
        pairs[label] += found
    return [Named(label, name, tuple(pairs[label])) for label, name in names.items()]


def _option(option: str, names: Mapping[str, str], flag: str) -> tuple[str, list[str]]:
    before, equals, value = option.partition("=")
    if not equals:
        raise UsageError(f"{flag} {option!r}: write LABEL.key=value, or LABEL={{JSON}}")
    if before in names:
        try:
            content = json.loads(value)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise UsageError(
                f"{flag} {option!r}: after {before}= there must be a JSON object; one option is {before}.key=value"
            )
        return before, [f"{key}={text(inner)}" for key, inner in content.items()]
    # A label may hold dots, and so may an option's name: the longest label that fits is meant.
    fitting = [label for label in names if before.startswith(f"{label}.")]
    if not fitting:
        near = difflib.get_close_matches(before.partition(".")[0], names, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(names)}"
        raise UsageError(f"{flag} {option!r} begins with no component of the matrix; {hint}")
    label = max(fitting, key=len)
    return label, [f"{before[len(label) + 1 :]}={value}"]


def text(value: Any) -> str:
    """A JSON value as an option's text."""
    return value if isinstance(value, str) else json.dumps(value)


def flags_of(rec: Named, sim: Named, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the run of this pair."""
    return {**shared, "rec": rec.name, "rec-opt": rec.pairs, "sim": sim.name, "sim-opt": sim.pairs}


def labels_of(named: Sequence[Named]) -> list[str]:
    return [each.label for each in named]
