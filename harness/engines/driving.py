"""The driver's side: hires workers, deals dialogues, writes what comes back, replaces whoever is lost.

Each place of a worker is a coroutine of its own: hire, start, then order after order, each answered by a report. A worker holds
a bounded number of dialogues, and a report is the only thing under way, so memory is bounded on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from harness.api import DialogueRecord, Scenario
from harness.engines.cluster import Cluster, Dead
from harness.engines.dealing import Dealer
from harness.engines.messages import Order, Report, Start, Started
from harness.engines.worker import Worker
from harness.errors import HarnessError, PluginError
from harness.llm.loops import Waiters
from harness.runner import Job

GRACE: Final = 10.0
"""Seconds that workers get to bring back what was cancelled, or to close their connections."""
PATIENCE: Final = 20.0
"""Seconds after which a wait for room in the cluster is told."""
STARTS: Final = 3
"""Deaths in a row while it starts after which a place is given up."""
BARREN: Final = 20
"""Deaths, and two more per worker, without a dialogue finished in between: then the run ends."""
CULPRITS: Final = 5
"""Dialogues that always end their worker: the run ends when so many are found."""


class Plan(msgspec.Struct, frozen=True):
    """What workers are hired for."""

    start: Start
    workers: int
    cpus: float
    gpus: float
    patience: float
    """Seconds without any worker that is ready, until the run ends."""
    silence: float
    """Seconds without a sign of life after which a worker counts as dead."""


class Hired:
    """One worker's actor."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name, self.actor = name, actor
        self.node = "a node"
        self.keys: dict[tuple[str, int], Job] = {}
        """(scenario id, trial) of what it holds."""


class Driver:
    """Plays what a dealer has."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        dealer: Dealer,
        scenarios: Any,
        write: Callable[[DialogueRecord], None],
        say: Callable[[str], None],
        desk: Any = None,
    ) -> None:
        self._cluster, self._plan, self._dealer, self._desk = cluster, plan, dealer, desk
        self._scenarios, self._write, self._say = scenarios, write, say
        self._decoder = msgspec.json.Decoder(DialogueRecord)
        self._changed = Waiters()
        self._stopping = False
        self._hired = 0
        self._at: dict[asyncio.Future[None], Hired] = {}
        """Who works at each place now."""
        self._placed: set[str] = set()
        self._ready: set[str] = set()
        self._barren = 0
        self._last_death = ""

    async def play(self) -> None:
        """To the end. Raises what ended the run early; before, what was cancelled is written."""
        places = [asyncio.ensure_future(self._place()) for _ in range(self._plan.workers)]
        watch = asyncio.ensure_future(self._watch())
        try:
            waiting = {watch, *places}
            while self._dealer.left and waiting - {watch}:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if len(self._dealer.given_up) >= CULPRITS:
                    break
            if self._dealer.left or self._dealer.given_up:
                raise self._unplayable()
        except BaseException:
            self._stopping = True
            raise
        finally:
            self._changed.wake_all()
            watch.cancel()
            for place in places:
                if place not in self._at or self._at[place].name not in self._ready:
                    place.cancel()
            with contextlib.suppress(BaseException):  # what ended the run is what counts
                await asyncio.wait(places, timeout=GRACE)
            for place in places:
                place.cancel()
            await asyncio.gather(watch, *places, return_exceptions=True)

    # ------------------------------------------------------------------------------------------------------ one place

    async def _place(self) -> None:
        """A worker, and another one when it is lost, until nothing is left."""
        starts = 0
        place = asyncio.current_task()
        while place and self._dealer.left and not self._stopping and len(self._dealer.given_up) < CULPRITS:
            self._hired += 1
            hired = Hired(f"worker-{self._hired}", self._cluster.hire(Worker, self._plan.cpus, self._plan.gpus))
            self._at[place] = hired
            try:
                await self._work(hired)
                return
            except Dead as dead:
                starts = 0 if hired.name in self._ready else starts + 1
                self._mourn(hired, str(dead))
                if starts == STARTS:
                    return
            finally:
                self._cluster.dismiss(hired.actor)
                self._ready.discard(hired.name)
                self._placed.discard(hired.name)

    async def _work(self, hired: Hired) -> None:
        start = msgspec.structs.replace(self._plan.start, name=hired.name)
        hired.node = await self._cluster.answer(hired.actor.node.remote())
        self._placed.add(hired.name)
        answer = await self._cluster.answer(hired.actor.start.remote(msgspec.msgpack.encode(start), self._desk))
        started = msgspec.msgpack.decode(answer, type=Started)
        if started.failure is not None:
            raise started.failure.error(hired.node)
        self._ready.add(hired.name)
        while self._dealer.left or self._stopping:
            jobs = [] if self._stopping else self._deal(hired)
            if not jobs and not hired.keys:
                if self._stopping:
                    break
                await self._changed.wait()
                continue
            report = await self._exchange(hired, Order(jobs, stop=self._stopping))
            if report.failure is not None:
                raise report.failure.error(hired.node)
            if report.ended:
                if hired.keys and not self._stopping:
                    raise RuntimeError(f"{hired.name} on {hired.node} ended before its time")
                return
        with contextlib.suppress(Dead, TimeoutError):  # its connections end with it
            async with asyncio.timeout(GRACE):
                while not (await self._exchange(hired, Order(finish=True))).ended:
                    pass

    def _deal(self, hired: Hired) -> list[Job]:
        jobs = self._dealer.deal(hired.name)
        for position, trial in jobs:
            hired.keys[self._scenarios[position].id, trial] = (position, trial)
        return jobs

    async def _exchange(self, hired: Hired, order: Order) -> Report:
        reference = hired.actor.exchange.remote(msgspec.msgpack.encode(order))
        report = msgspec.msgpack.decode(await self._cluster.answer(reference, self._plan.silence), type=Report)
        for line in report.records:
            record = self._decoder.decode(line)
            job = hired.keys.pop((record.scenario, record.trial), None)
            if job is None or not self._dealer.recorded(hired.name, job):
                raise RuntimeError(f"{hired.name} on {hired.node} played {record.scenario!r}, which it was not given")
            self._barren = 0
            self._write(record)
        if report.records and not self._dealer.left:
            self._changed.wake_all()
        return report

    # -------------------------------------------------------------------------------------------------------- losses

    def _mourn(self, hired: Hired, reason: str) -> None:
        """Its dialogues go back to the dealer; the others may have them."""
        culprits = len(self._dealer.given_up)
        lost = self._dealer.lost(hired.name)
        self._last_death = f"{reason} (on {hired.node})"
        if self._desk is not None:
            self._desk.forget.remote(hired.name)
        self._barren = 0 if len(self._dealer.given_up) > culprits else self._barren + 1
        if self._dealer.left and not self._stopping:
            again = f"; its {len(lost)} dialogues are played again" if lost else ""
            self._say(f"a worker is lost: {self._last_death}{again}")
        if self._barren > BARREN + 2 * self._plan.workers:
            raise PluginError(
                f"workers ended {self._barren} times without a dialogue finished in between, the last with "
                f"{self._named(lost)}: {self._last_death}. What was played is kept"
            )
        self._changed.wake_all()

    def _unplayable(self) -> HarnessError:
        if self._dealer.given_up:
            return PluginError(
                f"these dialogues ended their worker's process whenever they were played: "
                f"{self._named(self._dealer.given_up)}; {self._last_death}. What else was played is kept: mend the component, "
                "or give a worker more memory, then resume"
            )
        return HarnessError(f"no worker could be started: {self._last_death}. What was played is kept")

    def _named(self, jobs: list[Job], most: int = 5) -> str:
        names = [_named(self._scenarios[position], trial) for position, trial in jobs[:most]]
        return ", ".join(names) + (f" and {len(jobs) - most} more" if len(jobs) > most else "") or "none"

    async def _watch(self) -> None:
        """Says when there is no room, and ends a run that has had no worker for too long."""
        since = time.monotonic()
        told = False
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            if self._ready:
                since, told = now, False
            waited = now - since
            asks = f"a worker asks for {amount(self._plan.cpus, self._plan.gpus)}"
            if waited > PATIENCE and not self._placed and not told:
                told = True
                self._say(f"the Ray cluster has no room yet: {asks}, and none has got it for {waited:.0f} s")
            if waited > self._plan.patience:
                why = "is ready: preparing takes longer" if self._placed else f"has got room in the cluster: {asks}"
                raise HarnessError(f"for {waited:.0f} s no worker {why}; --ray-start says how long to wait")


def _named(scenario: Scenario, trial: int) -> str:
    return scenario.id if not trial else f"{scenario.id} (trial {trial})"


def amount(cpus: float, gpus: float) -> str:
    """ "1 CPU and 0.5 GPU" """
    texts = [f"{count:g} {unit}{'s' if count > 1 else ''}" for count, unit in ((cpus, "CPU"), (gpus, "GPU")) if count]
    return " and ".join(texts) or "nothing"
