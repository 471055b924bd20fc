"""Things that belong to one event loop. A run has one loop for its models, but may have to give it up and go on in another."""

from __future__ import annotations

import asyncio
import collections
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from harness.errors import LlmError

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each running loop, made when it is first asked for."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, T] = weakref.WeakKeyDictionary()

    def get(self) -> T:
        """This loop's value."""
        loop = asyncio.get_running_loop()
        try:
            return self._values[loop]
        except KeyError:
            return self._values.setdefault(loop, self._make())

    def take(self) -> T | None:
        """This loop's value, which is forgotten; None if there was none."""
        return self._values.pop(asyncio.get_running_loop(), None)


class Waiters:
    """First come, first served: `wait` until `wake` counts one down."""

    def __init__(self) -> None:
        self._queue: collections.deque[asyncio.Future[None]] = collections.deque()

    def __len__(self) -> int:
        return sum(not future.done() for future in self._queue)

    async def wait(self, undo: Callable[[], object] | None = None) -> None:
        """Return once woken. If the task is cancelled although it was woken, `undo` gives back what waking it handed over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if undo is not None and future.done() and not future.cancelled():
                undo()
            raise

    def wake(self) -> bool:
        """Let the first one go on; False if nobody waits."""
        while self._queue:
            future = self._queue.popleft()
            if not future.done():
                future.set_result(None)
                return True
        return False

    def wake_all(self) -> None:
        """Let everybody go on who waits now."""
        for _ in range(len(self._queue)):
            self.wake()


class Together:
    """Hands everything that is asked of something at one moment over together: one visit instead of many. `perform` takes what
    was asked and gives as many outcomes; one that is an LlmError is raised to who asked.

    What was asked together is answered together, which a model that computes in batches needs. One visit is under way at a
    time, so what is asked later is handed over later.
    """

    def __init__(self, perform: Callable[[list[Any]], Awaitable[list[Any]]]) -> None:
        self._perform = perform
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    def put(self, work: Any) -> asyncio.Future[Any]:
        """Ask without waiting. A failure that nobody awaits is forgotten."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        self._waiting.append((work, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._serve())
        return future

    async def ask(self, work: Any) -> Any:
        """The outcome."""
        return await self.put(work)

    async def _serve(self) -> None:
        try:
            await asyncio.sleep(0)
            while self._waiting:
                batch, self._waiting = self._waiting, []
                outcomes = await self._perform([work for work, _ in batch])
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue
                    if isinstance(outcome, LlmError):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)
        finally:
            self._task = None
