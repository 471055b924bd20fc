"""A language model that isn't one: what it answers is made of a hash of the request.

It lets components that ask a language model be checked anywhere: any two requests that differ get answers that differ, so a
prompt that another dialogue has leaked into shows at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from harness.api import Usage
from harness.llm.api import ChatMessage, ChatRequest, Completion, Scores

_WORDS = "older newer slower funnier darker lighter longer shorter stranger calmer louder quieter warmer colder bolder".split()


class StubModel:
    """Follows a request's JSON schema where there is one, else says a short sentence. The first of a list of allowed values is
    always taken: a stub has no opinion."""

    name = "stub"

    def __init__(self) -> None:
        self.asked = False
        """Was it ever asked?"""

    async def chat(self, request: ChatRequest) -> Completion:
        self.asked = True
        words = _words(msgspec.json.encode(request, order="deterministic"))
        if request.schema is None:
            text = f"Something {words}, please."
        else:
            text = msgspec.json.encode(_follow(request.schema, request.schema, f"Something {words}, please.")).decode()
        return Completion(text, "stop", Usage(1, sum(len(m.content.split()) for m in request.messages), len(text.split())))

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        self.asked = True
        asked = msgspec.json.encode(list(messages))
        return Scores([-0.01 * (1 + _number(asked + text.encode()) % 999) for text in continuations], Usage(1, len(asked) // 4))

    def revision(self) -> dict[str, Any]:
        return {"backend": "stub"}

    async def close(self) -> None:
        """Nothing is open."""


def _number(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _words(content: bytes) -> str:
    number = _number(content)
    return " ".join(_WORDS[number // len(_WORDS) ** place % len(_WORDS)] for place in range(4))


def _follow(schema: dict[str, Any], root: dict[str, Any], text: str) -> Any:
    """The plainest value that a JSON schema allows."""
    if "$ref" in schema:
        found: Any = root
        for part in str(schema["$ref"]).lstrip("#/").split("/"):
            found = found[part]
        return _follow(found, root, text)
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _follow(schema[choice][0], root, text)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: _follow(part, root, text) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        element = schema.get("items")
        return [_follow(element, root, text) for _ in range(schema.get("minItems", 0))] if isinstance(element, dict) else []
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    plain: dict[Any, Any] = {"boolean": False, "null": None}
    return plain.get(kind, text)
