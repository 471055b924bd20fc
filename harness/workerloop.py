"""Where async component code runs: in an event loop of its own, so that code which blocks the loop is noticed and ended."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from harness.workers import Host, Interrupt, Job, catchable, interrupt

PATIENCE = 0.25
"""Seconds that the loop may take for a sign of life before it counts as blocked."""


class LoopHost(Host):
    """Runs coroutine functions concurrently in one loop.

    A call over its limit is cancelled. When the loop itself is blocked, only the call that blocks it can be to blame: it is
    interrupted, and if that doesn't help (it is stuck in C code) the loop is given up and its other calls are made again in a
    new one.
    """

    def __init__(self, name: str, *, timeout: float) -> None:
        super().__init__(name, timeout)
        self._lane = _Lane(self, name)
        self._judging: asyncio.Task[None] | None = None
        self._warned: set[Job] = set()

    def submit(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> asyncio.Future[Any]:
        """Future of `await function(*arguments)`; cancelling it cancels the call."""
        job = Job(function, arguments, self._loop.create_future())
        self._running[job] = None
        job.future.add_done_callback(lambda future: self._cancel(job) if future.cancelled() else None)
        self._lane.add(job)
        if self._watch is None and self._judging is None:
            self._arm(self._timeout + 0.01)
        return job.future

    def _cancel(self, job: Job) -> None:
        self._running.pop(job, None)
        self._lane.cancel(job)

    def deliver(self, lane: _Lane, job: Job, result: Any, error: BaseException | None) -> None:
        """Called in the lane's thread. A lane that was given up delivers nothing: its calls were made again elsewhere."""
        if lane is self._lane:
            job.result, job.error = result, error
            self.finish(job)

    def _look(self) -> None:
        self._watch = None
        self._judging = asyncio.ensure_future(self._judge())

    async def _judge(self) -> None:
        delay: float | None = None
        try:
            if await self._alive():
                now = time.monotonic()
                overdue = {job for job in self._running if self._overdue(job, now)}
                for job in overdue & self._warned:
                    self._fail(job)
                    self._lane.cancel(job)
                # The loop may have been held up until just now: what is overdue gets a moment to come in.
                self._warned = overdue - self._warned
                delay = PATIENCE if self._warned else None
            else:
                self._warned = set()
                delay = await self._unblock()
        finally:
            self._judging = None
            self._arm(delay)

    async def _unblock(self) -> float | None:
        """Deal with a blocked loop. Returns the seconds after which to look again, if the culprit has time left."""
        culprit = self._lane.current()
        if culprit is None:  # no task of ours: a callback, say. The oldest call takes the blame.
            culprit = next((job for job in self._running if job.started), None)
        now = time.monotonic()
        if culprit is not None and not self._overdue(culprit, now):
            return min(1.0, max(0.01, culprit.started + self._timeout - now + 0.01))
        if culprit is not None:
            self._fail(culprit)
        self._lane.interrupt(culprit)
        if not await self._alive():
            given_up, self._lane = self._lane, _Lane(self, self._name)
            given_up.give_up()
            for job in self._running:
                job.started, job.queued = 0.0, time.monotonic()
                self._lane.add(job)
        return None

    async def _alive(self) -> bool:
        answered = asyncio.Event()
        self._lane.post(lambda: self._loop.call_soon_threadsafe(answered.set))
        try:
            await asyncio.wait_for(answered.wait(), PATIENCE)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        super().close()
        if self._judging is not None:
            self._judging.cancel()
        self._lane.close()


class _Lane:
    """An event loop in a thread of its own, which knows for whom each of its tasks works."""

    def __init__(self, host: LoopHost, name: str) -> None:
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(self._make_task)
        self._inbox: collections.deque[Job] = collections.deque()
        self._tasks: dict[Job, asyncio.Task[Any]] = {}
        self._owners: weakref.WeakKeyDictionary[asyncio.Task[Any], Job] = weakref.WeakKeyDictionary()
        self._doomed: Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    # ---- from the harness's thread

    def add(self, job: Job) -> None:
        self._inbox.append(job)
        self.post(self._take)

    def cancel(self, job: Job) -> None:
        self.post(lambda: self._cancel_task(job))

    def post(self, function: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(function)

    def current(self) -> Job | None:
        """The call whose step is running at this moment, if there is one."""
        task = asyncio.current_task(self._loop)
        return None if task is None else self._owners.get(task)

    def interrupt(self, culprit: Job | None) -> None:
        self._doomed = culprit
        interrupt(self._thread)

    def close(self) -> None:
        self._closed = True
        self.post(self._loop.stop)

    def give_up(self) -> None:
        """Close a loop that is blocked. What blocks it may be the next call already, which would go on for nobody."""
        self.close()
        interrupt(self._thread)

    # ---- in the lane's thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closed:
            with contextlib.suppress(Interrupt):  # it came when the blocking step had just ended
                self._loop.run_forever()
        with contextlib.suppress(Interrupt, RuntimeError):
            self._loop.set_exception_handler(lambda loop, context: None)
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _take(self) -> None:
        while self._inbox and not self._closed:
            job = self._inbox.popleft()
            if not job.future.done():
                job.started = time.monotonic()
                self._tasks[job] = task = self._loop.create_task(self._run(job))
                self._owners[task] = job

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **arguments: Any) -> asyncio.Task[Any]:
        """Tasks that a call starts belong to that call."""
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **arguments)
        parent = asyncio.current_task(loop)
        owner = None if parent is None else self._owners.get(parent)
        if owner is not None:
            self._owners[task] = owner
        return task

    def _cancel_task(self, job: Job) -> None:
        task = self._tasks.get(job)
        if task is not None:
            task.cancel()

    async def _run(self, job: Job) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = await self._call(job)
        except BaseException as raised:  # noqa: BLE001  a component may raise anything, SystemExit too
            error = catchable(raised)
        finally:
            self._tasks.pop(job, None)
        self._host.deliver(self, job, result, error)

    async def _call(self, job: Job) -> Any:
        while not self._closed:
            try:
                return await job.function(*job.arguments)
            except Interrupt:  # one that came too late and hit a neighbour of the blocking call: that one is made again
                if job is self._doomed:
                    raise
        raise Interrupt
