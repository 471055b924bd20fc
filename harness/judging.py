"""Metrics that ask a language model: many dialogues are awaited at once, in one event loop in a thread of its own.

What a model refuses or a transport loses leaves a dialogue `unscored`, with the reason. A spent budget and a user's mistake
end the scoring: no new question is asked, those under way are answered (and kept by the cache), then the error is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from harness.api import Unscored, Usage
from harness.errors import (
    BudgetExceeded,
    ComponentFault,
    HarnessError,
    PluginError,
    RefusedError,
    TransportError,
    described,
)
from harness.llm.metering import meter

_SHOWN = 200
"""Characters of an error that a reason repeats."""
_PATIENCE = 5.0
"""Seconds that closing may take."""

Call = Callable[..., Awaitable[Any]]


def asks_model(metric: Any) -> bool:
    """Whether a metric is a judge: its `score` or its `prefer` is async."""
    return any(is_async(getattr(metric, method, None)) for method in ("score", "prefer"))


def is_async(function: Any) -> bool:
    """True for coroutine functions and methods."""
    return inspect.iscoroutinefunction(function)


class Judging:
    """Awaits async metrics, at most `concurrency` calls at a time, each for at most `timeout` seconds.

    `usage` is what all answers so far have cost. `closing` are awaited in the loop at the end: the models' `close`. `told` is
    called with 1 after every answer, in the loop's thread. Open it with `with`; the thread starts with the first question.
    """

    def __init__(
        self,
        *,
        concurrency: int = 8,
        timeout: float = 120.0,
        closing: Iterable[Callable[[], Awaitable[Any]]] = (),
        told: Callable[[int], object] | None = None,
    ) -> None:
        self.usage = Usage()
        self._concurrency, self._timeout = concurrency, timeout
        self._closing, self._told = tuple(closing), told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Judging:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def each(self, name: str, function: Call, rows: Sequence[tuple[Any, ...]], where: Callable[[int], str]) -> list[Any]:
        """`await function(*row)` for every row, in order; `Unscored` where the model gave nothing usable.

        `name` and `where(row number)` are for errors. Raises PluginError for anything else that the metric raises,
        BudgetExceeded, and errors that are meant for the user.
        """
        if not rows:
            return []
        work = asyncio.run_coroutine_threadsafe(self._all(name, function, rows, where), self._running())
        try:
            return work.result()
        except BaseException:
            work.cancel()
            raise

    def close(self) -> None:
        """Close the models in the loop that used them, and end the thread."""
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop)
        thread.join(2 * _PATIENCE)

    # ------------------------------------------------------------------------------------------------------ in the loop

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(loop,), name="harness-judges", daemon=True)
            self._thread.start()
        return self._loop

    async def _all(self, name: str, function: Call, rows: Sequence[tuple[Any, ...]], where: Callable[[int], str]) -> list[Any]:
        results: list[Any] = [None] * len(rows)
        left = iter(range(len(rows)))
        fatal: list[Exception] = []

        async def worker() -> None:
            for number in left:
                if fatal:
                    return
                try:
                    results[number] = await self._one(function, rows[number])
                except (HarnessError, BudgetExceeded) as error:
                    fatal.append(error)
                except Exception as error:  # noqa: BLE001  a stranger's code
                    message = f"metric {name!r} failed on {where(number)}: {type(error).__name__}: {described(error)}"
                    wrapped = PluginError(message)
                    wrapped.__cause__ = error
                    fatal.append(wrapped)
                if self._told is not None:
                    self._told(1)

        await asyncio.gather(*(worker() for _ in range(min(self._concurrency, len(rows)))))
        if fatal:
            raise fatal[0]
        return results

    async def _one(self, function: Call, row: tuple[Any, ...]) -> Any:
        with meter(self._timeout) as spent:
            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    return await function(*row)
            except TransportError as error:
                return Unscored(f"transport: {described(error, _SHOWN)}")
            except RefusedError as error:
                return Unscored(f"refused: {described(error, _SHOWN)}")
            except ComponentFault as fault:
                return Unscored(f"{fault.kind}: {described(fault, _SHOWN)}")
            except TimeoutError:
                if not limit.expired():
                    raise
                return Unscored(f"time-out: no judgement within {self._timeout:g} s")
            finally:
                self.usage += spent.total

    async def _end(self) -> None:
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            closings = asyncio.gather(*(close() for close in self._closing), return_exceptions=True)
            await asyncio.wait_for(closings, _PATIENCE)
        asyncio.get_running_loop().stop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
