"""The fake model of the test server: every answer is a function of the request. A token is a word."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


class FakeModel:
    """Chat, completions with echo, embeddings, tokenisation."""

    def __init__(self, reply: Callable[[dict[str, Any]], str] | None, logprobs: Mapping[str, float] | None) -> None:
        self.reply = reply or _digest
        self.logprobs = dict(logprobs or {"Yes": math.log(0.7), "No": math.log(0.2), "Perhaps": math.log(0.1)})

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The body of a 200 answer; None for an unknown path."""
        if path == CHAT:
            return self._chat(body)
        if path == COMPLETIONS:
            return self._completion(body)
        if path == EMBEDDINGS:
            texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
            rows = [{"index": n, "object": "embedding", "embedding": _vector(text)} for n, text in enumerate(texts)]
            return {"object": "list", "model": body["model"], "data": rows, "usage": {"prompt_tokens": len(texts)}}
        if path == "/tokenize":
            found = tokens(body["prompt"]) if "prompt" in body else tokens(rendered(body["messages"]))
            return {"tokens": [token_id(t) for t in found], "count": len(found)}
        return None

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        text = self.reply(body)
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs"):
            best = sorted(self.logprobs.items(), key=lambda pair: -pair[1])[: body.get("top_logprobs", 0)]
            top = [{"token": token, "logprob": value, "bytes": None} for token, value in best]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
            choice["message"]["content"] = text = best[0][0]
        prompt = sum(len(tokens(m["content"])) + 4 for m in body["messages"])
        return {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": _usage(prompt, text)}

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        several = prompt if isinstance(prompt, list) and prompt and isinstance(prompt[0], list) else [prompt]
        choices = [self._completed(number, one, body) for number, one in enumerate(several)]
        count = sum(len(one) for one in several)
        return {"object": "text_completion", "model": body["model"], "choices": choices, "usage": _usage(count, "")}

    def _completed(self, number: int, prompt: str | list[int], body: dict[str, Any]) -> dict[str, Any]:
        """One more token is generated, as servers do that know no max_tokens of 0."""
        ids = [token_id(t) for t in tokens(prompt)] if isinstance(prompt, str) else prompt
        values = [None, *(token_logprob(left, right) for left, right in itertools.pairwise(ids)), -0.5]
        logprobs = {"token_logprobs": values, "tokens": [*map(str, ids), "?"]} if body.get("echo") else None
        return {"index": number, "text": "", "finish_reason": "length", "logprobs": logprobs}


def _usage(prompt: int, text: str) -> dict[str, int]:
    completion = len(tokens(text))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _digest(body: dict[str, Any]) -> str:
    material = msgspec.json.encode([body["messages"], body.get("seed"), body.get("temperature")])
    return "Answer " + hashlib.blake2b(material, digest_size=6).hexdigest()


def tokens(text: str) -> list[str]:
    """The words of a text."""
    return text.split(" ") if text else []


def token_id(token: str) -> int:
    """A word's number."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=4).digest(), "big")


def token_logprob(left: int, right: int) -> float:
    """The fake model's log-probability of token `right` after token `left`."""
    return -0.1 - ((left * 31 + right) % 1000) / 200


def rendered(messages: list[dict[str, str]]) -> str:
    return " ".join(f"<{m['role']}> {m['content']} </{m['role']}>" for m in messages) + " <assistant>"


def _vector(text: str) -> list[float]:
    values = [byte / 255 - 0.5 for byte in hashlib.blake2b(text.encode(), digest_size=16).digest()]
    norm = math.sqrt(sum(v * v for v in values))
    return [v / norm for v in values]
