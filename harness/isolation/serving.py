"""Calls of an isolated recommender, in its own process.

Plain, batched and asynchronous recommenders are called as in the harness itself, by the same hosts: the same threads, loops and
time limits. Answers are checked here so that faults have the same words; the harness believes nothing and checks again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from harness.api import Catalogue, Recommendation, Usage
from harness.batching import is_async
from harness.calls import Hosts
from harness.checks import check_recommendation, plain, spent
from harness.config import Transport
from harness.errors import FAULT_KINDS, ComponentFault, RefusedError, TransportError, described
from harness.isolation import messages
from harness.isolation.proxy import CALL, Line
from harness.isolation.refusing import explained
from harness.workers import CallTimeout, catchable

Run = Callable[..., Awaitable[Any]]


class Link(Protocol):
    """The worker's end of the pipe."""

    def read(self) -> messages.Order: ...

    def send(self, message: messages.Answer) -> None: ...


class Serving:
    """Runs calls as they come in."""

    def __init__(self, link: Link, instance: Any, order: messages.Prepare, catalogue: Catalogue, line: Line) -> None:
        self._link, self._instance, self._order = link, instance, order
        self._catalogue, self._line = catalogue, line
        self._batched = getattr(instance, "recommend_batch", None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._hosts: Hosts | None = None
        self._run: Run | None = None

    async def serve(self) -> None:
        """Until the process ends with its pipe."""
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[messages.Order] = asyncio.Queue()

        def listen() -> None:
            while True:
                message = self._link.read()
                if not isinstance(message, messages.Heard):
                    loop.call_soon_threadsafe(inbox.put_nowait, message)
                else:
                    self._line.hear(message)

        threading.Thread(target=listen, name="harness-link", daemon=True).start()
        while True:
            message = await inbox.get()
            if isinstance(message, messages.Close):
                await self._close()
            elif isinstance(message, messages.Call):
                task = loop.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _runner(self) -> Run:
        """`run(call's number, ...)`, in new hosts after the old ones were closed."""
        if self._run is not None:
            return self._run
        self._hosts = Hosts(Transport(concurrency=self._order.concurrency, timeout=self._order.timeout))
        batched = self._batched
        function: Any = batched if batched is not None else self._instance.recommend
        serial = batched is not None or bool(getattr(self._instance, "serial", False))
        if is_async(function):

            async def carried(call: int, *arguments: Any) -> Any:
                CALL.set(call)
                return await function(*arguments)

            self._run = self._hosts.runner(carried, "recommender", serial=serial)
        else:
            inner = self._hosts.runner(function, "recommender", serial=serial)
            self._run = lambda call, *arguments: inner(*arguments)
        return self._run

    async def _answer(self, call: messages.Call) -> None:
        first: Any = call.conversations[0] if self._batched is None else list(call.conversations)
        try:
            outcome = await self._runner()(call.id, first, call.k)
            rows = [outcome] if self._batched is None else _rows(outcome, len(call.conversations))
        except Exception as error:  # noqa: BLE001  whatever the component raised
            self._link.send(_fault(call.id, None, error))
            return
        for number, raw in enumerate(rows):
            try:
                self._link.send(self._row(call, number, raw))
            except ComponentFault as fault:
                self._link.send(messages.Fault(call.id, number, "malformed", described(fault), fault.usage))

    def _row(self, call: messages.Call, number: int, raw: Any) -> messages.Answer:
        """One answer as it is sent. Raises ComponentFault for one that can't be."""
        try:
            check_recommendation(raw, self._catalogue, call.k, self._order.max_text)
        except ComponentFault as fault:
            kind: Any = fault.kind
            return messages.Fault(call.id, number, kind, described(fault), spent(raw))
        given: Recommendation = raw
        row = messages.Row(
            call.id,
            number,
            tuple(plain(item) for item in given.items),
            plain(given.text),
            None if given.reasoning is None else plain(given.reasoning),
            given.usage,
            None if given.candidates is None else tuple(plain(item) for item in given.candidates),
            given.state,
        )
        try:
            size = len(messages.encode(row))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            text = f"the answer can't be sent to the harness: {described(error, 200)}; its state must be JSON-serialisable"
            raise ComponentFault("malformed", text, spent(raw)) from None
        if size > messages.MOST:
            text = f"the answer has {size:,} bytes with its state; an isolated recommender's may have {messages.MOST:,}"
            raise ComponentFault("malformed", text, spent(raw))
        return row

    async def _close(self) -> None:
        """The component's own close, in the loop where it was used; more calls may come."""
        hosts, self._hosts, self._run = self._hosts, None, None
        if hosts is not None:
            close: Any = getattr(self._instance, "close", None)
            await hosts.finish([close] if is_async(close) else [])
        self._link.send(messages.Closed())


def _rows(outcome: Any, count: int) -> list[Any] | tuple[Any, ...]:
    if isinstance(outcome, (list, tuple)) and len(outcome) == count:
        return outcome
    found = f"{len(outcome)} results" if isinstance(outcome, (list, tuple)) else type(outcome).__name__
    raise ValueError(f"a batch of {count} returned {found}")


def _fault(call: int, row: int | None, raised: BaseException) -> messages.Fault:
    """What was raised, in the words that the harness would have used."""
    error = catchable(raised)
    usage = error.__dict__.get("harness_usage")
    usage = usage if isinstance(usage, Usage) else None
    text = explained(error, described(error))
    if isinstance(error, CallTimeout):
        return messages.Fault(call, row, "timeout", text, usage)
    if isinstance(error, TransportError):
        after = error.retry_after if type(error.retry_after) in (int, float) else None
        return messages.Fault(call, row, "transport", text, usage, after, bool(error.final))
    if isinstance(error, RefusedError):
        return messages.Fault(call, row, "refused", text, usage)
    if isinstance(error, ComponentFault):
        kind: Any = error.kind if error.kind in FAULT_KINDS else "exception"
        return messages.Fault(call, row, kind, text, usage)
    return messages.Fault(call, row, "exception", f"{type(error).__name__}: {text}", usage)
