"""The language model of an isolated recommender: questions go to the harness, which has the keys, the cache and the purse."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from harness.errors import LlmError, RefusedError, TransportError
from harness.isolation import messages
from harness.llm.api import ChatMessage, ChatRequest, Completion, Scores
from harness.llm.metering import add

CALL: Final[contextvars.ContextVar[int | None]] = contextvars.ContextVar("harness_isolated_call", default=None)
"""Number of the call that a task works for."""


class ProxyModel:
    """A `harness.llm.ChatModel` whose questions are answered by the harness's own one."""

    def __init__(self, which: str, name: str, revision: dict[str, Any], line: Line) -> None:
        self.name = name
        self._which, self._revision, self._line = which, revision, line

    async def chat(self, request: ChatRequest) -> Completion:
        heard = await self._line.ask(lambda number, call: messages.Asked(number, call, self._which, request))
        return Completion(heard.text, heard.finish, heard.usage)

    async def score(self, prompt: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        given = (tuple(prompt), tuple(continuations))
        heard = await self._line.ask(lambda number, call: messages.Asked(number, call, self._which, None, *given))
        return Scores(heard.scores or [], heard.usage)

    def revision(self) -> dict[str, Any]:
        return self._revision

    async def close(self) -> None:
        """Nothing: the harness closes its own model."""


class Line:
    """Questions on their way to the harness, and who waits for the answers."""

    def __init__(self, send: Callable[[messages.Answer], None]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[messages.Heard]]] = {}
        self._lock = threading.Lock()

    def hear(self, message: messages.Heard) -> None:
        """An answer has come; called in the thread that reads the pipe."""
        with self._lock:
            found = self._waiting.pop(message.id, None)
        if found is not None:
            loop, future = found
            loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(message))

    async def ask(self, question: Callable[[int, int], messages.Asked]) -> messages.Heard:
        """The answer to `question(its number, the call's)`. Raises what asking a model raises."""
        call = CALL.get()
        if call is None:
            raise LlmError("an isolated recommender can ask its language model only in the task of a call, not in prepare()")
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[messages.Heard] = loop.create_future()
        with self._lock:
            self._waiting[number] = loop, future
        try:
            self._send(question(number, call))
            heard = await future
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        add(heard.spent)
        if heard.error == "transport":
            raise TransportError(heard.message, retry_after=heard.retry_after, final=heard.final)
        if heard.error == "refused":
            raise RefusedError(heard.message, usage=heard.usage)
        return heard
