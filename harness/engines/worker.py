"""A worker: the body of a Ray actor. It assembles the run anew, has its own components and models, and plays what it is given.

Its methods are called one at a time in the process's main thread; the dialogues run in a loop in a thread beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness import __version__
from harness.assembly import Assembly, assemble, prepare
from harness.batching import Flow
from harness.config import difference
from harness.engines.messages import Failure, Order, Report, Start, Started
from harness.engines.sharing import shared_layers
from harness.errors import BudgetExceeded, ConfigMismatch, HarnessError, described
from harness.isolation.opening import keep_out
from harness.llm.redact import redact
from harness.registry import Registry
from harness.runner import Job, play_taken

BEAT: Final = 2.0
"""Seconds after which a worker reports although it has nothing: a sign of life."""
LINGER: Final = 0.05
"""Seconds that a record may wait for company, so that cheap dialogues don't cost a message each."""
SAME: Final = ("HARNESS_PLUGINS", "HARNESS_DISABLE_PLUGINS")
"""Variables that must say the same everywhere."""
PLACES: Final = ("HARNESS_DATA", "HARNESS_ARTIFACTS")
"""Variables that a node may have of its own."""
MOST_BYTES: Final = 1 << 23
"""Records in one report, about; the others wait here."""


class Worker:
    """One of a run's workers. (None of its methods may be async: Ray would call them all in a loop then.)"""

    def __init__(self) -> None:
        self._player: Player | None = None
        self._owed = 0
        """Dialogues taken and not reported."""
        self._ended: Report | None = None

    def node(self) -> str:
        """Where this is: the first sign of life."""
        from ray.util import get_node_ip_address

        return str(get_node_ip_address())  # type: ignore[no-untyped-call]

    def start(self, order: bytes, desk: Any) -> bytes:
        """Assemble and prepare the run of a `Start`; a `Started`. `desk` is what the models share, or None."""
        try:
            self._start(msgspec.msgpack.decode(order, type=Start), desk)
        except Exception as error:  # noqa: BLE001  it is told, and ends the run
            return msgspec.msgpack.encode(Started(failure_of(error)))
        return msgspec.msgpack.encode(Started())

    def _start(self, order: Start, desk: Any) -> None:
        if order.version != __version__:
            raise ConfigMismatch(f"crs-harness {__version__} is installed, the run is of {order.version}: install the same")
        _settle(order)
        config = order.config
        keep_out([config])
        layers = shared_layers(config, order.sharing, desk, order.name)
        assembly = assemble(Registry(), config, layers=layers)
        if assembly.fields != order.fields:
            lines = "\n  ".join(difference(order.fields, assembly.fields))
            raise ConfigMismatch(f"this would be another run than the driver's (driver -> here):\n  {lines}")
        prepare(assembly)
        self._player = Player(assembly)

    def exchange(self, order: bytes) -> bytes:
        """Take an `Order`; the `Report` of what is finished, at the latest after `BEAT` seconds."""
        if self._player is None:
            raise RuntimeError("exchange before start")
        asked = msgspec.msgpack.decode(order, type=Order)
        self._owed += len(asked.jobs)
        self._player.give([*asked.jobs, *([None] if asked.finish else [])])
        if asked.stop:
            self._player.cancel()
        return msgspec.msgpack.encode(self._ended or self._report(self._player.outbox))

    def _report(self, outbox: queue.SimpleQueue[bytes | Report]) -> Report:
        records: list[bytes] = []
        wanted, size, until = max(1, self._owed // 2), 0, time.monotonic() + BEAT
        while len(records) < wanted and size < MOST_BYTES:
            try:
                found = outbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(found, Report):
                self._ended = found
                return msgspec.structs.replace(found, records=records)
            if not records:
                until = min(until, time.monotonic() + LINGER)
            records.append(found)
            size += len(found)
        self._owed -= len(records)
        return Report(records)


class Player:
    """The loop in which the dialogues run, in a thread of its own."""

    def __init__(self, assembly: Assembly) -> None:
        self.outbox: queue.SimpleQueue[bytes | Report] = queue.SimpleQueue()
        """Finished dialogues, and at the end a report without any."""
        self._assembly = assembly
        self._loop = asyncio.new_event_loop()
        self._inbox: asyncio.Queue[Job | None] = asyncio.Queue()
        self._task = self._loop.create_task(self._play())
        threading.Thread(target=self._serve, name="harness-dialogues", daemon=True).start()

    def give(self, jobs: Sequence[Job | None]) -> None:
        """More to play; None when there is no more."""
        self._post(lambda: self._add(jobs))

    def cancel(self) -> None:
        """Stop; what was played of the dialogues under way is recorded."""
        self._post(self._task.cancel)

    def _add(self, jobs: Sequence[Job | None]) -> None:
        for job in jobs:
            self._inbox.put_nowait(job)

    def _post(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: the report says why
            self._loop.call_soon_threadsafe(function)

    def _serve(self) -> None:
        failure = None
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._wait())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001  it is told, and ends the run
            failure = failure_of(error)
        self.outbox.put(Report(ended=True, failure=failure))

    async def _wait(self) -> None:
        await self._task

    async def _play(self) -> None:
        encode = msgspec.json.Encoder().encode
        at_once = self._assembly.config.transport.at_once
        await play_taken(self._assembly, self._take, lambda record: self.outbox.put(encode(record)), at_once=at_once)

    async def _take(self, flow: Flow) -> Job | None:
        job = await flow.wait(self._inbox.get()) if self._inbox.empty() else self._inbox.get_nowait()
        if job is None:  # for the others too
            self._inbox.put_nowait(None)
        return job


def failure_of(error: BaseException) -> Failure:
    """What is told of an error, without keys."""
    if isinstance(error, (HarnessError, BudgetExceeded)):
        # The nearest class that `harness.errors` knows: a plugin may have derived its own.
        known = next(cls for cls in type(error).__mro__ if cls.__module__ == HarnessError.__module__)
        return Failure(known.__name__, redact(str(error)))
    trace = "".join(traceback.format_exception(error)) if isinstance(error, Exception) else described(error)
    return Failure("", redact(trace))


def _settle(order: Start) -> None:
    """Stand where the driver stands, if that folder is here, and see the same plugins. Where data and artefacts lie is this
    node's own business, if it says so."""
    if Path(order.folder).is_dir():
        os.chdir(order.folder)
    for name in SAME:
        os.environ.pop(name, None)
    for name, value in order.environment.items():
        os.environ.setdefault(name, value)
