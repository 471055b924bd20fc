"""Where component code runs: plain calls in threads, async calls in a loop of their own, both with a time limit.

The harness's own loop never runs a component's code, so a component that hangs or blocks can't stop it. Hand-overs between
threads are made for as many calls as are ready, which keeps the cost of a cheap call at some ten microseconds.
"""

from __future__ import annotations

import abc
import asyncio
import collections
import ctypes
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

GROW_AFTER = 0.005
"""Seconds that calls may queue before another thread is started: cheap calls share one thread, blocking ones get their own."""


class CallTimeout(Exception):
    """A component's call outlasted its limit. Also raised *inside* the call where Python code can be interrupted."""


class _Job:
    __slots__ = ("arguments", "error", "function", "future", "result", "started", "worker")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], future: asyncio.Future[Any]) -> None:
        self.function, self.arguments, self.future = function, arguments, future
        self.result: Any = None
        self.error: BaseException | None = None
        self.started = 0.0
        self.worker: _Thread | None = None


class _Host(abc.ABC):
    """The side of the harness's loop: outcomes come back in one hand-over, and a watch looks at the oldest running call."""

    def __init__(self, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._loop = asyncio.get_running_loop()
        self._done: list[_Job] = []
        self._done_lock = threading.Lock()
        self._running: dict[_Job, None] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    def _finish(self, job: _Job) -> None:
        """Called in a component's thread. The loop is woken once for all outcomes that gather until it looks."""
        with self._done_lock:
            if not self._done and not self._closed:
                try:
                    self._loop.call_soon_threadsafe(self._drain)
                except RuntimeError:  # the harness's loop is gone: nobody waits any more
                    self._closed = True
            self._done.append(job)

    def _drain(self) -> None:
        with self._done_lock:
            finished, self._done = self._done, []
        for job in finished:
            self._running.pop(job, None)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _ensure_watch(self) -> None:
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout + 0.01, self._look)

    def _look(self) -> None:
        self._watch = None
        now, earliest = time.monotonic(), None
        for job in list(self._running):
            if not job.started:
                earliest = now if earliest is None else earliest
                continue
            if now - job.started >= self._timeout:
                del self._running[job]
                if not job.future.done():
                    job.future.set_exception(CallTimeout(f"no answer within {self._timeout:g} s"))
                self._abandon(job)
            else:
                earliest = job.started if earliest is None else min(earliest, job.started)
        if earliest is not None:
            self._watch = self._loop.call_later(max(0.01, earliest + self._timeout - now + 0.01), self._look)

    @abc.abstractmethod
    def _abandon(self, job: _Job) -> None:
        """A call is over its limit and its future has failed: get its thread back, or do without."""

    def close(self) -> None:
        """Forget everything; threads are daemons and end by themselves."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()


class ThreadHost(_Host):
    """Runs plain functions. One thread while calls are cheap; up to `limit` when they block, one only if `limit` is 1."""

    def __init__(self, name: str, *, limit: int, timeout: float) -> None:
        super().__init__(name, timeout)
        self._limit = limit
        self._queue: collections.deque[_Job] = collections.deque()
        self._wake = threading.Condition()
        self._threads: set[_Thread] = set()
        self._idle = 0
        self._grow: asyncio.TimerHandle | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Future of `function(*arguments)`; fails with CallTimeout or whatever the function raised."""
        job = _Job(function, arguments, self._loop.create_future())
        self._running[job] = None
        with self._wake:
            self._queue.append(job)
            if self._idle:
                self._wake.notify()
        if not self._threads:
            self._start()
        elif self._grow is None and not self._idle and len(self._threads) < self._limit:
            self._grow = self._loop.call_later(GROW_AFTER, self._add_threads)
        self._ensure_watch()
        return job.future

    def _start(self) -> None:
        thread = _Thread(self)
        self._threads.add(thread)
        thread.start()

    def _add_threads(self) -> None:
        self._grow = None
        now = time.monotonic()
        blocked = all(t.job is not None and now - t.job.started >= GROW_AFTER / 2 for t in self._threads)
        if blocked:
            for _ in range(min(len(self._queue), self._limit - len(self._threads))):
                self._start()
        if self._queue and len(self._threads) < self._limit:
            self._grow = self._loop.call_later(GROW_AFTER, self._add_threads)

    def _abandon(self, job: _Job) -> None:
        thread = job.worker
        if thread is None:
            return
        thread.abandoned = True
        self._threads.discard(thread)
        _interrupt(thread)
        if self._queue and len(self._threads) < self._limit:
            self._start()

    def close(self) -> None:
        super().close()
        if self._grow is not None:
            self._grow.cancel()
        with self._wake:
            self._wake.notify_all()

    def serve(self, thread: _Thread) -> None:
        """A thread's life: take a call, run it, hand the outcome over."""
        while True:
            with self._wake:
                while not self._queue:
                    if self._closed or thread.abandoned:
                        return
                    self._idle += 1
                    try:
                        self._wake.wait()
                    finally:
                        self._idle -= 1
                if self._closed or thread.abandoned:
                    return
                job = self._queue.popleft()
                job.worker, thread.job = thread, job
                job.started = time.monotonic()
            try:
                job.result = job.function(*job.arguments)
            except BaseException as error:  # noqa: BLE001  a component may raise anything, SystemExit too
                job.error = _catchable(error)
            thread.job = None
            self._finish(job)


class _Thread(threading.Thread):
    def __init__(self, host: ThreadHost) -> None:
        super().__init__(name=host._name, daemon=True)
        self._host = host
        self.job: _Job | None = None
        self.abandoned = False

    def run(self) -> None:
        while not self.abandoned:
            try:
                self._host.serve(self)
                return
            except CallTimeout:
                continue  # the interrupt came after the call had ended


class LoopHost(_Host):
    """Runs coroutine functions in a loop of its own, so that one that blocks is noticed and interrupted."""

    def __init__(self, name: str, *, timeout: float) -> None:
        super().__init__(name, timeout)
        self._inbox: collections.deque[_Job] = collections.deque()
        self._inner = asyncio.new_event_loop()
        self._tasks: dict[_Job, asyncio.Task[Any]] = {}
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> asyncio.Future[Any]:
        """Future of `await function(*arguments)`; cancelling it cancels the call."""
        job = _Job(function, arguments, self._loop.create_future())
        self._running[job] = None
        job.future.add_done_callback(lambda future: self._cancel(job) if future.cancelled() else None)
        self._inbox.append(job)
        if len(self._inbox) == 1:
            self._inner.call_soon_threadsafe(self._take)
        self._ensure_watch()
        return job.future

    def _serve(self) -> None:
        asyncio.set_event_loop(self._inner)
        while not self._closed:
            try:
                self._inner.run_forever()
            except CallTimeout:
                continue
            break
        self._inner.close()

    def _take(self) -> None:
        while self._inbox:
            job = self._inbox[0]
            job.started = time.monotonic()
            task = self._inner.create_task(self._run(job))
            self._tasks[job] = task
            self._inbox.popleft()

    async def _run(self, job: _Job) -> None:
        try:
            job.result = await job.function(*job.arguments)
        except asyncio.CancelledError:
            job.error = CallTimeout(f"cancelled after {time.monotonic() - job.started:.1f} s")
        except BaseException as error:  # noqa: BLE001  a component may raise anything, SystemExit too
            job.error = _catchable(error)
        finally:
            self._tasks.pop(job, None)
        self._finish(job)

    def _cancel(self, job: _Job) -> None:
        self._running.pop(job, None)
        task = self._tasks.get(job)
        if task is not None and not self._inner.is_closed():
            self._inner.call_soon_threadsafe(task.cancel)

    def _abandon(self, job: _Job) -> None:
        task = self._tasks.get(job)
        if task is None:
            return
        if asyncio.current_task(self._inner) is task:
            _interrupt(self._thread)  # it blocks the loop: end that step of it
        else:
            self._inner.call_soon_threadsafe(task.cancel)

    def close(self) -> None:
        super().close()
        if not self._inner.is_closed():
            self._inner.call_soon_threadsafe(self._inner.stop)


def _interrupt(thread: threading.Thread) -> None:
    """Raise CallTimeout inside a thread as soon as it runs Python code; a call stuck in C code stays until it returns."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(CallTimeout))


def _catchable(error: BaseException) -> BaseException:
    """Futures can't carry StopIteration, and SystemExit must not end the harness."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
