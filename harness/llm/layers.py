"""What stands around every backend, in this order from the outside: accounting and the call's time limit, cache, budget,
retries through the gate of the server, backend. One `Layers` serves all models of a run, so that they share purse, cache,
gates and clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.api import Usage
from harness.errors import RefusedError, TransportError, UsageError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion
from harness.llm.budget import Budget, Budgeted, Price, price_of, read_prices
from harness.llm.cache import Cache, Cached, CacheMode
from harness.llm.limits import Gate
from harness.llm.metering import add, remaining
from harness.llm.redact import secrets, without
from harness.llm.retry import Retrying
from harness.paths import user_cache

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How models are asked. None of it can change an answer."""

    concurrency: int = 8
    """Requests in flight to one server, at most."""
    retries: int = 5
    """Tries after the first when the transport fails."""
    backoff: float = 0.5
    """Seconds of the first pause; doubles up to `max_backoff`."""
    max_backoff: float = 30.0
    longest_wait: float = 120.0
    """A server that asks for a longer pause than this is not waited for."""
    rpm: float | None = None
    """Requests per minute to one server."""
    cache: CacheMode = "off"
    cache_file: Path | None = None
    """None: llm.sqlite in the user's cache folder."""
    max_cost: float | None = None
    max_tokens: int | None = None
    prices: Path | None = None
    spent: Usage = Usage()
    """What counts towards the limits already (a resumed run's records)."""

    def __post_init__(self) -> None:
        if self.rpm is not None and not self.rpm > 0:
            raise UsageError(f"--rpm must be more than 0, not {self.rpm:g}")
        if self.max_cost is not None and not self.max_cost >= 0:
            raise UsageError(f"--max-cost must be at least 0, not {self.max_cost:g}")
        if self.max_tokens is not None and self.max_tokens < 0:
            raise UsageError(f"--max-tokens must be at least 0, not {self.max_tokens}")


class Layers:
    """What the models of one run share. Opening it reads the prices and looks at the cache file, so that errors come early."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        self.prices: dict[str, Price] = {} if settings.prices is None else read_prices(settings.prices)
        self.budget = Budget(max_cost=settings.max_cost, max_tokens=settings.max_tokens, earlier=settings.spent)
        self.cache: Cache | None = None
        if settings.cache != "off":
            self.cache = Cache(settings.cache_file or user_cache() / "llm.sqlite", settings.cache)
        self.built: dict[Any, ChatModel] = {}
        """Models by specification and options: roles that name the same model share it."""
        self.shared: dict[str, Any] = {}
        """What backends keep for their other models (connections)."""
        self._gates: dict[str, Gate] = {}

    def gate(self, address: str) -> Gate:
        """The one gate to a server."""
        if address not in self._gates:
            self._gates[address] = Gate(self.settings.concurrency, self.settings.rpm)
        return self._gates[address]

    def wrap(
        self,
        backend: ChatModel,
        *,
        address: str = "",
        retries: int | None = None,
        key_names: Sequence[str] = (),
        adapt: Callable[[ChatRequest], ChatRequest] | None = None,
    ) -> ChatModel:
        """The backend with everything around it.

        `address` is that of its server; a local backend has none and needs no gate. `key_names` are the environment variables
        that hold its keys. `adapt` applies the user's options to a request before any layer sees it.
        """
        settings = self.settings
        model = backend
        if address:
            model = Retrying(
                model,
                self.gate(address),
                retries=settings.retries if retries is None else retries,
                backoff=settings.backoff,
                max_backoff=settings.max_backoff,
                longest=settings.longest_wait,
            )
        price = price_of(backend.name, self.prices)
        if self.budget.limited or price is not None:
            model = Budgeted(model, self.budget, price)
        if self.cache is not None:
            model = Cached(model, self.cache, address=address)
        return Accounted(model, secrets(key_names), adapt, getattr(backend, "load", None) if self.cache is None else None)


class Accounted:
    """The outermost layer: meters what an answer cost, keeps keys out of it, and ends it in time."""

    def __init__(
        self,
        inner: ChatModel,
        hidden: Sequence[str] = (),
        adapt: Callable[[ChatRequest], ChatRequest] | None = None,
        load: Callable[[], None] | None = None,
    ) -> None:
        self._inner, self._hidden, self._adapt, self._load = inner, tuple(hidden), adapt, load
        self.name = inner.name

    def load(self) -> None:
        """Read local weights now, so that no call's time limit pays for it. With a cache they are read when first needed."""
        if self._load is not None:
            self._load()

    async def chat(self, request: ChatRequest) -> Completion:
        asked = request if self._adapt is None else self._adapt(request)
        asked = msgspec.structs.replace(asked, messages=_sendable(asked.messages))
        answer = await self._metered(lambda: self._inner.chat(asked))
        add(answer.usage)
        text = without(answer.text, self._hidden)
        return answer if text == answer.text else msgspec.structs.replace(answer, text=text)

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        if not continuations:
            return []
        values = await self._metered(lambda: self._inner.score(_sendable(messages), tuple(map(_clean, continuations))))
        add(getattr(values, "usage", Usage()))
        return values

    def revision(self) -> dict[str, Any]:
        return self._inner.revision()

    async def close(self) -> None:
        await self._inner.close()

    async def _metered(self, ask: Callable[[], Awaitable[T]]) -> T:
        left = remaining()
        try:
            async with asyncio.timeout(None if left == float("inf") else left) as limit:
                return await ask()
        except RefusedError as error:
            if isinstance(error.usage, Usage):
                add(error.usage)
            raise
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"{self.name} gave no answer within the time of the call that asked it; see --timeout"
            raise TransportError(message, final=True) from error


def _sendable(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    return tuple(m if m.content.isascii() else ChatMessage(m.role, _clean(m.content)) for m in messages)


def _clean(text: str) -> str:
    """Half a surrogate pair can't be sent as UTF-8."""
    return text.encode("utf-8", "replace").decode()
