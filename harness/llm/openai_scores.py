"""Log-probabilities of given answers from an OpenAI-compatible server.

One-token answers ("Yes", "No") are read from the distribution of the first token, which most servers give with a chat
completion (`logprobs`, `top_logprobs`). For longer ones the prompt's own tokens must be scored: `echo` of the completions
endpoint, with the prompt as tokens from `/tokenize`, which applies the model's chat template (vLLM). Other servers can't do
it, and say so here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.api import Usage
from harness.errors import LlmError, RefusedError, TransportError
from harness.llm import openai_answers as answers
from harness.llm.api import ChatMessage, Scores

if TYPE_CHECKING:
    from harness.llm.openai_backend import OpenAiModel

TOP = 20
"""As many as OpenAI gives."""


async def score(model: OpenAiModel, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> Scores:
    """One value per continuation. One that is not among the server's first tokens gets the largest value it can have.

    Raises LlmError where the server gives no log-probabilities, or none of answers of several tokens.
    """
    top, usage = await _first_tokens(model, messages)
    if top is not None:
        values = [_one_token(text, top) for text in continuations]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            return Scores(known, usage)
    long = [text for text in continuations if top is None or _one_token(text, top) is None]
    return await _echoed(model, messages, continuations, long, usage)


async def _first_tokens(model: OpenAiModel, messages: Sequence[ChatMessage]) -> tuple[dict[str, float] | None, Usage]:
    """The likeliest first tokens of an answer, None if the server doesn't tell."""
    body = model.probe(messages, top=TOP)
    try:
        told = await model.post("/chat/completions", body)
    except answers.BadRequest as error:
        if error.field in (None, "logprobs", "top_logprobs") or "logprob" in error.said:
            return None, Usage()
        raise
    usage = answers.usage_of(told)
    try:
        entries = told["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        top: dict[str, float] = {}
        for entry in entries:
            value = float(entry["logprob"])
            # Two tokens may have one text; -inf and the -9999 of some servers stand for "not counted".
            top[entry["token"]] = max(top.get(entry["token"], -math.inf), value)
        return (top or None), usage
    except (KeyError, IndexError, TypeError, ValueError):
        return None, usage


def _one_token(text: str, top: dict[str, float]) -> float | None:
    """The value of a token that is the text, or a bound if no token begins it. None: it has several tokens."""
    exact = [value for token, value in top.items() if token == text]
    if not exact:  # the first token of an answer may carry the blank before it
        exact = [value for token, value in top.items() if token.strip() == text.strip() != ""]
    if exact:
        return max(exact)
    if any(token.strip() and text.strip().startswith(token.strip()) for token in top):
        return None
    rest = 1.0 - sum(math.exp(value) for value in top.values())
    return min(min(top.values()), math.log(rest) if rest > 0 else -math.inf)


async def _echoed(
    model: OpenAiModel, messages: Sequence[ChatMessage], continuations: Sequence[str], long: Sequence[str], usage: Usage
) -> Scores:
    names = ", ".join(repr(text) for text in long[:3])
    try:
        prompt = await _tokens(model, {"messages": [_plain(m) for m in messages], "add_generation_prompt": True})
        tails = [await _tokens(model, {"prompt": text, "add_special_tokens": False}) for text in continuations]
        whole = [prompt + tail for tail in tails]
        body = {"model": model.model, "prompt": whole, "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0.0}
        told = await model.post("/completions", body)
    except (LlmError, RefusedError) as error:
        raise LlmError(
            f"{model.client.address} gives no log-probabilities of {names} ({error}): answers of several tokens need"
            " a server with /tokenize and echo (vLLM), or the hf backend"
        ) from None
    try:
        rows = sorted(told["choices"], key=lambda choice: choice["index"])
        values = []
        for row, tail in zip(rows, tails, strict=True):
            found = row["logprobs"]["token_logprobs"][len(prompt) : len(prompt) + len(tail)]
            if len(found) != len(tail):
                raise ValueError("too few log-probabilities")
            values.append(math.fsum(map(float, found)))
    except (KeyError, IndexError, TypeError, ValueError):
        raise LlmError(f"{model.client.address} gives no log-probabilities of {names}: it doesn't echo the prompt's") from None
    return Scores(values, usage + answers.usage_of(told))


async def _tokens(model: OpenAiModel, body: dict[str, Any]) -> list[int]:
    told = await model.post(model.client.address.removesuffix("/v1") + "/tokenize", {"model": model.model, **body})
    tokens = told.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise TransportError(f"{model.client.address}: /tokenize gave no list of tokens")
    return tokens


def _plain(message: ChatMessage) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
