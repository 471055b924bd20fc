"""Calls a component the way a run does: through the same adapters, with a time limit, at any concurrency and order."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Literal

import msgspec

from harness.api import DialogueRecord, Feedback, Recommendation
from harness.batching import is_async
from harness.calls import Hosts
from harness.config import Transport
from harness.dialogue import Dialogue, Recommend, Reply, Rules
from harness.errors import BudgetExceeded, ComponentFault, HarnessError, TransportExhausted, described
from harness.leakgate import LeakGate
from harness.llm.api import ChatModel
from harness.scenarios import cut_knowledge, derive_seed
from harness.testing.world import World

Method = Literal["recommend", "reply"]
THREADS = 8
_encode = msgspec.json.Encoder(order="deterministic", enc_hook=lambda value: f"<{type(value).__name__}>").encode


class Outcome(msgspec.Struct, frozen=True):
    """What one call gave: a value, or a fault."""

    value: Any = None
    fault: ComponentFault | TransportExhausted | BudgetExceeded | HarnessError | None = None
    seconds: float = 0.0
    changed: bool = False
    """The call changed what it was handed."""
    made: bool = True
    """False for a call that was not made, because one before it hung or the budget was spent."""


class Caller:
    """Makes the calls of one examination. `timeout` (seconds) limits each; `model` is the language model that the component may
    ask, closed after every series of calls."""

    def __init__(self, timeout: float, model: ChatModel | None = None) -> None:
        self.timeout, self.model = timeout, model
        self.closing: list[str] = []
        """How the components' own close() failed, in words."""

    def ask(
        self,
        component: object,
        method: Method,
        calls: Sequence[tuple[Any, ...]],
        *,
        concurrency: int = 1,
        order: Sequence[int] | None = None,
    ) -> list[Outcome]:
        """Make the calls, `concurrency` at a time and in the given order; outcomes come in the order of `calls`.

        Batched components get batches of `concurrency` calls. After a timeout or a spent budget no more calls are made.
        """
        return asyncio.run(self._ask(component, method, calls, concurrency, order or range(len(calls))))

    async def _ask(
        self, component: object, method: Method, calls: Sequence[tuple[Any, ...]], concurrency: int, order: Sequence[int]
    ) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        numbers = iter(order)
        ended = False

        async def worker(hosts: Hosts, run: Callable[..., Awaitable[Any]]) -> None:
            nonlocal ended
            with hosts.flow:
                for number in numbers:
                    if ended:
                        return
                    before, started = snapshot(calls[number]), time.perf_counter()
                    value, fault = None, None
                    try:
                        value = await run(*calls[number])
                    except (ComponentFault, TransportExhausted, BudgetExceeded, HarnessError) as error:
                        fault = error
                        ended = ended or not isinstance(error, ComponentFault) or error.kind == "timeout"
                    spent = time.perf_counter() - started
                    outcomes[number] = Outcome(value, fault, spent, before != snapshot(calls[number]))

        async with self._hosts(concurrency, component) as hosts:
            run = hosts.adapt(component, method, "component")
            await asyncio.gather(*(worker(hosts, run) for _ in range(min(concurrency, len(calls)))))
        return [outcomes.get(number, Outcome(made=False)) for number in range(len(calls))]

    def in_threads(self, function: Callable[..., Any], method: Method, calls: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """The calls of a plain method, several at the same moment, in threads that interrupt each other all the time."""
        gate = threading.Barrier(THREADS)
        padded = [*calls, *(calls[n % len(calls)] for n in range(-len(calls) % THREADS))]

        def together(*arguments: Any) -> Any:
            with contextlib.suppress(threading.BrokenBarrierError):
                gate.wait(timeout=5)
            return function(*arguments)

        component = type("Together", (), {method: staticmethod(together)})()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            return self.ask(component, method, padded, concurrency=THREADS)[: len(calls)]
        finally:
            sys.setswitchinterval(interval)

    def play(
        self,
        world: World,
        recommender: object,
        simulator: Any,
        *,
        turns: int,
        k: int,
        concurrency: int = 1,
        tried: Method = "recommend",
        only: Sequence[int] | None = None,
        through_json: bool = False,
        changed: list[str] | None = None,
        leak_policy: Literal["redact", "keep"] = "redact",
    ) -> list[DialogueRecord]:
        """Whole dialogues over the world's scenarios (or those at the positions `only`), as a run with seed 0 plays them.

        `tried` is the side under examination. With `through_json` its states are turned into JSON and back between the turns;
        `changed` collects the places where it changed its arguments. The records are without times and costs.
        """
        positions = list(range(len(world.scenarios)) if only is None else only)
        gate = LeakGate(world.catalogue)

        def watched(run: Callable[..., Awaitable[Any]], scenario: str) -> Callable[..., Awaitable[Any]]:
            async def call(*arguments: Any) -> Any:
                before = snapshot(arguments)
                value = await run(*arguments)
                if changed is not None and snapshot(arguments) != before:
                    changed.append(f"scenario {scenario}, turn {arguments[0].turn}")
                return _through_json(value) if through_json else value

            return call

        def dialogue(position: int, recommend: Recommend, reply: Reply) -> Dialogue:
            scenario = world.scenarios[position]
            return Dialogue(
                scenario,
                0,
                rules=Rules(turns, k, leak_policy, simulator_retries=0, success_k=k),
                catalogue=world.catalogue,
                seeds=lambda role, attempt: derive_seed(0, scenario.id, 0, role, attempt),
                recommend=watched(recommend, scenario.id) if tried == "recommend" else recommend,
                reply=watched(reply, scenario.id) if tried == "reply" else reply,
                knowledge=cut_knowledge(scenario.need, simulator.knowledge),
                gate=gate,
            )

        async def everything() -> list[DialogueRecord]:
            records: dict[int, DialogueRecord] = {}
            queue = iter(positions)
            async with self._hosts(concurrency, recommender, simulator) as hosts:
                recommend = hosts.adapt(recommender, "recommend", "recommender")
                reply = hosts.adapt(simulator, "reply", "simulator")

                async def worker() -> None:
                    with hosts.flow:
                        for position in queue:
                            records[position] = timeless(await dialogue(position, recommend, reply).play())

                await asyncio.gather(*(worker() for _ in range(min(concurrency, len(positions)))))
            return [records[position] for position in positions]

        return asyncio.run(everything())

    @contextlib.asynccontextmanager
    async def _hosts(self, concurrency: int, *components: object) -> AsyncIterator[Hosts]:
        """As in a run: what is async and has a close() is closed in the loop where it was called."""
        hosts = Hosts(Transport(concurrency=concurrency, timeout=self.timeout, transport_retries=0))
        try:
            yield hosts
        finally:
            closing = [self._closer(c) for c in components if is_async(getattr(c, "close", None))]
            await hosts.finish(closing if self.model is None else [*closing, self.model.close])

    def _closer(self, component: Any) -> Callable[[], Coroutine[Any, Any, None]]:
        async def close() -> None:
            try:
                await component.close()
            except Exception as error:  # noqa: BLE001  a stranger's code
                self.closing.append(f"close() raised {type(error).__name__}: {described(error)}")

        return close


def _through_json(value: Any) -> Any:
    """A turn whose state was written as JSON and read again. Raises ComponentFault where that can't be done."""
    if not isinstance(value, (Recommendation, Feedback)) or value.state is None:
        return value
    try:
        state = msgspec.json.decode(msgspec.json.encode(value.state))
    except Exception as error:  # noqa: BLE001  a stranger's object
        raise ComponentFault("malformed", f"the state can't be written as JSON: {described(error)}") from None
    return msgspec.structs.replace(value, state=state)


def timeless(record: DialogueRecord) -> DialogueRecord:
    """Without times and costs, the parts that two equal dialogues may differ in."""
    turns = tuple(msgspec.structs.replace(t, recommender_usage=None, simulator_usage=None) for t in record.turns)
    return msgspec.structs.replace(record, turns=turns, seconds={})


def snapshot(value: Any) -> bytes:
    """A value as canonical JSON, to see whether it has changed; what JSON can't hold stands in it as its type."""
    try:
        return _encode(value)
    except Exception:  # noqa: BLE001  a stranger's object
        return repr(value).encode("utf-8", "backslashreplace")
