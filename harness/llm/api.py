"""The one interface to language models: messages in; text, usage and finish reason out; asynchronous."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from harness.api import Usage
from harness.errors import LlmError, RefusedError


class ChatMessage(msgspec.Struct, frozen=True):
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call. Everything here is part of the cache key.

    `schema` is a JSON schema that the answer must follow, where the backend can hold the model to it; `seed` is used where the
    backend samples (temperature > 0).

    `pattern` is a regular expression that the whole answer must match. A backend that can't hold the model to it raises
    LlmError: unlike a schema it is never left away. Write it in what all regular-expression dialects share: literals, classes,
    groups `(?:...)`, alternatives, counts. A request has a schema or a pattern, not both.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    schema: dict[str, Any] | None = None
    pattern: str | None = None


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came back. `finish` is "stop", "length" or what the server said."""

    text: str
    finish: str = "stop"
    usage: Usage = Usage()


class Scores(list[float]):
    """What `score` gives: a log-probability per continuation. A plain list whose `usage` says what asking for it has cost."""

    def __init__(self, values: Iterable[float], usage: Usage | None = None) -> None:
        super().__init__(values)
        self.usage = usage or Usage()


__all__ = ["ChatMessage", "ChatModel", "ChatRequest", "Completion", "LlmError", "RefusedError", "Scores"]


@runtime_checkable
class ChatModel(Protocol):
    """A backend, or a layer around one.

    Raises TransportError (try again), RefusedError (a fault), BudgetExceeded (stop), LlmError
    (a user's mistake).
    """

    name: str
    """The string that chose it, "openai:gpt-4o-mini"."""

    async def chat(self, request: ChatRequest) -> Completion: ...

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        """Log-probability (natural, summed over tokens) of each continuation as the assistant's answer.

        Backends give `Scores`, a list that knows its cost. Raises LlmError where the backend has no log-probabilities.
        """
        ...

    def revision(self) -> dict[str, Any]:
        """For the fingerprint: backend, model, weights' hash where they are local; no address, no key."""
        ...

    async def close(self) -> None: ...
