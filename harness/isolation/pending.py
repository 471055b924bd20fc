"""A call of an isolated recommender that is under way, and what its process says about it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from harness.api import Recommendation, Usage
from harness.checks import spent
from harness.errors import ComponentFault, RefusedError, TransportError
from harness.isolation import messages
from harness.isolation.process import Process
from harness.workers import CallTimeout


class Pending:
    """A call that is under way."""

    def __init__(self, process: Process, rows: int) -> None:
        self.process = process
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.rows: list[Any] = [None] * rows
        self.left = rows
        self.started = time.monotonic()
        self.transport = False
        """Its language model's transport failed: the recommender may say so."""
        self.answered = False
        """The process has said all that it has to say about it."""
        self.asking: set[asyncio.Task[None]] = set()

    def take(self, message: messages.Row | messages.Fault, *, timeout: float, network: bool) -> None:
        """A row, or what went wrong with one or all of them. With a `network`, a transport may fail there too."""
        if isinstance(message, messages.Row):
            self._settle(message.row, _recommendation(message))
            return
        error = self._error(message, timeout, network)
        if message.row is None:
            self.answered = True
            self.fail(error)
        else:
            self._settle(message.row, error)

    def _settle(self, number: int, value: Any) -> None:
        if 0 <= number < len(self.rows) and self.rows[number] is None:
            self.rows[number] = value
            self.left -= 1
            self.answered = not self.left
            if self.answered and not self.future.done():
                self.future.set_result(self.rows)

    def fail(self, error: BaseException) -> None:
        """Raise this from the call, unless it has its answer."""
        if not self.future.done():
            self.future.set_exception(error)

    def _error(self, fault: messages.Fault, timeout: float, network: bool) -> Exception:
        error: Exception
        if fault.kind == "timeout":
            error = CallTimeout(f"no answer within {timeout:g} s")
        elif fault.kind == "refused":
            error = RefusedError(fault.message)
        elif fault.kind == "transport" and (self.transport or network):
            error = TransportError(fault.message, retry_after=fault.retry_after, final=fault.final)
        elif fault.kind == "transport":  # nothing is between it and its answer that could fail
            error = ComponentFault("exception", f"TransportError: {fault.message}")
        else:
            error = ComponentFault(fault.kind, fault.message, _usage(fault.usage))
        error.__dict__["harness_usage"] = _usage(fault.usage)
        return error


class Lost(Exception):
    """The process ended under a call; `alone` when there was no other that could have ended it."""

    def __init__(self, text: str, alone: bool) -> None:
        super().__init__(text)
        self.alone = alone


def _recommendation(row: messages.Row) -> Recommendation:
    return Recommendation(row.items, row.text, row.reasoning, None, row.state, row.usage, row.candidates)


def _usage(usage: Usage | None) -> Usage | None:
    return spent(Recommendation(usage=usage))
