"""Where plain component code runs: in threads, with a time limit. (`workerloop` does the same for async code.)

The harness's own loop never runs a component's code, so a component that hangs or blocks can't stop it. Hand-overs between
threads are made for as many calls as are ready, which keeps the cost of a cheap call at some ten microseconds.
"""

from __future__ import annotations

import abc
import asyncio
import collections
import contextlib
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.errors import described

GROW_AFTER = 0.005
"""Seconds that a call may queue before another thread is started: cheap calls share one thread, blocking ones get their own."""


class CallTimeout(Exception):
    """A component's call outlasted its limit."""


class Interrupt(BaseException):
    """Raised inside an overdue call where Python code can be interrupted; no `except Exception` of a component holds it up."""


class Job:
    """One call: what to run, who waits for it, and how it ended."""

    __slots__ = ("arguments", "error", "function", "future", "queued", "result", "started", "worker")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], future: asyncio.Future[Any]) -> None:
        self.function, self.arguments, self.future = function, arguments, future
        self.result: Any = None
        self.error: BaseException | None = None
        self.queued = time.monotonic()
        self.started = 0.0
        self.worker: _Thread | None = None


class Host(abc.ABC):
    """The side of the harness's loop: outcomes come back in one hand-over, and a watch looks at the oldest running call."""

    def __init__(self, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._loop = asyncio.get_running_loop()
        self._done: list[Job] = []
        self._done_lock = threading.Lock()
        self._running: dict[Job, None] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    def finish(self, job: Job) -> None:
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

    def _fail(self, job: Job) -> None:
        """The call's time is up: whoever waits for it goes on now."""
        self._running.pop(job, None)
        if not job.future.done():
            job.future.set_exception(CallTimeout(f"no answer within {self._timeout:g} s"))

    def _overdue(self, job: Job, now: float) -> bool:
        """Calls that only queue have all the time of the world."""
        return bool(job.started) and now - job.started >= self._timeout

    def _arm(self, delay: float | None = None) -> None:
        """Look at the running calls when the oldest of them may be over its limit, or after `delay` seconds."""
        if self._watch is None and self._running and not self._closed:
            if delay is None:
                oldest = min((job.started or job.queued for job in self._running), default=0.0)
                delay = max(oldest + self._timeout - time.monotonic(), 0.0) + 0.01
            self._watch = self._loop.call_later(delay, self._look)

    @abc.abstractmethod
    def _look(self) -> None:
        """End the calls that are over their limit, and arm the watch again."""

    def close(self) -> None:
        """Forget everything; threads are daemons and end by themselves."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()


class ThreadHost(Host):
    """Runs plain functions. One thread while calls are cheap; up to `limit` when they block, one only if `limit` is 1."""

    def __init__(self, name: str, *, limit: int, timeout: float) -> None:
        super().__init__(name, timeout)
        self._limit = limit
        self._queue: collections.deque[Job] = collections.deque()
        self._wake = threading.Condition()
        self._threads: set[_Thread] = set()
        self._grow: asyncio.TimerHandle | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Future of `function(*arguments)`; fails with CallTimeout or whatever the function raised."""
        job = Job(function, arguments, self._loop.create_future())
        self._running[job] = None
        with self._wake:
            self._queue.append(job)
            self._wake.notify()
        if not self._threads:
            self._start()
        elif self._grow is None and len(self._threads) < self._limit:
            self._grow = self._loop.call_later(GROW_AFTER, self._add_threads)
        if self._watch is None:
            self._arm(self._timeout + 0.01)
        return job.future

    def _start(self) -> None:
        thread = _Thread(self, self._name)
        self._threads.add(thread)
        thread.start()

    def _add_threads(self) -> None:
        self._grow = None
        latest = time.monotonic() - GROW_AFTER
        with self._wake:
            waiting = bool(self._queue)
            late = sum(job.queued <= latest for job in self._queue)
        for _ in range(min(late, self._limit - len(self._threads))):
            self._start()
        if waiting and len(self._threads) < self._limit:
            self._grow = self._loop.call_later(GROW_AFTER, self._add_threads)

    def _look(self) -> None:
        self._watch = None
        now = time.monotonic()
        for job in [job for job in self._running if self._overdue(job, now)]:
            self._fail(job)
            if job.worker is not None and job.worker.abandon(job):
                self._threads.discard(job.worker)
        if self._queue and not self._threads:
            self._start()
        elif self._queue and self._grow is None:
            self._add_threads()
        # A call that has only queued so far can't be overdue before another whole limit.
        oldest = min((job.started or now for job in self._running), default=now)
        self._arm(max(oldest + self._timeout - now, 0.0) + 0.01)

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
                while not self._queue and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                job = self._queue.popleft()
            if thread.run_job(job):
                return
            self.finish(job)


class _Thread(threading.Thread):
    """Runs one call at a time. An overdue one is interrupted and takes the thread with it."""

    def __init__(self, host: ThreadHost, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._host = host
        self._job: Job | None = None
        self._abandoned = False
        self._guard = threading.Lock()

    def run(self) -> None:
        with contextlib.suppress(Interrupt):
            self._host.serve(self)

    def run_job(self, job: Job) -> bool:
        """Run the call; True when this thread was given up meanwhile."""
        job.worker, self._job, job.started = self, job, time.monotonic()
        try:
            job.result = job.function(*job.arguments)
        except BaseException as error:  # noqa: BLE001  a component may raise anything, SystemExit too
            job.error = catchable(error)
        with self._guard:
            self._job = None
        return self._abandoned

    def abandon(self, job: Job) -> bool:
        """Give the thread up while it runs that call; False when the call has just ended.

        The guard makes sure that the interrupt can't reach the thread after the call, where it might hold a lock.
        """
        with self._guard:
            if self._job is not job:
                return False
            self._abandoned = True
            interrupt(self)
        return True


def interrupt(thread: threading.Thread) -> None:
    """Raise Interrupt in a thread as soon as it runs Python code; a call stuck in C code stays until it returns."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupt))


def catchable(error: BaseException) -> BaseException:
    """Futures can't carry StopIteration, and SystemExit must not end the harness."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {described(error)}")
