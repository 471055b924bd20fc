"""Transport failures of a server: tried again after a pause, each try through the gate."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from harness.errors import LlmError, TransportError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion
from harness.llm.limits import Gate
from harness.llm.metering import remaining

T = TypeVar("T")


class Unreachable(TransportError):
    """Nothing has ever answered there: if that lasts, it is no outage but a wrong address or a server that isn't running."""


class Retrying:
    """`retries` more tries after the first. Pauses double from `backoff` up to `max_backoff` and get a jitter of half to one
    and a half; where the server said how long, that time counts, if it is at most `longest` and the call has that much left.

    The last failure is raised as a TransportError that is `final`: whoever calls must not try again on top.
    """

    def __init__(
        self, inner: ChatModel, gate: Gate, *, retries: int, backoff: float, max_backoff: float, longest: float
    ) -> None:
        self._inner, self._gate = inner, gate
        self._retries, self._backoff, self._max_backoff, self._longest = retries, backoff, max_backoff, longest
        self.name = inner.name

    async def chat(self, request: ChatRequest) -> Completion:
        return await self._persist(lambda: self._inner.chat(request))

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        return await self._persist(lambda: self._inner.score(messages, continuations))

    def revision(self) -> dict[str, Any]:
        return self._inner.revision()

    async def close(self) -> None:
        await self._inner.close()

    async def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        pause = self._backoff
        tried = 0
        while True:
            tried += 1
            try:
                async with self._gate.passage():
                    return await ask()
            except TransportError as error:
                wait = self._wait(error.retry_after, pause)
                if isinstance(error, Unreachable) and (tried > self._retries or wait >= remaining()):
                    raise LlmError(f"{error}; is the server running, and base_url right?") from error
                if tried > self._retries or error.final or wait > self._longest:
                    raise _final(error, tried) from error
                if wait >= remaining():
                    raise _final(error, tried, "; the call has no time left for another try: a longer --timeout") from error
            await asyncio.sleep(wait)
            pause = min(2 * pause, self._max_backoff)

    def _wait(self, retry_after: float | None, pause: float) -> float:
        # Jitter only spreads requests in time; it touches no number, so it isn't drawn from a run's seed.
        if retry_after is not None and math.isfinite(retry_after):
            return max(0.0, retry_after) * (1 + 0.1 * random.random())
        return pause * (0.5 + random.random())


def _final(error: TransportError, tried: int, more: str = "") -> TransportError:
    tries = "1 try" if tried == 1 else f"{tried} tries"
    return TransportError(f"{error} (after {tries}{more})", retry_after=error.retry_after, final=True)
