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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness import __version__
from harness.api import DialogueRecord
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
    """One of a run's workers."""

    def __init__(self) -> None:
        self._outbox: queue.SimpleQueue[bytes | Report] = queue.SimpleQueue()
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
        ready = threading.Event()
        thread = threading.Thread(target=self._serve, args=(assembly, ready), name="harness-dialogues", daemon=True)
        thread.start()
        ready.wait()

    # ------------------------------------------------------------------------------------------------------ main thread

    def exchange(self, order: bytes) -> bytes:
        """Take an `Order`; the `Report` of what is finished, at the latest after `BEAT` seconds."""
        asked = msgspec.msgpack.decode(order, type=Order)
        self._owed += len(asked.jobs)
        with contextlib.suppress(RuntimeError):  # the loop has ended: the report says why
            if asked.jobs:
                self._loop.call_soon_threadsafe(self._hand_over, asked.jobs)
            if asked.finish:
                self._loop.call_soon_threadsafe(self._hand_over, [None])
            if asked.stop:
                self._loop.call_soon_threadsafe(self._task.cancel)
        return msgspec.msgpack.encode(self._report())

    def _report(self) -> Report:
        if self._ended is not None:
            return self._ended
        records: list[bytes] = []
        wanted, size, until = max(1, self._owed // 2), 0, time.monotonic() + BEAT
        while len(records) < wanted and size < MOST_BYTES:
            try:
                found = self._outbox.get(timeout=max(0.0, until - time.monotonic()))
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

    # ------------------------------------------------------------------------------------------------ the loop's thread

    def _serve(self, assembly: Assembly, ready: threading.Event) -> None:
        failure = None
        try:
            asyncio.run(self._play(assembly, ready))
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001  it is told, and ends the run
            failure = failure_of(error)
        self._outbox.put(Report(ended=True, failure=failure))

    async def _play(self, assembly: Assembly, ready: threading.Event) -> None:
        self._loop, self._inbox = asyncio.get_running_loop(), asyncio.Queue[Job | None]()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("no task")
        self._task = task
        encode = msgspec.json.Encoder().encode

        def write(record: DialogueRecord) -> None:
            self._outbox.put(encode(record))

        ready.set()
        await play_taken(assembly, self._take, write, at_once=assembly.config.transport.at_once)

    async def _take(self, flow: Flow) -> Job | None:
        job = await flow.wait(self._inbox.get()) if self._inbox.empty() else self._inbox.get_nowait()
        if job is None:  # for the others too
            self._inbox.put_nowait(None)
        return job

    def _hand_over(self, jobs: Sequence[Job | None]) -> None:
        for job in jobs:
            self._inbox.put_nowait(job)


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
