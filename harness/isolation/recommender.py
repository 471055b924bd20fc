"""The component that stands for an isolated one: the runner calls it like any other, the work is done elsewhere.

What the process does wrong is a fault of the turn that it was working for. When several calls were under way as it ended, they
are made again one at a time, so that nobody pays for a neighbour. It is started again a limited number of times.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from harness.api import Conversation, RecommenderSetup
from harness.calls import Elsewhere, Submit
from harness.errors import ComponentFault, HarnessError, described
from harness.isolation import messages
from harness.isolation.asking import answered
from harness.isolation.company import Company
from harness.isolation.pending import Lost, Pending
from harness.isolation.process import Gone, Plan, Process
from harness.isolation.starting import Failure, begin, exchange
from harness.workers import CallTimeout

GRACE: Final = 2.0
"""Seconds above a call's limit after which the process is ended, if it hasn't ended the call itself."""
STRAY: Final = 1000
"""Messages that belong to nothing, which are ignored up to here."""
ASKING: Final = 256
"""Questions to a language model that may be under way."""


class IsolatedRecommender(Elsewhere):
    """Made by `opening.open_isolated`; `prepare` is as of any recommender."""

    def __init__(
        self, name: str, options: dict[str, Any], plan: Plan, *, timeout: float, concurrency: int, max_text: int
    ) -> None:
        """Start the process and open the recommender in it. Raises Failure, or UsageError where strictness forbids it."""
        self.name, self.plan = name, plan
        self._open = messages.Open(name, options)
        self._timeout, self._concurrency, self._max_text = timeout, concurrency, max_text
        self._prepare: messages.Prepare | None = None
        self._models: dict[str, Any] = {}
        self._process: Process | None = None
        self.ends: list[str] = []
        """How its processes ended, one after the other."""
        self._calls = 0
        self._pending: dict[int, Pending] = {}
        self._stray = 0
        self._owing = False
        """The process still works for a call that nobody waits for."""
        self._pump: asyncio.Task[None] | None = None
        self._closed: asyncio.Event | None = None
        self.missing: dict[str, str] = {}
        self.opened = asyncio.run(self._first())
        self.batched, self.max_batch = self.opened.batched, self.opened.max_batch
        if "revision" in self.opened.revision:
            own = self.opened.revision["revision"]
            self.revision: Callable[[], Any] = lambda: own

    def default_llm(self) -> str | None:
        """As the recommender says."""
        return self.opened.llm

    def more_llms(self) -> dict[str, str]:
        """As the recommender says."""
        return self.opened.more_llms

    def prepare(self, setup: RecommenderSetup) -> None:
        """Send what the recommender may see. Raises the error that it met."""
        self._models = {"": setup.llm, **setup.more_llms} if setup.llm is not None else dict(setup.more_llms)
        self._prepare = messages.Prepare(
            tuple(setup.catalogue),
            tuple(setup.training),
            setup.k,
            setup.seed,
            self._max_text,
            self._timeout,
            self._concurrency,
            {which: (model.name, model.revision()) for which, model in self._models.items()},
        )
        try:
            asyncio.run(self._ready())
        except Failure as failure:
            raise failure.error from None

    # ------------------------------------------------------------------------------------------------------ in a loop

    def bind(self, submit: Submit) -> None:
        """`submit` runs a coroutine function where language models are asked."""
        self._submit = submit
        self._company, self._starting, self._turns = Company(), asyncio.Lock(), asyncio.Lock()

    async def call(self, conversations: Sequence[Conversation], k: int) -> list[Any]:
        """Answers in the order of the conversations; in place of one, the error to raise for it."""
        if self.batched or self.opened.serial:
            async with self._turns:
                return await self._call(conversations, k)
        return await self._call(conversations, k)

    async def leave(self) -> None:
        """The dialogues are over. A process that still works for a call that nobody waits for is ended."""
        process, pump = self._process, self._pump
        self._closed = asyncio.Event()
        if process is not None and pump is not None and not pump.done():
            if self._owing:
                process.kill("its dialogues were cancelled")
            else:
                process.send(messages.Close())
                closed = asyncio.ensure_future(self._closed.wait())
                await asyncio.wait([closed, pump], timeout=5, return_when=asyncio.FIRST_COMPLETED)
                closed.cancel()
                if not self._closed.is_set():
                    process.kill("it did not close")
            pump.cancel()
            await asyncio.wait([pump])
            process.detach()
            if not process.alive():
                self._process = None
        self._leave_loop()

    def _leave_loop(self) -> None:
        self._pump, self._closed = None, None

    async def _call(self, conversations: Sequence[Conversation], k: int) -> list[Any]:
        alone = False
        while True:
            await self._company.enter(alone)
            try:
                return await self._try(conversations, k)
            except Lost as lost:
                if lost.alone or alone:
                    raise ComponentFault("exception", str(lost)) from None
                alone = True
            finally:
                self._company.leave()

    async def _try(self, conversations: Sequence[Conversation], k: int) -> list[Any]:
        process = await self._running()
        self._calls += 1
        number, pending = self._calls, Pending(process, len(conversations))
        self._pending[number] = pending
        try:
            process.send(messages.Call(number, tuple(conversations), k))
            done, _ = await asyncio.wait([pending.future], timeout=self._timeout + GRACE)
            if not done:
                self._overdue(process)
            return await pending.future
        finally:
            self._pending.pop(number, None)
            self._owing |= not pending.answered and process is self._process
            for task in pending.asking:
                task.cancel()

    def _overdue(self, process: Process) -> None:
        """The process doesn't even say that a call is over its limit: end it. Calls that had time left are made again."""
        late = time.monotonic() - self._timeout
        for pending in self._pending.values():
            if pending.started <= late:
                pending.fail(CallTimeout(f"no answer within {self._timeout:g} s"))
        process.kill(f"it was stuck for longer than {self._timeout:g} s")

    # ------------------------------------------------------------------------------------------------------ the process

    async def _first(self) -> messages.Opened:
        self._process, self.missing, opened = await begin(self.plan, self._open)
        self._process.detach()
        return opened

    async def _ready(self) -> None:
        """Prepare a process that is open, or a new one."""
        process = self._process
        if process is None or not process.alive():
            process, self.missing, _ = await begin(self.plan, self._open)
            self._process = process
        else:
            await process.attach()
        try:
            if self._prepare is not None:
                await exchange(process, self._prepare, messages.Prepared, self.name)
        finally:
            process.detach()

    async def _running(self) -> Process:
        """The process, attached to this loop; started again if it has ended."""
        async with self._starting:
            process = self._process
            if process is not None and process.alive():
                if self._pump is None:
                    await process.attach()
                    self._pump = asyncio.ensure_future(self._listen(process))
                return process
            if process is not None and self._pump is None:  # it ended between two runs
                self.ends.append(str(process.kill("it ended")))
                self._process = None
            if len(self.ends) > self.plan.isolation.restarts:
                often = "once" if len(self.ends) == 1 else f"{len(self.ends)} times"
                raise ComponentFault("exception", f"its process ended {often} ({self.ends[-1]}); it is not started again")
            try:
                process, _, _ = await begin(self.plan, self._open)
                if self._prepare is not None:
                    await exchange(process, self._prepare, messages.Prepared, self.name)
            except (Failure, HarnessError) as failure:
                self.ends.append(str(failure))
                raise ComponentFault("exception", f"its process could not be started again: {failure}") from None
            self._process, self._owing = process, False
            self._pump = asyncio.ensure_future(self._listen(process))
            return process

    # ------------------------------------------------------------------------------------------------------- its answers

    async def _listen(self, process: Process) -> None:
        try:
            while True:
                self._take(process, await process.read())
        except Exception as error:  # noqa: BLE001  whatever is wrong with what it says, nobody may wait for more
            gone = error if isinstance(error, Gone) else process.kill(f"{type(error).__name__}: {described(error)}")
            under_way = [pending for pending in self._pending.values() if pending.process is process]
            self.ends.append(str(gone))
            for pending in under_way:
                pending.fail(Lost(str(gone), len(under_way) == 1))
            process.detach()
            if self._process is process:
                self._process = self._pump = None

    def _take(self, process: Process, message: messages.Answer) -> None:
        if isinstance(message, messages.Closed) and self._closed is not None:
            self._closed.set()
            return
        call = message.call if isinstance(message, messages.Asked) else getattr(message, "id", None)
        pending = self._pending.get(call) if isinstance(call, int) else None
        if pending is None:
            self._stray += 1
            if self._stray > STRAY or not isinstance(call, int) or not 0 < call <= self._calls:
                raise process.kill("it answered what it was not asked")
        elif isinstance(message, (messages.Row, messages.Fault)):
            pending.take(message, timeout=self._timeout, network=self.plan.isolation.network)
        elif isinstance(message, messages.Asked):
            if message.model not in self._models:
                raise process.kill("it asked a language model that it doesn't have")
            if sum(len(each.asking) for each in self._pending.values()) >= ASKING:
                raise process.kill(f"it asked more than {ASKING} questions at once")
            task = asyncio.ensure_future(self._ask(process, message, pending))
            pending.asking.add(task)
            task.add_done_callback(pending.asking.discard)

    async def _ask(self, process: Process, question: messages.Asked, pending: Pending) -> None:
        left = max(0.1, self._timeout - (time.monotonic() - pending.started))
        try:
            heard = await self._submit(answered, self._models[question.model], question, left)
        except CallTimeout:
            return  # the call's own limit is over too
        except Exception as error:  # noqa: BLE001  BudgetExceeded and LlmError end the run, whatever the plugin makes of it
            pending.fail(error)
            return
        pending.transport |= heard.error == "transport"
        process.send(heard)
