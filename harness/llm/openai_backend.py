"""Any OpenAI-compatible server, through the `openai` package: OpenAI, vLLM, SGLang, Ollama, llama.cpp and the like.

The package's own retries are off (the layer above does them) and so are its typed answers, which cost more CPU than all the
rest of a call: the body is decoded here.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import openai

from harness.errors import LlmError, RefusedError, TransportError, described
from harness.llm import openai_answers as answers
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion
from harness.llm.layers import Layers
from harness.llm.loops import PerLoop
from harness.llm.openai_options import Options, address_of, is_loopback, is_official, key_for
from harness.llm.openai_scores import score
from harness.llm.redact import redact

__all__ = ["OpenAiModel", "Options", "connect"]

_log = logging.getLogger("harness.llm")
CONNECT_SECONDS = 10.0


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


class Clients:
    """One client, with one pool of connections, per process, loop and server (and key)."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str, str | None], Client] = {}

    def of(self, address: str, key: str, options: Options) -> Client:
        """The client of a server; nothing is opened yet."""
        identity = (address, key, options.organization)
        if identity not in self._clients:
            self._clients[identity] = Client(address, key, options.organization)
        return self._clients[identity]


class Client:
    """Sends JSON to one server and gives status, headers and bytes back."""

    def __init__(self, address: str, key: str, organization: str | None) -> None:
        self.address = address
        self._key, self._organization = key, organization
        self._opened: PerLoop[openai.AsyncOpenAI] = PerLoop(self._open)
        # The package is built on httpx, since version 3 on httpx2: the parent of its own client tells which.
        parent = next(kind for kind in openai.DefaultAsyncHttpxClient.__mro__ if kind.__name__ == "AsyncClient")
        self._http: Any = importlib.import_module(parent.__module__.partition(".")[0])

    def _open(self) -> openai.AsyncOpenAI:
        # The gate limits what is in flight; a pool with a limit of its own would let requests time out while they queue.
        pool = self._http.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
        http_client = openai.DefaultAsyncHttpxClient(
            limits=pool,
            timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
            trust_env=not is_loopback(self.address),  # a proxy can't reach this machine's own servers
        )
        return openai.AsyncOpenAI(
            api_key=self._key,
            organization=self._organization,
            base_url=self.address,
            max_retries=0,
            timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
            http_client=http_client,
        )

    async def post(self, path: str, body: dict[str, Any], seconds: float, *, key_env: str) -> dict[str, Any]:
        """The JSON object of the answer; `path` is below the address, or a whole address."""
        server = self.address
        try:
            async with asyncio.timeout(seconds):
                response = await self._opened.get().post(path, cast_to=self._http.Response, body=body)
        except openai.APIStatusError as error:
            raw = error.response
            raise answers.error_of(raw.status_code, raw.content, raw.headers, server, key_env) from None
        except (TimeoutError, openai.APITimeoutError) as error:
            raise TransportError(f"{server} gave no answer within {seconds:g} s") from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            why = f"{type(cause).__name__} {redact(described(cause, 200))}"
            raise TransportError(f"the connection to {server} failed: {why}") from error
        except openai.OpenAIError as error:
            raise LlmError(f"{server}: {redact(described(error, 500))}") from error
        return answers.read(response.content, response.headers.get("content-type", ""), server)

    async def close(self) -> None:
        """Close this loop's connections; they are opened again when they are needed again."""
        client = self._opened.take()
        if client is not None:
            await client.close()


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
        body = await self._send(request)
        answer = answers.completion(body, self.client.address)
        return answer if "stop" not in self.options.omit else _cut(answer, request.stop)

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        return await score(self, messages, continuations)

    def revision(self) -> dict[str, Any]:
        """The options that can change an answer, where they aren't the default."""
        told: dict[str, Any] = {"backend": "openai", "model": self.model}
        for name in ("temperature", "top_p", "max_tokens", "omit", "extra_body"):
            value = getattr(self.options, name)
            if value not in (None, (), {}):
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
