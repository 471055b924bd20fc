"""The policy while it learns: the model under training as a chat model that remembers what it was asked and said, by token.

The recommender is the evaluation's own (`recommenders/smtpo`); only its language model is this one. Questions of all dialogues
that wait are generated together.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from harness.api import Catalogue, Conversation, DialogueRecord, Item, Recommendation, Scenario, Usage
from harness.llm.api import ChatMessage, ChatRequest, Completion, LlmError
from harness.llm.hf_prompt import Prompter
from harness.llm.loops import PerLoop
from harness.rollouts import Environment
from harness.scenarios import derive_seed

from ....recommenders.reading import Reader
from ....recommenders.smtpo.prompt import Prompting
from ....recommenders.smtpo.recommender import Options, Smtpo
from ..failures import NotFinite

Key = tuple[int, int]
"""(the recommender's seed in a dialogue, turn)"""

_CURRENT: contextvars.ContextVar[Key] = contextvars.ContextVar("smtpo_policy_call")
_QUIET = 2
"""Passes of the event loop that bring no new question before what has gathered is generated."""


class Said(msgspec.Struct, frozen=True):
    """One answer: its tokens (with the end token, if it came to it), its text, and how it ended: "stop" or "length".

    `logprobs` are those that it was drawn with, where the backend tells them.
    """

    tokens: list[int]
    text: str
    finish: str
    logprobs: list[float] | None = None


class Call(msgspec.Struct, frozen=True):
    """One question of one turn: prompt tokens, and the answers drawn; the first went on in the dialogue."""

    prompt: list[int]
    answers: list[Said]


class State(msgspec.Struct, frozen=True):
    """What the recommender was asked in, and the candidates in the order shown, and as retrieved."""

    conversation: Conversation
    shown: tuple[Item, ...]
    found: tuple[Item, ...]


class Generate(Protocol):
    """Answers for prompts of token ids: one seed and one limit each. `temperature` 0 is greedy."""

    def __call__(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], limits: Sequence[int], temperature: float
    ) -> list[Said]: ...


class EngineGenerate:
    """By the evaluation's own engine, with the weights as they are now: what a row says depends on its seed alone."""

    def __init__(self, model: Callable[[], Any], tokenizer: Any, *, rows: int = 128, tokens: int = 262_144) -> None:
        """`model()` is the model now; `rows` and `tokens` are generated at the same time, at most (memory)."""
        self._model, self._tokenizer, self._rows, self._tokens = model, tokenizer, rows, tokens

    def __call__(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], limits: Sequence[int], temperature: float
    ) -> list[Said]:
        import torch

        from harness.llm import hf_sampling
        from harness.llm.hf_engine import Engine, Row
        from harness.llm.hf_load import HfOptions, Loaded, _end_tokens

        model = self._model()
        device = model.get_input_embeddings().weight.device
        loaded = Loaded(
            model=model,
            tokenizer=self._tokenizer,
            device=device,
            exact=False,
            end_tokens=_end_tokens(model, self._tokenizer),
            context=None,
            arguments=_arguments(model),
        )
        options = HfOptions(exact=False, max_batch=self._rows, max_batch_tokens=self._tokens)
        rows = [
            Row(list(prompt), limit, (), hf_sampling.rule(temperature, 1.0, seed, device))
            for prompt, seed, limit in zip(prompts, seeds, limits, strict=True)
        ]
        waiting = list(rows)
        with _evaluating(model), torch.inference_mode(), _numbers():
            engine = Engine(loaded, Prompter("policy", self._tokenizer, None), options)
            while waiting or engine.rows:
                room = engine.room(waiting) if waiting else 0
                if room:
                    engine.admit(waiting[:room])
                    del waiting[:room]
                else:
                    engine.step()
        return [Said(row.said, row.text or "", row.finish or "length") for row in rows]


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """No dropout and no gradient checkpointing (which has no cache) while the model generates."""
    training, checkpointing = model.training, _checkpoints(model)
    model.eval()
    if checkpointing:
        model.gradient_checkpointing_disable()
    try:
        yield
    finally:
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.train(training)


@contextlib.contextmanager
def _numbers() -> Iterator[None]:
    """The engine's refusal to choose among logits that are no numbers, told as a training that diverged."""
    try:
        yield
    except LlmError as error:
        raise NotFinite(f"the policy can't be generated with, {error}") from error


def _checkpoints(model: Any) -> bool:
    # transformers renames the attribute in version 6.
    new = getattr(model, "is_activation_checkpointing", None)
    return bool(getattr(model, "is_gradient_checkpointing", False) if new is None else new)


def _arguments(model: Any) -> frozenset[str]:
    import inspect

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return frozenset(inspect.signature(type(inner).forward).parameters)


class ServerGenerate:
    """By a vLLM server (`trl vllm-serve`, whose weights TRL keeps up to date). Log-probabilities come with the answers."""

    def __init__(self, client: Any, tokenizer: Any) -> None:
        """`client` is a `trl.generation.vllm_client.VLLMClient`."""
        self._client, self._tokenizer = client, tokenizer

    def __call__(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], limits: Sequence[int], temperature: float
    ) -> list[Said]:
        answer = self._client.generate(
            prompts=[list(prompt) for prompt in prompts],
            temperature=temperature,
            max_tokens=max(limits),
            logprobs=0,
            generation_kwargs={"seed": seeds[0] % 2**31},
        )
        end = self._tokenizer.eos_token_id
        said = []
        for tokens, told in zip(answer["completion_ids"], answer["logprobs"], strict=True):
            closed = bool(tokens) and tokens[-1] == end
            text = self._tokenizer.decode(tokens[:-1] if closed else tokens, skip_special_tokens=True)
            said.append(Said(list(tokens), text, "stop" if closed else "length", [float(t[0]) for t in told]))
        return said


class Recorder:
    """The `ChatModel` that a `Player` asks. `answers` > 1 draws more than the one that goes on."""

    name = "policy"

    def __init__(self, generate: Generate, tokenizer: Any, *, temperature: float = 1.0, answers: int = 1) -> None:
        self.calls: dict[Key, Call] = {}
        self.failure: Exception | None = None
        self._generate, self._prompter = generate, Prompter("policy", tokenizer, None)
        self._temperature, self._answers = temperature, answers
        self._gatherings: PerLoop[_Gathering] = PerLoop(lambda: _Gathering(self._answer))

    async def chat(self, request: ChatRequest) -> Completion:
        """The first answer; all are kept under the call's dialogue and turn."""
        key = _CURRENT.get()
        prompt = self._prompter.prompt(request.messages)
        try:
            said = await self._gatherings.get().ask((key, prompt, request.max_tokens))
        except Exception as error:
            # Whatever generating raises would count as the recommender's fault. It is the training's: this ends the rollout.
            self.failure = error
            raise LlmError(f"the policy can't be generated with: {error}") from error
        self.calls[key] = Call(prompt, said)
        first = said[0]
        usage = Usage(calls=1, prompt_tokens=len(prompt), completion_tokens=len(first.tokens))
        return Completion(first.text, first.finish, usage)

    def _answer(self, questions: Sequence[tuple[Key, list[int], int]]) -> list[list[Said]]:
        prompts, seeds, limits = [], [], []
        for (seed, turn), prompt, limit in questions:
            for number in range(self._answers):
                prompts.append(prompt)
                seeds.append(derive_seed(seed, str(turn), number, "policy"))
                limits.append(limit)
        said = self._generate(prompts, seeds, limits, self._temperature)
        return [said[n : n + self._answers] for n in range(0, len(said), self._answers)]

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        """Not offered: a policy is asked for lists."""
        raise LlmError("the policy under training gives no scores")

    def revision(self) -> dict[str, Any]:
        """Nothing: a rollout has no fingerprint."""
        return {}

    async def close(self) -> None:
        """Nothing is open."""


class _Gathering:
    """Collects the questions of one event loop until all that is ready has asked, then has them answered in a thread."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._waiting: list[tuple[Any, asyncio.Future[list[Said]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Any) -> list[Said]:
        future: asyncio.Future[list[Said]] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        while self._waiting:
            seen, quiet = 0, _QUIET
            while quiet:
                quiet = _QUIET if len(self._waiting) > seen else quiet - 1
                seen = len(self._waiting)
                await asyncio.sleep(0)
            # By dialogue, not by arrival: the same questions make the same batch.
            batch = sorted(self._waiting, key=lambda each: each[0][0])
            self._waiting = []
            try:
                answers = await asyncio.to_thread(self._answer, [question for question, _ in batch])
            except BaseException as error:
                self._task = None
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error if isinstance(error, Exception) else RuntimeError(str(error)))
                raise
            for (_, future), said in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(said)
        self._task = None


class Player(Smtpo):
    """The recommender, with what it was asked in and shown kept per dialogue and turn; `recorder` is its language model."""

    def __init__(
        self,
        options: Options,
        how: Prompting,
        retriever: Any,
        recorder: Recorder,
        catalogue: Catalogue,
        reader: Reader | None = None,
    ) -> None:
        self._options, self.how = options, how
        self._ready(retriever, recorder, catalogue, reader)
        self.recorder = recorder
        self.states: dict[Key, State] = {}

    def play(
        self, environment: Environment, scenarios: Sequence[Scenario], **how: Any
    ) -> dict[tuple[str, int], DialogueRecord]:
        """As `environment.play`; what was kept of earlier dialogues goes. Raises what generating has raised."""
        self.recorder.calls.clear()
        self.states.clear()
        try:
            return environment.play(self, scenarios, **how)
        except LlmError:
            if self.recorder.failure is not None:
                raise self.recorder.failure from None
            raise

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        token = _CURRENT.set((conversation.seed, conversation.turn))
        try:
            return await super().recommend(conversation, k)
        finally:
            _CURRENT.reset(token)

    def shown(self, conversation: Conversation, found: Sequence[Item]) -> list[Item]:
        shown = super().shown(conversation, found)
        self.states[conversation.seed, conversation.turn] = State(conversation, tuple(shown), tuple(found))
        return shown
