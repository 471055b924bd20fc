"""Any OpenAI-compatible server: OpenAI, vLLM, SGLang, Ollama, llama.cpp and the like."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from harness.errors import LlmError, RefusedError
from harness.llm import openai_answers as answers
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion
from harness.llm.layers import Layers
from harness.llm.openai_client import Client, Clients
from harness.llm.openai_options import Options, address_of, is_official, key_for
from harness.llm.openai_scores import score
from harness.llm.redact import redact

__all__ = ["OpenAiModel", "Options", "connect"]

_PATTERN_FIELDS: Mapping[str, Callable[[str], dict[str, Any]]] = MappingProxyType(
    {
        "vllm": lambda pattern: {"structured_outputs": {"regex": pattern}},
        "vllm-guided": lambda pattern: {"guided_regex": pattern},
        "sglang": lambda pattern: {"regex": pattern},
    }
)
"""How servers take a regular expression that an answer must match: OpenAI's API has no field for one."""

_log = logging.getLogger("harness.llm")


def connect(model: str, options: Options, layers: Layers) -> ChatModel:
    """The model with its layers. Raises LlmError without a key where one is needed."""
    address = address_of(options)
    clients = layers.shared.setdefault("openai", Clients())
    backend = OpenAiModel(model, options, clients.of(address, key_for(options, address), options))
    return layers.wrap(
        backend,
        address=address,
        retries=options.max_retries,
        key_names=(options.key_env,),
        adapt=lambda request: adapted(request, options),
    )


def adapted(request: ChatRequest, options: Options) -> ChatRequest:
    """The request with what the user said in the component's place."""
    said = {name: getattr(options, name) for name in ("temperature", "top_p", "max_tokens")}
    changes = {name: value for name, value in said.items() if value is not None}
    return msgspec.structs.replace(request, **changes) if changes else request


class OpenAiModel:
    """One model of a server. One try per call: retries are the layer's above."""

    def __init__(self, model: str, options: Options, client: Client) -> None:
        self.model, self.options, self.client = model, options, client
        self.name = f"openai:{model}"
        self._limit_field = options.limit_field
        if self._limit_field == "auto":
            self._limit_field = "max_completion_tokens" if is_official(client.address) else "max_tokens"
        self._schemas = "response_format" not in options.omit

    async def chat(self, request: ChatRequest) -> Completion:
        if request.pattern is not None and self.options.structured == "none":
            raise LlmError(
                f"{self.name}: the component wants answers that match a pattern; name the kind of server, structured=vllm or"
                " structured=sglang, or switch it off in the component (--rec-opt constrained=false, say)"
            )
        body = await self._send(request)
        answer = answers.completion(body, self.client.address)
        if request.pattern is not None:
            self._check(answer, request)
        return answer if "stop" not in self.options.omit else _cut(answer, request.stop)

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        return await score(self, messages, continuations)

    def revision(self) -> dict[str, Any]:
        """The options that can change an answer, where they aren't the default."""
        told: dict[str, Any] = {"backend": "openai", "model": self.model}
        for name in ("temperature", "top_p", "max_tokens", "omit", "structured", "extra_body"):
            value = getattr(self.options, name)
            if value not in (None, (), {}, "none"):
                told[name] = list(value) if isinstance(value, tuple) else value
        return told

    async def close(self) -> None:
        await self.client.close()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One request to this model's server."""
        options = self.options
        return await self.client.post(path, {**body, **options.extra_body}, options.timeout, key_env=options.key_env)

    def probe(self, messages: Sequence[ChatMessage], *, top: int) -> dict[str, Any]:
        """The body that asks for the distribution of an answer's first token."""
        body = self._body(ChatRequest(tuple(messages), max_tokens=1), schemas=False, field=self._limit_field)
        return {**body, "logprobs": True, "top_logprobs": top}

    def _check(self, answer: Completion, request: ChatRequest) -> None:
        """Servers that don't know a field ignore it, most of them silently. Raises LlmError for an answer that shows that."""
        whole = answer.finish == "stop" and not request.stop
        if whole and re.fullmatch(request.pattern or "", answer.text) is None:
            raise LlmError(
                f"{self.name}: the answer doesn't match the pattern that was asked for with"
                f" structured={self.options.structured}: is it that kind and version of server?"
            )

    async def _send(self, request: ChatRequest) -> dict[str, Any]:
        """Ask; learn once what this server doesn't take, and remember it."""
        schemas, field = self._schemas and request.schema is not None, self._limit_field
        try:
            return await self.post("/chat/completions", self._body(request, schemas=schemas, field=field))
        except answers.BadRequest as error:
            if field == "max_tokens" and self.options.limit_field == "auto" and "max_completion_tokens" in error.said:
                self._limit_field = "max_completion_tokens"
                return await self._send(request)
            if not schemas:
                raise
            first = error
        # Servers name this field in many ways, or not at all: whether it was to blame shows without it.
        try:
            body = await self.post("/chat/completions", self._body(request, schemas=False, field=field))
        except (LlmError, RefusedError):
            raise first from None
        if self._schemas:
            self._schemas = False
            _log.warning("%s does not take a JSON schema (%s); asked without from now on", self.name, redact(first.said[:200]))
        return body

    def _body(self, request: ChatRequest, *, schemas: bool, field: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed % 2**31,  # what the narrowest of the servers takes
            field: request.max_tokens,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.pattern is not None:
            body |= _PATTERN_FIELDS[self.options.structured](request.pattern)
        if schemas:
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        for name in self.options.omit:
            body.pop(field if name == "max_tokens" else name, None)
        return body


def _cut(answer: Completion, stops: Sequence[str]) -> Completion:
    """The text before the first stop string, for servers that were not told of it."""
    ends = [position for stop in stops if (position := answer.text.find(stop)) >= 0]
    return msgspec.structs.replace(answer, text=answer.text[: min(ends)], finish="stop") if ends else answer
