"""Things that belong to one event loop. A run has one loop for its models, but may have to give it up and go on in another."""

from __future__ import annotations

import asyncio
import collections
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

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
