"""The thread in which a local model computes: it takes questions as they come, and gives answers as they are done."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Usage
from harness.errors import described
from harness.llm.api import ChatRequest, Completion, LlmError, RefusedError, Scores
from harness.llm.hf_load import HfOptions, Loaded, load
from harness.llm.hf_prompt import Prompter

JOIN = 4
"""Questions join a running batch when they are at least a JOIN-th of it."""

SMALL = 20_000_000
"""Parameters below which a CPU model gets one thread by itself: two took as long for a step of a batch of 64 of a model of 1.4
million, and a third more CPU time, which another model of the run can use."""


class Source(msgspec.Struct, frozen=True):
    """What to load: the model's folder, an adapter's, and a template in place of the model's own."""

    folder: Path
    adapter: Path | None = None
    template: str | None = None


class Job:
    """A question, who waits for its answer, and in which loop."""

    __slots__ = ("cancelled", "future", "loop", "question", "row")

    def __init__(self, question: Any, future: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.question, self.future, self.loop = question, future, loop
        self.row: Any = None
        self.cancelled = False

    def cancel(self) -> None:
        """Nobody waits any more: the row leaves the batch at its next step."""
        self.cancelled = True
        if self.row is not None:
            self.row.cancelled = True


class Worker:
    """Owns the thread, the model and the questions that wait. Everything but `_serve` may be called from any thread."""

    def __init__(self, name: str, source: Source, options: HfOptions) -> None:
        self._name, self._source, self._options = name, source, options
        self._wake = threading.Condition()
        self._inbox: list[Job] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._loading = threading.Lock()
        self._loaded: Loaded | None = None
        self.choices = self.rechecked = 0
        """Tokens chosen so far, and those chosen again from their row alone."""

    def load(self) -> Loaded:
        """The model; read from disk at the first call. Raises LlmError."""
        with self._loading:
            if self._loaded is None:
                try:
                    self._loaded = load(self._source.folder, self._source.adapter, self._source.template, self._options)
                except LlmError as error:
                    raise LlmError(f"{self._name}: {error}") from error.__cause__
            return self._loaded

    def put(self, jobs: Sequence[Job]) -> None:
        """Questions to answer."""
        with self._wake:
            if self._closed:
                _deliver([(job, LlmError(f"{self._name} is closed")) for job in jobs])
                return
            self._inbox += jobs
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """End the thread after its present step and free the model; what is unanswered then fails.

        The next question reads it again: who judges a run may ask the model that has played it.
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        with self._wake:
            self._thread, self._loaded, self._closed = None, None, False

    def _serve(self) -> None:
        desk: _Desk | None = None
        while (jobs := self._take(wait=desk is None or desk.idle)) is not None:
            try:
                if desk is None:
                    desk = _Desk(self._name, self.load(), self._options)
                _deliver(desk.work(jobs))
                self.choices, self.rechecked = desk.counts
            except Exception as error:  # noqa: BLE001  whatever loading and computing may raise
                failed = jobs if desk is None else desk.clear() + jobs
                _deliver([(job, _explained(self._name, error, self._options)) for job in failed if not job.future.done()])
        if desk is not None:
            _deliver([(job, LlmError(f"{self._name} was closed")) for job in desk.clear()])

    def _take(self, *, wait: bool) -> list[Job] | None:
        """New questions; waits for one if there is nothing else to do. None when closed."""
        with self._wake:
            while wait and not self._inbox and not self._closed:
                self._wake.wait()
            jobs, self._inbox = self._inbox, []
            if not self._closed:
                return jobs
        _deliver([(job, LlmError(f"{self._name} was closed")) for job in jobs])
        return None


class _Desk:
    """The work of the thread: questions wait here until they join the batch."""

    def __init__(self, name: str, loaded: Loaded, options: HfOptions) -> None:
        import torch

        from harness.llm.hf_engine import Engine
        from harness.llm.hf_pattern import Patterns

        threads = options.threads
        if threads is None and loaded.device.type == "cpu" and loaded.model.num_parameters() < SMALL:
            threads = 1
        if threads is not None:
            torch.set_num_threads(threads)
        self._name, self._loaded, self._options = name, loaded, options
        self._prompter = Prompter(name, loaded.tokenizer, options.thinking)
        self._engine = Engine(loaded, self._prompter, options)
        self._patterns = Patterns(name, loaded)
        self._waiting: collections.deque[Job] = collections.deque()
        self._batch: list[Job] = []

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._batch

    @property
    def counts(self) -> tuple[int, int]:
        return self._engine.choices, self._engine.rechecked

    def work(self, jobs: Sequence[Job]) -> list[tuple[Job, Any]]:
        """Take these questions, go one step, and return the answers that are ready (results or exceptions)."""
        import torch

        answers: list[tuple[Job, Any]] = []
        scored = []
        for job in jobs:
            try:
                if isinstance(job.question, ChatRequest):
                    job.row = self._row(job.question)
                    self._waiting.append(job)
                else:
                    scored.append((job, self._question(job.question)))
            except (LlmError, RefusedError) as error:
                answers.append((job, error))
        with torch.inference_mode():
            answers += self._score(scored)
            self._admit()
            self._engine.step()
        done = [job for job in self._batch if not job.row.live]
        if done:
            self._batch = [job for job in self._batch if job.row.live]
            answers += [(job, self._completion(job.row)) for job in done if not job.row.cancelled]
        return answers

    def clear(self) -> list[Job]:
        """Forget all questions, and return them."""
        self._engine.clear()
        jobs = [*self._batch, *self._waiting]
        self._batch, self._waiting = [], collections.deque()
        return jobs

    def _admit(self) -> None:
        """Let questions into the batch: at once if it is empty, else when they are enough to be worth the interruption."""
        self._waiting = collections.deque(job for job in self._waiting if not job.cancelled)
        count = self._engine.room([job.row for job in self._waiting])
        if count and count * JOIN >= len(self._batch):
            joining = [self._waiting.popleft() for _ in range(count)]
            self._batch += joining
            self._engine.admit([job.row for job in joining])

    def _row(self, request: ChatRequest) -> Any:
        from harness.llm import hf_sampling
        from harness.llm.hf_engine import Row

        prompt = self._prompt(request.messages)
        limit = request.max_tokens
        if self._loaded.context is not None:
            limit = min(limit, self._loaded.context - len(prompt))
        rule = hf_sampling.rule(request.temperature, request.top_p, request.seed, self._loaded.device)
        guide = None if request.pattern is None else self._patterns.guide(request.pattern)
        return Row(prompt, limit, [stop for stop in request.stop if stop], rule, guide)

    def _prompt(self, messages: Sequence[Any]) -> list[int]:
        prompt = self._prompter.prompt(messages)
        if self._loaded.context is not None and len(prompt) >= self._loaded.context:
            raise RefusedError(f"the prompt has {len(prompt)} tokens, and {self._name} reads {self._loaded.context} at most")
        return prompt

    def _question(self, question: tuple[Any, Sequence[str]]) -> tuple[list[int], list[list[int]]]:
        messages, continuations = question
        prompt, tails = self._prompt(messages), [self._prompter.continuation(text) for text in continuations]
        longest = len(prompt) + max(map(len, tails))
        if self._loaded.context is not None and longest > self._loaded.context:
            raise RefusedError(
                f"prompt and continuation have {longest} tokens, and {self._name} reads {self._loaded.context} at most"
            )
        return prompt, tails

    def _score(self, asked: list[tuple[Job, tuple[list[int], list[list[int]]]]]) -> list[tuple[Job, Any]]:
        from harness.llm.hf_score import score

        answers: list[tuple[Job, Any]] = []
        # Alone, a question's scores depend on nothing but the question, to the last bit. Its continuations fill a batch by
        # themselves: several questions at once gave 0.9 to 1.35 times the speed on a CPU.
        most = 1 if self._loaded.exact else self._options.max_batch
        for start in range(0, len(asked), most):
            some = asked[start : start + most]
            values = score(self._loaded, [question for _, question in some], max_batch_tokens=self._options.max_batch_tokens)
            for (job, (prompt, continuations)), found in zip(some, values, strict=True):
                tokens = len(prompt) + sum(map(len, continuations))
                answers.append((job, Scores(found, Usage(calls=1, prompt_tokens=tokens))))
        return answers

    @staticmethod
    def _completion(row: Any) -> Completion:
        usage = Usage(calls=1, prompt_tokens=len(row.prompt), completion_tokens=len(row.said))
        return Completion(row.text, row.finish, usage)


def _deliver(answers: Sequence[tuple[Job, Any]]) -> None:
    """Hand answers over to the loops that wait for them: one call per loop, however many they are."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Job, Any]]] = {}
    for job, answer in answers:
        loops.setdefault(job.loop, []).append((job, answer))
    for loop, some in loops.items():
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, some)


def _settle(answers: Sequence[tuple[Job, Any]]) -> None:
    for job, answer in answers:
        if job.future.done():
            continue
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)


def _explained(name: str, error: Exception, options: HfOptions) -> Exception:
    """A new exception for each question: one instance can't be raised in several places."""
    if type(error).__name__ == "OutOfMemoryError":
        return LlmError(
            f"{name}: out of memory on the device; set a lower max_batch_tokens (now {options.max_batch_tokens}) or max_batch"
            f" (now {options.max_batch}), or prefix_cache=false"
        )
    if isinstance(error, LlmError):
        text = described(error)
        return LlmError(text if text.startswith(name) else f"{name}: {text}")
    return LlmError(f"{name}: computing failed: {type(error).__name__}: {described(error, 300)}")
