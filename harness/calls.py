"""A component in whatever form it is written -> one awaitable call with a time limit, transport retries and clear blame."""

from __future__ import annotations

import abc
import asyncio
import math
import random
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from harness.api import Feedback, Recommendation, Usage
from harness.batching import Batcher, Flow, is_async
from harness.config import Transport
from harness.errors import (
    FAULT_KINDS,
    BudgetExceeded,
    ComponentFault,
    LlmError,
    PluginError,
    RefusedError,
    TransportError,
    TransportExhausted,
    described,
)
from harness.llm.metering import meter
from harness.llm.redact import redact
from harness.workerloop import LoopHost
from harness.workers import CallTimeout, ThreadHost

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


Submit = Callable[..., Awaitable[Any]]
"""(coroutine function, its arguments) -> what it gives."""


class Elsewhere(abc.ABC):
    """A recommender that runs in another process and keeps its own time; none of its code runs in this one."""

    batched: bool
    """Conversations of one moment go to it together."""
    max_batch: int | None

    @abc.abstractmethod
    def bind(self, submit: Submit) -> None:
        """From now on it is called in the running loop. `submit` runs what asks language models."""

    @abc.abstractmethod
    async def call(self, conversations: Sequence[Any], k: int) -> list[Any]:
        """An answer per conversation, or in its place the error to raise for it."""

    @abc.abstractmethod
    async def leave(self) -> None:
        """The loop ends."""


class Hosts:
    """The places where this run's components are called; `close` when the run is over."""

    def __init__(self, transport: Transport) -> None:
        self.flow = Flow()
        self._transport = transport
        self._open: list[ThreadHost | LoopHost] = []
        self._loop_host: LoopHost | None = None
        self._away: list[Elsewhere] = []

    def adapt(self, component: object, method: str, role: str) -> Callable[..., Awaitable[Any]]:
        """`component.method` (plain or async) or `component.method_batch` as an async function of one dialogue's arguments.

        The function raises ComponentFault, TransportExhausted or BudgetExceeded, and nothing else for what the component did.
        """
        if isinstance(component, Elsewhere):
            away = self._elsewhere(component)
            return lambda *arguments: self._guard(away, arguments)
        batched = getattr(component, f"{method}_batch", None)
        single = getattr(component, method, None)
        if batched is not None:
            maximum = getattr(component, "max_batch", None) or self._transport.at_once
            if not isinstance(maximum, int) or maximum < 1:
                raise PluginError(f"max_batch of {role} {type(component).__name__} must be a whole number above 0")
            send = self.runner(batched, role, serial=True)
            batcher = Batcher(self.flow, lambda calls: send(*_transpose(calls)), maximum=maximum)
            run: Callable[..., Awaitable[Any]] = lambda *arguments: batcher.call(arguments)  # noqa: E731
        elif single is not None:
            run = self.runner(single, role, serial=bool(getattr(component, "serial", False)))
        else:
            raise PluginError(f"{role} {type(component).__name__} has neither {method}() nor {method}_batch()")
        return lambda *arguments: self._guard(run, arguments)

    def runner(self, function: Callable[..., Any], role: str, *, serial: bool) -> Callable[..., Awaitable[Any]]:
        """The function where its kind is called: plain ones in threads, async ones in a loop of their own."""
        if is_async(function):
            metered = _metered(function, self._transport.timeout)
            return lambda *arguments: self.submit(metered, *arguments)
        limit = 1 if serial else self._transport.at_once
        threads = ThreadHost(f"harness-{role}", limit=limit, timeout=self._transport.timeout)
        self._open.append(threads)
        return lambda *arguments: threads.submit(function, *arguments)

    def submit(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> asyncio.Future[Any]:
        """Future of `await function(*arguments)`, run in the loop of the async components and of language models."""
        if self._loop_host is None:
            self._loop_host = LoopHost("harness-components", timeout=self._transport.timeout)
            self._open.append(self._loop_host)
        return self._loop_host.submit(function, *arguments)

    def _elsewhere(self, component: Elsewhere) -> Callable[..., Awaitable[Any]]:
        component.bind(self.submit)
        self._away.append(component)
        if component.batched:
            batcher = Batcher(
                self.flow,
                lambda calls: component.call([conversation for conversation, _ in calls], calls[0][1]),
                maximum=component.max_batch or self._transport.at_once,
            )
            return lambda *arguments: _raised(batcher.call(arguments))
        return lambda conversation, k: _raised(component.call([conversation], k), only=True)

    async def _guard(self, run: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        transport = self._transport
        pause = transport.backoff
        spent: Usage | None = None
        for attempt in range(transport.transport_retries + 1):
            try:
                return await self.flow.wait(run(*arguments))
            except TransportError as error:
                spent = _add(spent, error)
                if error.final or attempt == transport.transport_retries:
                    raise TransportExhausted(_message(error), attempt + 1, spent) from error
                await self.flow.wait(asyncio.sleep(_wait(error.retry_after, pause)))
                pause = min(pause * 2, transport.max_backoff)
            except (BudgetExceeded, LlmError):
                raise
            except CallTimeout as error:
                raise ComponentFault("timeout", str(error), spent) from None
            except ComponentFault as fault:
                kind = fault.kind if fault.kind in FAULT_KINDS else "exception"
                raise ComponentFault(kind, _message(fault), _add(spent, fault)) from fault
            except RefusedError as error:
                raise ComponentFault(
                    "empty", f"the model gave nothing usable: {_message(error)}", _add(spent, error)
                ) from error
            except Exception as error:
                raise ComponentFault("exception", f"{type(error).__name__}: {_message(error)}", _add(spent, error)) from error
        raise TransportExhausted("no try was allowed", 0)

    async def finish(self, endings: Sequence[Callable[[], Coroutine[Any, Any, Any]]]) -> None:
        """Await what must be closed in the loop where it was used (chat models' connections), then end all threads that end."""
        for component in self._away:
            await component.leave()
        if self._loop_host is not None and endings:
            futures = [self._loop_host.submit(ending) for ending in endings]
            await asyncio.wait(futures, timeout=5)
        self.close()

    def close(self) -> None:
        """End all threads that end."""
        for host in self._open:
            host.close()


async def _raised(outcome: Awaitable[Any], *, only: bool = False) -> Any:
    """The answer, or the `only` one of a list; raised if it is an error."""
    answer = (await outcome)[0] if only else await outcome
    if isinstance(answer, Exception):
        raise answer
    return answer


def _transpose(calls: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """[(conversation, k), ...] -> ([conversations], k): lists per argument, but the list length k as one number."""
    columns = [list(column) for column in zip(*calls, strict=True)]
    return tuple(column[0] if isinstance(column[0], int) else column for column in columns)


def _metered(function: Callable[..., Awaitable[Any]], limit: float) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Whatever chat models are asked during the call goes into the answer's usage, where the component said none itself."""

    async def call(*arguments: Any) -> Any:
        with meter(limit) as spent:
            try:
                answer = await function(*arguments)
            except Exception as error:
                if spent.total != Usage():
                    error.__dict__["harness_usage"] = spent.total
                raise
        if isinstance(answer, (Recommendation, Feedback)) and answer.usage is None and spent.total != Usage():
            return msgspec.structs.replace(answer, usage=spent.total)
        return answer

    return call


def _add(spent: Usage | None, error: Exception) -> Usage | None:
    """What failed tries have cost so far."""
    more: Usage | None = error.__dict__.get("harness_usage")
    return more if spent is None else spent if more is None else spent + more


def _wait(retry_after: Any, pause: float) -> float:
    """Seconds before the next try: what the server said, if that is a number at all, else the pause with jitter."""
    if isinstance(retry_after, (int, float)) and 0 <= retry_after < math.inf:
        return retry_after
    # Jitter only spreads requests in time; it touches no number, so it isn't drawn from a run's seed.
    return pause * (0.5 + random.random())


def _message(error: BaseException) -> str:
    """The error's text without memory addresses, which differ between two equal runs, and without keys."""
    return redact(_ADDRESS.sub("0x...", described(error)))
