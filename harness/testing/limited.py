"""Calls a stranger's plain function with a time limit. All calls are made in one thread, as those of a run are."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from harness.workers import interrupt


class Overdue(Exception):
    """A call outlasted its limit. No more calls can be made."""


class OneThread:
    """`call` runs a function in a thread of its own and waits for it. The thread is a daemon: one that hangs is left behind."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, limit: float | None, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function gives or raises; Overdue after `limit` seconds (None: no limit)."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="harness-check", daemon=True)
            self._thread.start()
        self._asked.put((function, arguments))
        try:
            value, error = self._answered.get(timeout=limit)
        except queue.Empty:
            interrupt(self._thread)
            raise Overdue(f"no answer within {limit:g} s") from None
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """End the thread, if it is not stuck."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            function, arguments = asked
            try:
                self._answered.put((function(*arguments), None))
            except BaseException as error:  # noqa: BLE001  a stranger's code; it is raised where it was asked
                self._answered.put((None, error))
