"""The answer of the attribute alignment: which values speak for and against what is shown. Read strictly."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Final

import msgspec

from harness.llm.api import Completion

from ... import quoting
from ...answers import decoded

Values = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=200)], ...], msgspec.Meta(max_length=50)]
NAMES: Final = ("liked", "disliked", "matched", "missing")


class Alignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attribute values: liked and disliked ones; of the liked ones those that some shown item has, and those that none has."""

    liked: Values
    disliked: Values
    matched: Values
    missing: Values

    def without(self, said: Collection[str]) -> Alignment:
        """Without values that were said before."""
        return Alignment(*(tuple(value for value in getattr(self, name) if value not in said) for name in NAMES))

    def plan(self) -> str:
        """As a prompt shows it: "missing a, b; matched c; not d"."""
        parts = (("missing", self.missing), ("matched", self.matched), ("not", self.disliked))
        return "; ".join(f"{name} {', '.join(quoting.plain(v, 60) for v in values)}" for name, values in parts if values)

    def answer(self) -> str:
        """The JSON that a model is trained to give."""
        return msgspec.json.encode(self).decode()


def parse(completion: Completion) -> Alignment:
    """Blanks around values mean nothing. Raises ComponentFault "empty" or "malformed"."""
    answer = decoded(completion, Alignment)
    return Alignment(*(tuple(value.strip() for value in getattr(answer, name)) for name in NAMES))


def schema() -> dict[str, Any]:
    """The JSON schema of an answer."""
    values = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": dict.fromkeys(NAMES, values),
        "required": list(NAMES),
        "additionalProperties": False,
    }
