"""What the language models of all workers share: one purse, one cache. A desk beside the driver keeps them; workers ask it.

Limits hold over all workers together, and a cache is one file on the driver's machine, written by one process: SQLite's files
are not safe where several machines write them over a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Usage
from harness.config import Asking, RunConfig
from harness.engines.messages import Sharing
from harness.errors import BudgetExceeded, LlmError
from harness.llm.budget import Bill, Budget
from harness.llm.cache import Cache, Entry
from harness.llm.layers import Layers
from harness.models import layers_of
from harness.paths import user_cache

LATE: Final = 2.0
"""Seconds that a bill may be under way."""
LOST: Final = "the desk that keeps the limits and the cache of all workers is gone: resume the run"


class Desk:
    """The body of a Ray actor with async methods."""

    def __init__(self, sharing: bytes) -> None:
        said = msgspec.msgpack.decode(sharing, type=Sharing)
        earlier = Usage(prompt_tokens=said.spent_tokens, cost=said.spent_cost)
        self._budget = Budget(max_cost=said.max_cost, max_tokens=said.max_tokens, earlier=earlier)
        self._cache: Cache | None = None
        if said.cache != "off":
            file = user_cache() / "llm.sqlite" if said.cache_file is None else Path(said.cache_file)
            self._cache = Cache(file, said.cache)  # type: ignore[arg-type]
        self._open: dict[str, tuple[contextlib.AsyncExitStack, Bill, int, float]] = {}
        self._withdrawn: set[str] = set()
        self._gone: set[str] = set()

    async def hold(self, ticket: str, tokens: int, cost: float) -> str | None:
        """Set aside what a call may cost; None, or why not. `settle` says what it did cost."""
        stack = contextlib.AsyncExitStack()
        try:
            bill = await stack.enter_async_context(self._budget.hold(tokens, cost))
        except BudgetExceeded as error:
            self._withdrawn.discard(ticket)
            return str(error)
        if ticket in self._withdrawn or _worker(ticket) in self._gone:
            self._withdrawn.discard(ticket)
            await stack.aclose()
        else:
            self._open[ticket] = stack, bill, tokens, cost
        return None

    async def settle(self, ticket: str, tokens: int, cost: float) -> None:
        """A call has ended, or is not made after all."""
        if ticket not in self._open:
            self._withdrawn.add(ticket)
            return
        stack, bill, _, _ = self._open.pop(ticket)
        bill.tokens, bill.cost = tokens, cost
        await stack.aclose()

    async def forget(self, worker: str) -> None:
        """A worker is gone. Nobody says what its calls have cost: as much as they might have."""
        self._gone.add(worker)
        for ticket in [ticket for ticket in self._open if _worker(ticket) == worker]:
            _, _, tokens, cost = self._open[ticket]
            await self.settle(ticket, tokens, cost)

    async def spent(self) -> tuple[int, float]:
        """Tokens and dollars so far, once the bills of calls that have ended are here."""
        until = time.monotonic() + LATE
        while self._open and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return self._budget.tokens, self._budget.cost

    async def look(self, key: bytes) -> tuple[bytes | None, str | None]:
        """(the stored outcome as JSON, None), or (None, what is wrong with the cache)."""
        try:
            entry = await self._file().get(key)
        except LlmError as error:
            return None, str(error)
        return None if entry is None else msgspec.json.encode(entry), None

    async def keep(self, key: bytes, model: str, entry: bytes) -> str | None:
        """Store an outcome; None, or what is wrong with the cache."""
        try:
            await self._file().put(key, model, msgspec.json.decode(entry, type=Entry))
        except LlmError as error:
            return str(error)
        return None

    async def close(self) -> None:
        """Close the cache's file."""
        if self._cache is not None:
            await self._cache.close()

    def _file(self) -> Cache:
        if self._cache is None:
            raise LlmError("there is no cache in this run")
        return self._cache


def sharing_of(config: RunConfig, layers: Layers | None) -> Sharing:
    """What the desk and the workers must know of a run's models."""
    if layers is None:
        return Sharing()
    asking = config.asking
    return Sharing(
        prices=layers.prices,
        max_cost=asking.max_cost,
        max_tokens=asking.max_tokens,
        spent_tokens=layers.budget.tokens,
        spent_cost=layers.budget.cost,
        cache=asking.cache,
        cache_file=None if asking.cache_file is None else str(Path(asking.cache_file).absolute()),
    )


def needs_desk(sharing: Sharing) -> bool:
    """Whether workers share anything that changes."""
    return sharing.max_cost is not None or sharing.max_tokens is not None or sharing.cache != "off"


def config_for_worker(config: RunConfig, workers: int) -> RunConfig:
    """A worker's part of a configuration: its share of the requests per minute; limits and cache are the desk's, judges the
    driver's."""
    rpm = config.asking.rpm
    asking = Asking(rpm=None if rpm is None else rpm / workers)
    return msgspec.structs.replace(config, asking=asking, judge_llm=None)


def shared_layers(config: RunConfig, sharing: Sharing, desk: Any, worker: str) -> Layers:
    """What a worker's models have around them. Without a `desk` they share nothing but the prices."""
    layers = layers_of(config.asking, config.transport)
    layers.prices = sharing.prices
    if sharing.max_cost is not None or sharing.max_tokens is not None:
        layers.budget = SharedBudget(desk, worker, sharing)
    if sharing.cache != "off":
        layers.cache = SharedCache(desk, sharing)
    return layers


class SharedBudget(Budget):
    """The purse at the desk."""

    def __init__(self, desk: Any, worker: str, sharing: Sharing) -> None:
        super().__init__(max_cost=sharing.max_cost, max_tokens=sharing.max_tokens)
        self._desk = desk
        self._tickets = (f"{worker}/{number}" for number in itertools.count())

    @contextlib.asynccontextmanager
    async def hold(self, tokens: int, cost: float) -> AsyncIterator[Bill]:
        """As `Budget.hold`, over all workers."""
        ticket, bill, refused = next(self._tickets), Bill(), None
        try:
            refused = await _answer(self._desk.hold.remote(ticket, tokens, cost))
            if refused is not None:
                raise BudgetExceeded(refused)
            yield bill
        finally:
            if refused is None:
                self._desk.settle.remote(ticket, bill.tokens, bill.cost)


class SharedCache(Cache):
    """The cache at the desk."""

    def __init__(self, desk: Any, sharing: Sharing) -> None:
        # Nothing of a file is opened here.
        self.mode = sharing.cache  # type: ignore[assignment]
        self.hits = self.misses = 0
        self._desk = desk

    async def get(self, key: bytes) -> Entry | None:
        """As `Cache.get`."""
        value, wrong = await _answer(self._desk.look.remote(key))
        if wrong is not None:
            raise LlmError(wrong)
        self.hits += value is not None
        self.misses += value is None
        return None if value is None else msgspec.json.decode(value, type=Entry)

    async def put(self, key: bytes, model: str, entry: Entry) -> None:
        """As `Cache.put`."""
        wrong = await _answer(self._desk.keep.remote(key, model, msgspec.json.encode(entry)))
        if wrong is not None:
            raise LlmError(wrong)

    async def close(self) -> None:
        """The desk closes the file."""


async def _answer(reference: Any) -> Any:
    """What the desk says. Raises LlmError when it is gone, which ends the run."""
    from ray.exceptions import RayError

    try:
        return await asyncio.wrap_future(reference.future())
    except RayError as error:
        raise LlmError(LOST) from error


def _worker(ticket: str) -> str:
    return ticket.rpartition("/")[0]
