"""Many concurrent single calls -> batches, for components that compute in batches.

A batch is sent when every dialogue in flight waits for something, or when the maximum is reached. Nothing sleeps or polls: the
question is asked again only when a dialogue starts to wait, ends, or a batch comes back.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from harness.errors import BudgetExceeded, TransportError


class Flow:
    """Counts the dialogues in flight and those of them that wait."""

    def __init__(self) -> None:
        self.active = 0
        self._waiting = 0
        self._asked = False
        self._batchers: list[Batcher] = []

    def __enter__(self) -> Flow:
        self.active += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.active -= 1
        self.ask()

    async def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on behalf of a dialogue, which counts as waiting meanwhile."""
        self._waiting += 1
        self.ask()
        try:
            return await awaitable
        finally:
            self._waiting -= 1

    def add(self, batcher: Batcher) -> None:
        """From now on this batcher is told when nobody can go on without it."""
        self._batchers.append(batcher)

    def ask(self) -> None:
        """Look after everything that is ready now has run, so that calls of one moment share a batch."""
        if self._batchers and not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._asked = False
        if self._waiting >= self.active:
            for batcher in self._batchers:
                batcher.flush()


class Batcher:
    """Collects calls of one component. `send` takes a list of argument tuples and gives a list of as many results.

    One batch is under way at a time. If it fails or has the wrong length, its calls are made one by one, so that only the
    culprit fails and nobody pays for a neighbour. A failed transport is everybody's: each dialogue tries again after a pause.
    """

    def __init__(self, flow: Flow, send: Callable[[list[Any]], Awaitable[Any]], *, maximum: int) -> None:
        self._flow, self._send, self._maximum = flow, send, maximum
        self._pending: list[tuple[Any, asyncio.Future[Any]]] = []
        self._busy = False
        self._tasks: set[asyncio.Task[None]] = set()
        flow.add(self)

    def call(self, argument: Any) -> asyncio.Future[Any]:
        """Queue one call."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append((argument, future))
        if len(self._pending) >= self._maximum:
            self.flush()
        return future

    def flush(self) -> None:
        """Send what has gathered, unless a batch is under way (it will be looked at again when that is back)."""
        if self._busy:
            return
        self._pending = [(a, f) for a, f in self._pending if not f.done()]
        batch, self._pending = self._pending[: self._maximum], self._pending[self._maximum :]
        if batch:
            self._busy = True
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            try:
                results = await self._results([argument for argument, _ in batch])
            except (TransportError, BudgetExceeded) as error:
                # Nobody's row is to blame, and as many single calls would only hit the same limit again.
                for _, future in batch:
                    _settle(future, error=error)
            except Exception as error:  # noqa: BLE001  whatever the component raised
                if len(batch) == 1:
                    _settle(batch[0][1], error=error)
                else:
                    await asyncio.gather(*(self._single(argument, future) for argument, future in batch))
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    _settle(future, result)
        finally:
            self._busy = False
            self._flow.ask()
            if len(self._pending) >= self._maximum:
                self.flush()

    async def _single(self, argument: Any, future: asyncio.Future[Any]) -> None:
        try:
            _settle(future, (await self._results([argument]))[0])
        except Exception as error:  # noqa: BLE001  whatever the component raised
            _settle(future, error=error)

    async def _results(self, arguments: list[Any]) -> list[Any] | tuple[Any, ...]:
        results = await self._send(arguments)
        if isinstance(results, (list, tuple)) and len(results) == len(arguments):
            return results
        count = f"{len(results)} results" if isinstance(results, (list, tuple)) else type(results).__name__
        raise ValueError(f"a batch of {len(arguments)} returned {count}")


def _settle(future: asyncio.Future[Any], result: Any = None, error: Exception | None = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def is_async(function: Any) -> bool:
    """True for coroutine functions, bound or callable objects alike."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
