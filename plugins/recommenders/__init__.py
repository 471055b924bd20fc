"""First-party recommenders: descriptors only; the classes are imported when a run names them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl


@hookimpl
def harness_recommenders() -> Iterable[Component]:
    yield from ()
