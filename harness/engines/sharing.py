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
from harness.llm.loops import PerLoop, Together
from harness.models import layers_of
from harness.paths import user_cache

LATER: Final = ""
"""The answer to a call that may fit when others have ended."""
AGAIN: Final = 0.1
"""Seconds after which such a call asks again."""
LATE: Final = 2.0
"""Seconds that a bill may be under way."""
LOST: Final = "the desk that keeps the limits and the cache of all workers is gone: resume the run"


class Desk:
    """The body of a Ray actor with async methods. Workers ask many things in one message."""

    def __init__(self, sharing: bytes) -> None:
        said = msgspec.msgpack.decode(sharing, type=Sharing)
        earlier = Usage(prompt_tokens=said.spent_tokens, cost=said.spent_cost)
        self._budget = Budget(max_cost=said.max_cost, max_tokens=said.max_tokens, earlier=earlier)
        self._cache: Cache | None = None
        if said.cache != "off":
            file = user_cache() / "llm.sqlite" if said.cache_file is None else Path(said.cache_file)
            self._cache = Cache(file, said.cache)  # type: ignore[arg-type]
        self._open: dict[tuple[str, int], tuple[int, float]] = {}
        """What is set aside, by worker and ticket."""
        self._gone: set[str] = set()

    async def trade(self, worker: str, asked: list[tuple[bool, int, int, float]]) -> list[str | None]:
        """(True, ticket, tokens, cost): may a call cost that much? None: yes, it is set aside; LATER; or why not.
        (False, ticket, tokens, cost): the call has ended and did cost that much."""
        return [self._trade(worker, *each) for each in asked]

    def _trade(self, worker: str, hold: bool, ticket: int, tokens: int, cost: float) -> str | None:
        if hold:
            return self._hold(worker, ticket, tokens, cost)
        self._settle(worker, ticket, tokens, cost)
        return None

    def _hold(self, worker: str, ticket: int, tokens: int, cost: float) -> str | None:
        if worker in self._gone:
            return LATER
        if self._budget.take(tokens, cost):
            self._open[worker, ticket] = tokens, cost
            return None
        # Calls in flight mostly cost less than they hold.
        return LATER if self._open else self._budget.full(tokens, cost)

    def _settle(self, worker: str, ticket: int, tokens: int, cost: float) -> None:
        held = self._open.pop((worker, ticket), None)
        if held is not None:
            self._budget.settle(*held, Bill(tokens, cost))

    async def forget(self, worker: str) -> None:
        """A worker is gone. Nobody says what its calls have cost: as much as they might have."""
        self._gone.add(worker)
        for owner, ticket in [key for key in self._open if key[0] == worker]:
            self._settle(owner, ticket, *self._open[owner, ticket])

    async def spent(self) -> tuple[int, float]:
        """Tokens and dollars so far, once the bills of calls that have ended are here."""
        until = time.monotonic() + LATE
        while self._open and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return self._budget.tokens, self._budget.cost

    async def look(self, keys: list[bytes]) -> list[bytes | None] | str:
        """The stored outcomes as JSON, None where there is none; or what is wrong with the cache."""
        try:
            entries = await asyncio.gather(*(self._file().get(key) for key in keys))
        except LlmError as error:
            return str(error)
        return [None if entry is None else msgspec.json.encode(entry) for entry in entries]

    async def keep(self, rows: list[tuple[bytes, str, bytes]]) -> list[None] | str:
        """Store outcomes (key, model, JSON); a None for each, or what is wrong with the cache."""
        decode = msgspec.json.Decoder(Entry).decode
        try:
            await asyncio.gather(*(self._file().put(key, model, decode(entry)) for key, model, entry in rows))
        except LlmError as error:
            return str(error)
        return [None] * len(rows)

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
        self._tickets = itertools.count()
        self._purse = PerLoop(lambda: Together(lambda asked: _answers(desk.trade.remote(worker, asked), len(asked))))

    @contextlib.asynccontextmanager
    async def hold(self, tokens: int, cost: float) -> AsyncIterator[Bill]:
        """As `Budget.hold`, over all workers."""
        purse, ticket, bill = self._purse.get(), next(self._tickets), Bill()
        try:
            while (refused := await purse.ask((True, ticket, tokens, cost))) == LATER:
                await asyncio.sleep(AGAIN)
            if refused is not None:
                raise BudgetExceeded(refused)
            yield bill
        finally:  # also of a call that is cancelled while it asks: what was not granted is not settled
            purse.put((False, ticket, bill.tokens, bill.cost))


class SharedCache(Cache):
    """The cache at the desk."""

    def __init__(self, desk: Any, sharing: Sharing) -> None:
        # Nothing of a file is opened here.
        self.mode = sharing.cache  # type: ignore[assignment]
        self.hits = self.misses = 0
        self._looks = PerLoop(lambda: Together(lambda keys: _answers(desk.look.remote(keys), len(keys))))
        self._keeps = PerLoop(lambda: Together(lambda rows: _answers(desk.keep.remote(rows), len(rows))))

    async def get(self, key: bytes) -> Entry | None:
        """As `Cache.get`."""
        value = await self._looks.get().ask(key)
        self.hits += value is not None
        self.misses += value is None
        return None if value is None else msgspec.json.decode(value, type=Entry)

    async def put(self, key: bytes, model: str, entry: Entry) -> None:
        """As `Cache.put`."""
        await self._keeps.get().ask((key, model, msgspec.json.encode(entry)))

    async def close(self) -> None:
        """The desk closes the file."""


async def _answers(reference: Any, count: int) -> list[Any]:
    """What the desk says to so many questions: an LlmError for each when it is gone, or says what is wrong."""
    from ray.exceptions import RayError

    try:
        answers = await asyncio.wrap_future(reference.future())
    except RayError:
        answers = LOST
    return [LlmError(answers) for _ in range(count)] if isinstance(answers, str) else list(answers)
