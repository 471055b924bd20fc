"""Many dialogues: concurrency, resume, progress. The dialogue loop and the store do the rest."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from harness.api import DialogueRecord, KnowledgeLevel
from harness.assembly import Assembly
from harness.batching import Flow, is_async
from harness.calls import Hosts
from harness.config import RunConfig
from harness.dialogue import Dialogue, Rules
from harness.errors import BudgetExceeded
from harness.injection import is_injection
from harness.leakgate import LeakGate
from harness.scenarios import cut_knowledge, derive_seed, other_scenario
from harness.store import Store


class Outcome(msgspec.Struct):
    """How a run went: dialogues played now, those that were there before, and why it stopped early if it did."""

    played: int = 0
    kept: int = 0
    stopped: str | None = None
    interrupted: bool = False


Finished = Callable[[DialogueRecord], None]
Job = tuple[int, int]
"""(position of the scenario, trial): one dialogue to play."""
Take = Callable[[Flow], Awaitable[Job | None]]
"""The next dialogue to play, None when there is no more; it waits, if it must, through the flow."""
Play = Callable[[Assembly, set[tuple[str, int]], Callable[[DialogueRecord], None], int | None], Awaitable[None]]
"""`play`, or an engine's that does the same elsewhere."""


def rules_of(config: RunConfig) -> Rules:
    """The part of a configuration that a dialogue obeys."""
    return Rules(
        max_turns=config.turns,
        k=config.k,
        leak_policy=config.leak_policy,
        max_text=config.max_text,
        simulator_retries=config.simulator_retries,
        success_k=config.success_k,
        stop_on_success=config.stop_on_success,
        final_reply=config.final_reply,
    )


def run(
    assembly: Assembly,
    store: Store,
    *,
    done: set[tuple[str, int]],
    finished: Finished,
    schedule_seed: int | None = None,
    player: Play | None = None,
) -> Outcome:
    """Play everything that is not in `done`; `finished` is called after a record is written. `player` is an engine's `play`.

    Raises StoreError, or whatever the harness itself got wrong; records written before stay. An interrupt (SIGINT, SIGTERM)
    and a spent budget end it early and are told in the outcome. `schedule_seed` shuffles the order of play, which must not
    change any record.
    """
    outcome = Outcome(kept=len(done))

    def write(record: DialogueRecord) -> None:
        store.append(record)
        if record.stop != "cancelled":
            outcome.played += 1
            finished(record)

    asyncio.run(_interruptible((player or play)(assembly, done, write, schedule_seed), outcome))
    return outcome


async def _interruptible(work: Any, outcome: Outcome) -> None:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        outcome.interrupted = True
        task.cancel()

    signals = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
            signals.append(number)
        except (ValueError, RuntimeError, NotImplementedError):  # not in the main thread
            pass
    try:
        await task
    except asyncio.CancelledError:
        if not outcome.interrupted:
            raise
    except BudgetExceeded as error:
        outcome.stopped = str(error) or "the budget is spent"
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def play(
    assembly: Assembly,
    done: set[tuple[str, int]],
    write: Callable[[DialogueRecord], None],
    schedule_seed: int | None = None,
) -> None:
    """The same without a store or signals: every record goes to `write`."""
    jobs = jobs_of(assembly, done, schedule_seed)

    async def take(flow: Flow) -> Job | None:
        return next(jobs, None)

    await play_taken(assembly, take, write, at_once=len(assembly.scenarios) * assembly.config.trials - len(done))


async def play_taken(assembly: Assembly, take: Take, write: Callable[[DialogueRecord], None], *, at_once: int) -> None:
    """Play what `take` gives until it gives None: `at_once` dialogues at a time, or as many as the configuration allows."""
    config = assembly.config
    hosts = Hosts(config.transport)
    try:
        make = _factory(assembly, hosts)
        count = max(1, min(config.transport.at_once, at_once))
        workers = [asyncio.ensure_future(_worker(take, make, write, hosts)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    finally:
        components = [c for c in assembly.instances.values() if is_async(getattr(c, "close", None))]
        await hosts.finish([part.close for part in {id(p): p for p in (*components, *assembly.models.values())}.values()])


def jobs_of(assembly: Assembly, done: set[tuple[str, int]], schedule_seed: int | None = None) -> Iterator[Job]:
    """What is left to play, in the order of play."""
    count = len(assembly.scenarios)
    order: Any = range(count * assembly.config.trials)
    if schedule_seed is not None:
        order = list(order)
        random.Random(schedule_seed).shuffle(order)
    for number in order:
        trial, position = divmod(number, count)
        if (assembly.scenarios[position].id, trial) not in done:
            yield position, trial


async def _worker(
    take: Take,
    make: Callable[[int, int], Dialogue],
    write: Callable[[DialogueRecord], None],
    hosts: Hosts,
) -> None:
    with hosts.flow:
        while (job := await take(hosts.flow)) is not None:
            dialogue = make(*job)
            try:
                record = await dialogue.play()
            except (asyncio.CancelledError, BudgetExceeded):
                write(dialogue.record("cancelled"))
                raise
            write(record)


def _factory(assembly: Assembly, hosts: Hosts) -> Callable[[int, int], Dialogue]:
    config, scenarios = assembly.config, assembly.scenarios
    gate = LeakGate(assembly.catalogue)
    rules = rules_of(config)
    recommend = hosts.adapt(assembly.instances["recommender"], "recommend", "recommender")
    simulator = assembly.instances.get("simulator")
    reply = None if simulator is None else hosts.adapt(simulator, "reply", "simulator")
    level: KnowledgeLevel = "label_free" if simulator is None else simulator.knowledge
    of_other = getattr(simulator, "knowledge_of", "own") == "other"

    def make(position: int, trial: int) -> Dialogue:
        scenario = scenarios[position]
        needy = other_scenario(scenarios, position, config.seed) if of_other else scenario
        return Dialogue(
            scenario,
            trial,
            rules=rules,
            catalogue=assembly.catalogue,
            seeds=lambda role, attempt: derive_seed(config.seed, scenario.id, trial, role, attempt),
            recommend=recommend,
            reply=reply,
            knowledge=cut_knowledge(needy.need, level),
            gate=gate,
            is_injection=is_injection,
        )

    return make
