"""What one call of a component spends on language models, whichever layers and backends are in between."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager

from harness.api import Usage


class Meter:
    """Adds up what is spent while it is open."""

    def __init__(self) -> None:
        self.total = Usage()


_METER: contextvars.ContextVar[Meter | None] = contextvars.ContextVar("harness_llm_meter", default=None)


@contextmanager
def meter() -> Iterator[Meter]:
    """Everything that this task and the tasks it starts spend goes to the meter."""
    opened = Meter()
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
