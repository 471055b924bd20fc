"""The component that stands for an isolated one: the runner calls it like any other, the work is done elsewhere.

What the process does wrong is a fault of the turn that it was working for. When several calls were under way as it ended, they
are made again one at a time, so that nobody pays for a neighbour. It is started again a limited number of times.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from harness.api import Conversation, Recommendation, RecommenderSetup, Usage
from harness.calls import Elsewhere, Submit
from harness.checks import spent
from harness.errors import (
    ComponentFault,
    DataError,
    HarnessError,
    LlmError,
    PluginError,
    RefusedError,
    TransportError,
    UsageError,
)
from harness.isolation import messages
from harness.isolation.asking import answered
from harness.isolation.company import Company
from harness.isolation.process import Gone, Plan, Process
from harness.workers import CallTimeout

GRACE: Final = 2.0
"""Seconds above a call's limit after which the process is ended, if it hasn't ended the call itself."""
STRAY: Final = 1000
"""Messages that belong to nothing, which are ignored up to here."""
ASKING: Final = 256
"""Questions to a language model that may be under way."""
_ERRORS: Final = {kind.__name__: kind for kind in (UsageError, DataError, LlmError, PluginError)}


class Failure(Exception):
    """Opening failed; `unknown` says that there is no recommender of that name."""

    def __init__(self, error: HarnessError, unknown: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.unknown = error, unknown


class _Pending:
    """A call that is under way."""

    def __init__(self, process: Process, rows: int) -> None:
        self.process = process
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.rows: list[Any] = [None] * rows
        self.left = rows
        self.started = time.monotonic()
        self.transport = False
        """Its language model's transport failed: the recommender may say so."""
        self.asking: set[asyncio.Task[None]] = set()

    def settle(self, number: int, value: Any) -> None:
        if 0 <= number < len(self.rows) and self.rows[number] is None:
            self.rows[number] = value
            self.left -= 1
            if not self.left and not self.future.done():
                self.future.set_result(self.rows)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Lost(Exception):
    """The process ended under a call; `alone` when there was no other that could have ended it."""

    def __init__(self, text: str, alone: bool) -> None:
        super().__init__(text)
        self.alone = alone


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
        self._ended = 0
        self._last = ""
        self._calls = 0
        self._pending: dict[int, _Pending] = {}
        self._stray = 0
        self._pump: asyncio.Task[None] | None = None
        self._closed: asyncio.Event | None = None
        self.missing: dict[str, str] = {}
        self.opened = asyncio.run(self._first())
        _check(self.opened, name)
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
            if self._pending:
                process.kill("its dialogues were cancelled")
            else:
                process.send(messages.Close())
                closed = asyncio.ensure_future(self._closed.wait())
                await asyncio.wait([closed, pump], timeout=5, return_when=asyncio.FIRST_COMPLETED)
                closed.cancel()
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
            except _Lost as lost:
                if lost.alone or alone:
                    raise ComponentFault("exception", str(lost)) from None
                alone = True
            finally:
                self._company.leave()

    async def _try(self, conversations: Sequence[Conversation], k: int) -> list[Any]:
        process = await self._running()
        self._calls += 1
        number, pending = self._calls, _Pending(process, len(conversations))
        self._pending[number] = pending
        try:
            process.send(messages.Call(number, tuple(conversations), k))
            done, _ = await asyncio.wait([pending.future], timeout=self._timeout + GRACE)
            if not done:
                self._overdue(process)
            return await pending.future
        finally:
            self._pending.pop(number, None)
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
        process, opened = await self._begin()
        self._process = process
        process.detach()
        return opened

    async def _ready(self) -> None:
        """Prepare a process that is open, or a new one."""
        process = self._process
        if process is None or not process.alive():
            process, _ = await self._begin()
            self._process = process
        else:
            await process.attach()
        try:
            await self._exchange(process, self._prepare, messages.Prepared)
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
                self._ended, self._last, self._process = self._ended + 1, str(process.kill("it ended")), None
            if self._ended > self.plan.isolation.restarts:
                raise ComponentFault(
                    "exception", f"its process ended {self._ended} times ({self._last}); it is not started again"
                )
            try:
                process, _ = await self._begin()
                await self._exchange(process, self._prepare, messages.Prepared)
            except (Failure, HarnessError) as failure:
                self._ended, self._last = self._ended + 1, str(failure)
                raise ComponentFault("exception", f"its process could not be started again: {failure}") from None
            self._process = process
            self._pump = asyncio.ensure_future(self._listen(process))
            return process

    async def _begin(self) -> tuple[Process, messages.Opened]:
        process = Process(self.plan)
        await process.attach()
        try:
            self.missing = await process.hello()
        except Gone as gone:
            text = f"its process could not be started: {gone}; {process.tail()}"
            raise Failure(PluginError(f"recommender {self.name!r}: {text}")) from None
        if self.plan.isolation.strict and (self.missing or self.plan.reach.uncovered):
            process.kill("strict")
            reasons = [f"{name}: {reason}" for name, reason in self.missing.items()]
            reasons += [f"{path} lies beside the recommender" for path in self.plan.reach.uncovered]
            raise UsageError(f"--isolate-strict: not everything can be kept from the recommender here ({'; '.join(reasons)})")
        opened = await self._exchange(process, self._open, messages.Opened)
        return process, opened

    async def _exchange(self, process: Process, order: Any, wanted: Callable[..., Any]) -> Any:
        """Send, and read the answer. Raises Failure, with the process ended."""
        step = "be opened" if isinstance(order, messages.Open) else "be prepared"
        limit = self.plan.isolation.start
        try:
            process.send(order)
            answer = await asyncio.wait_for(process.read(), limit)
        except TimeoutError:
            process.kill(f"not ready within {limit:g} s")
            raise self._failure(f"could not {step} within --isolate-start {limit:g} seconds") from None
        except Gone as gone:
            tail = process.tail()
            raise self._failure(f"could not {step}: {gone}{f'; it wrote: {tail}' if tail else ''}") from None
        except BaseException:
            process.kill("interrupted")
            raise
        if isinstance(answer, messages.Failed):
            process.kill("failed")
            raise Failure(_ERRORS[answer.kind](_shown(answer.text)), answer.unknown)
        if not isinstance(answer, wanted):  # type: ignore[arg-type]
            process.kill("it answered what it was not asked")
            raise self._failure(f"could not {step}: it answered what it was not asked")
        return answer

    def _failure(self, text: str) -> Failure:
        return Failure(PluginError(f"isolated recommender {self.name!r} {text}"))

    # ------------------------------------------------------------------------------------------------------- its answers

    async def _listen(self, process: Process) -> None:
        try:
            while True:
                self._take(process, await process.read())
        except Gone as gone:
            under_way = [pending for pending in self._pending.values() if pending.process is process]
            self._ended, self._last = self._ended + 1, str(gone)
            for pending in under_way:
                pending.fail(_Lost(str(gone), len(under_way) == 1))
            process.detach()
            if self._process is process:
                self._process = self._pump = None

    def _take(self, process: Process, message: messages.Answer) -> None:
        if isinstance(message, messages.Closed):
            if self._closed is not None:
                self._closed.set()
            return
        call = message.call if isinstance(message, messages.Asked) else getattr(message, "id", None)
        pending = self._pending.get(call) if isinstance(call, int) else None
        if pending is None:
            self._stray += 1
            if self._stray > STRAY or not isinstance(call, int) or not 0 < call <= self._calls:
                raise process.kill("it answered what it was not asked")
        elif isinstance(message, messages.Row):
            pending.settle(message.row, _recommendation(message))
        elif isinstance(message, messages.Fault):
            error = self._error(message, pending)
            if message.row is None:
                pending.fail(error)
            else:
                pending.settle(message.row, error)
        elif isinstance(message, messages.Asked):
            if message.model not in self._models:
                raise process.kill("it asked a language model that it doesn't have")
            if sum(len(each.asking) for each in self._pending.values()) >= ASKING:
                raise process.kill(f"it asked more than {ASKING} questions at once")
            task = asyncio.ensure_future(self._ask(process, message, pending))
            pending.asking.add(task)
            task.add_done_callback(pending.asking.discard)

    async def _ask(self, process: Process, question: messages.Asked, pending: _Pending) -> None:
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

    def _error(self, fault: messages.Fault, pending: _Pending) -> Exception:
        error: Exception
        if fault.kind == "timeout":
            error = CallTimeout(f"no answer within {self._timeout:g} s")
        elif fault.kind == "refused":
            error = RefusedError(fault.message)
        elif fault.kind == "transport" and (pending.transport or self.plan.isolation.network):
            error = TransportError(fault.message, retry_after=fault.retry_after, final=fault.final)
        elif fault.kind == "transport":  # nothing is between it and its answer that could fail
            error = ComponentFault("exception", f"TransportError: {fault.message}")
        else:
            error = ComponentFault(fault.kind, fault.message, _usage(fault.usage))
        error.__dict__["harness_usage"] = _usage(fault.usage)
        return error


def _check(opened: messages.Opened, name: str) -> None:
    """What goes into the manifest and the fingerprint must be JSON, whoever says it."""
    try:
        usable = isinstance(msgspec.json.decode(msgspec.json.encode(opened.revision))["options"], dict)
    except (TypeError, ValueError, KeyError, RecursionError):
        usable = False
    if not usable or (opened.max_batch is not None and opened.max_batch < 1):
        raise Failure(PluginError(f"isolated recommender {name!r} describes itself in an unusable way"))


def _recommendation(row: messages.Row) -> Recommendation:
    return Recommendation(row.items, row.text, row.reasoning, None, row.state, row.usage, row.candidates)


def _usage(usage: Usage | None) -> Usage | None:
    return spent(Recommendation(usage=usage))


def _shown(text: str) -> str:
    return "".join(c for c in text[:2000] if c.isprintable())
