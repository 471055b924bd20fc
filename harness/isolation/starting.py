"""Getting an isolated recommender ready: its process, its walls, the recommender in it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import msgspec

from harness.errors import DataError, HarnessError, LlmError, PluginError, UsageError
from harness.isolation import messages
from harness.isolation.process import Gone, Plan, Process

_ERRORS: Final = {kind.__name__: kind for kind in (UsageError, DataError, LlmError, PluginError)}
Answer = TypeVar("Answer", messages.Opened, messages.Prepared)


class Failure(Exception):
    """Opening failed; `unknown` says that there is no recommender of that name."""

    def __init__(self, error: HarnessError, unknown: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.unknown = error, unknown


async def begin(plan: Plan, order: messages.Open) -> tuple[Process, dict[str, str], messages.Opened]:
    """A process, attached to the running loop, with the recommender open in it; the walls that can't stand around it.

    Raises Failure, or UsageError where strictness forbids it.
    """
    process = Process(plan)
    await process.attach()
    try:
        missing = await process.hello()
    except Gone as gone:
        raise _failure(order.name, f"can't be started: {gone}; {process.tail()}") from None
    if plan.isolation.strict and (missing or plan.reach.uncovered):
        process.kill("strict")
        reasons = [f"{name}: {reason}" for name, reason in missing.items()]
        reasons += [f"{path} lies beside the recommender" for path in plan.reach.uncovered]
        raise UsageError(f"--isolate-strict: not everything can be kept from the recommender here ({'; '.join(reasons)})")
    opened = await exchange(process, order, messages.Opened, order.name)
    try:
        _check(opened, order.name)
    except Failure:
        process.kill("unusable")
        raise
    return process, missing, opened


async def exchange(process: Process, order: messages.Order, wanted: type[Answer], name: str) -> Answer:
    """Send, and read the answer. Raises Failure, with the process ended."""
    step = "be opened" if isinstance(order, messages.Open) else "be prepared"
    limit = process.plan.isolation.start
    try:
        process.send(order)
        answer: Any = await asyncio.wait_for(process.read(), limit)
    except TimeoutError:
        process.kill(f"not ready within {limit:g} s")
        raise _failure(name, f"could not {step} within --isolate-start {limit:g} seconds") from None
    except Gone as gone:
        tail = process.tail()
        raise _failure(name, f"could not {step}: {gone}{f'; it wrote: {tail}' if tail else ''}") from None
    except BaseException:
        process.kill("interrupted")
        raise
    if isinstance(answer, messages.Failed):
        process.kill("failed")
        raise Failure(_ERRORS[answer.kind](_shown(answer.text)), answer.unknown)
    if not isinstance(answer, wanted):
        process.kill("it answered what it was not asked")
        raise _failure(name, f"could not {step}: it answered what it was not asked")
    return answer


def _failure(name: str, text: str) -> Failure:
    return Failure(PluginError(f"isolated recommender {name!r} {text}"))


def _check(opened: messages.Opened, name: str) -> None:
    """What goes into the manifest and the fingerprint must be JSON, whoever says it."""
    try:
        usable = isinstance(msgspec.json.decode(msgspec.json.encode(opened.revision))["options"], dict)
    except (TypeError, ValueError, KeyError, RecursionError):
        usable = False
    if not usable or (opened.max_batch is not None and opened.max_batch < 1):
        raise Failure(PluginError(f"isolated recommender {name!r} describes itself in an unusable way"))


def _shown(text: str) -> str:
    return "".join(c for c in text[:2000] if c.isprintable())
