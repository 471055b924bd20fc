"""What one call of a component spends on language models, and how long it may take, whichever layers and backends are in
between.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.api import Usage


class Meter:
    """Adds up what is spent while it is open. `deadline` is on the clock of `time.monotonic`."""

    def __init__(self, seconds: float | None = None) -> None:
        self.total = Usage()
        self.seconds = seconds
        self.deadline = None if seconds is None else time.monotonic() + seconds


_METER: contextvars.ContextVar[Meter | None] = contextvars.ContextVar("harness_llm_meter", default=None)


@contextmanager
def meter(seconds: float | None = None) -> Iterator[Meter]:
    """Everything that this task and the tasks it starts spend goes to the meter.

    `seconds` is the limit of the call that is metered. A model that hasn't answered shortly before raises TransportError, so
    that a server that hangs is not blamed on the component that waits for it.
    """
    opened = Meter(seconds)
    token = _METER.set(opened)
    try:
        yield opened
    finally:
        _METER.reset(token)


def add(usage: Usage) -> None:
    """Called once per answer of a model by the outermost layer; nothing happens where no meter is open."""
    current = _METER.get()
    if current is not None:
        current.total = current.total + usage


def remaining() -> float:
    """Seconds that a model may still take before the component's call is over; infinite where there is no limit."""
    current = _METER.get()
    if current is None or current.deadline is None or current.seconds is None:
        return float("inf")
    # The boundary's own time-out comes a little later, also on a machine that is busy with something else.
    margin = min(3.0, 0.1 * current.seconds)
    return max(0.0, current.deadline - margin - time.monotonic())
