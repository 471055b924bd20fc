"""`hf:MODEL_OR_PATH`: a chat model computed here, by transformers, for all dialogues that wait at the same time.

Nothing heavy is imported until a model is loaded.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Usage
from harness.llm import hf_files
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion, LlmError, Scores
from harness.llm.hf_load import HfOptions, place
from harness.llm.hf_worker import Job, Source, Worker
from harness.llm.layers import Layers
from harness.llm.loops import PerLoop

Options = HfOptions

QUIET = 2
"""Passes of the event loop that bring no new question before what has gathered is handed over."""


def connect(model: str, options: HfOptions, layers: Layers) -> ChatModel:
    """The model with everything around it."""
    said = {name: getattr(options, name) for name in ("temperature", "top_p", "max_tokens")}
    changes = {name: value for name, value in said.items() if value is not None}
    return layers.wrap(HfModel(model, options), adapt=lambda request: msgspec.structs.replace(request, **changes))


class HfModel:
    """A local model. Greedy texts and, with a seed, sampled ones don't depend on what else is computed at the same time.

    That holds for float32 (see `hf_engine.Engine`); bfloat16 and float16 round too coarsely: there, a text may differ when it
    is computed in another company. `top_k`, penalties and the like of a model's generation configuration are not applied, and
    a request's JSON schema isn't enforced. A request's pattern is (extra `constrain`).

    The constructor looks at the files (LlmError if they can't be used) and may download them. The weights are read by `load`,
    or by the first question.
    """

    def __init__(self, model: str, options: HfOptions | None = None) -> None:
        options = options or HfOptions()
        self.name = f"hf:{model}"
        self._options = options
        self._folder = hf_files.model_folder(model, options.revision, template=options.chat_template is None)
        self._adapter = None if options.adapter is None else hf_files.adapter_folder(options.adapter)
        self._template = None if options.chat_template is None else hf_files.read_template(options.chat_template)
        self._model = model if not Path(model).expanduser().is_dir() else self._folder.name
        self._worker = Worker(self.name, Source(self._folder, self._adapter, self._template), options)
        self._gatherings: PerLoop[_Gathering] = PerLoop(lambda: _Gathering(self._worker, options.max_batch))
        self._revision: dict[str, Any] | None = None

    def load(self) -> None:
        """Read the weights now, if that hasn't happened, and wait for it. Raises LlmError."""
        self._worker.load()

    async def chat(self, request: ChatRequest) -> Completion:
        """Raises LlmError (template, limits, memory) or RefusedError (the prompt is longer than the model reads)."""
        if request.max_tokens < 1:
            raise LlmError(f"{self.name}: max_tokens must be at least 1, not {request.max_tokens}")
        completion: Completion = await self._ask(request)
        return completion

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        """Natural log-probability of each text as the beginning of the assistant's answer (its end token is not counted)."""
        if not continuations:
            return Scores([], Usage())
        scores: Scores = await self._ask((tuple(messages), tuple(continuations)))
        return scores

    def revision(self) -> dict[str, Any]:
        """Backend, model, hash of all its files, and what else decides its answers. Reads the weights' file once."""
        if self._revision is None:
            device, dtype = place(self._options)
            known: dict[str, Any] = {"backend": "hf", "model": self._model, "files": hf_files.digest(self._folder)}
            if self._adapter is not None:
                known["adapter"] = hf_files.digest(self._adapter)
            if self._template is not None:
                known["template"] = hashlib.sha256(self._template.encode()).hexdigest()
            if self._options.thinking is not None:
                known["thinking"] = self._options.thinking
            known |= {"dtype": dtype, "device": device.partition(":")[0], "exact": self._options.exact and dtype == "float32"}
            self._revision = known
        return self._revision

    async def close(self) -> None:
        """Stop computing; questions still open fail."""
        await asyncio.to_thread(self._worker.close)

    async def _ask(self, question: Any) -> Any:
        loop = asyncio.get_running_loop()
        job = Job(question, loop.create_future(), loop)
        self._gatherings.get().add(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            job.cancel()
            raise


class _Gathering:
    """Collects the questions of one event loop until everything that is ready has asked, then hands them over together."""

    def __init__(self, worker: Worker, enough: int) -> None:
        self._worker, self._enough = worker, enough
        self._loop = asyncio.get_running_loop()
        self._jobs: list[Job] = []
        self._looking = False

    def add(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._looking:
            self._loop.call_soon(self._look, 0, QUIET)
            self._looking = True

    def _look(self, seen: int, quiet: int) -> None:
        """The loop runs this after what was ready before; `seen` questions were there at the last look."""
        grown = len(self._jobs) > seen
        if len(self._jobs) < self._enough and (grown or quiet):
            self._loop.call_soon(self._look, len(self._jobs), QUIET if grown else quiet - 1)
            return
        jobs, self._jobs = self._jobs, []
        self._looking = False
        self._worker.put(jobs)
