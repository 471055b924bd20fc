"""What came back from an OpenAI-compatible server -> an answer, or an error that blames the right one.

Transport (try again): 408, 409, 425, 429, 5xx, a body that is cut off or isn't the JSON of an answer. The role that asked: no
choices, content filter, refusal, no text, a prompt longer than the model's context. The user, at once: everything else.
"""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.api import Usage
from harness.errors import LlmError, RefusedError, TransportError
from harness.llm.api import Completion
from harness.llm.limits import TooManyRequests
from harness.llm.redact import redact

_AGAIN = frozenset({408, 409, 425})
_FILTERED = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "exceed_context_size", "too many tokens")
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "credit balance", "insufficient balance")


class BadRequest(LlmError):
    """HTTP 400 or 422. `field` is the request field that the server named, if any."""

    def __init__(self, message: str, *, field: str | None, said: str) -> None:
        super().__init__(message)
        self.field = field
        self.said = said


def read(content: bytes, kind: str, server: str) -> dict[str, Any]:
    """The JSON object of a 200 answer. `kind` is its content type."""
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _leniently(content)
    if isinstance(body, dict):
        if isinstance(body.get("error"), dict) and "choices" not in body:
            raise error_in(body, server)
        return body
    if "html" in kind:
        raise LlmError(f"{server} answered with a web page: is base_url right? It goes up to /v1")
    raise TransportError(f"{server} sent a body that isn't the JSON of an answer: {redact(_start(content))}")


def completion(body: Mapping[str, Any], server: str) -> Completion:
    """The answer in a chat completion. Raises RefusedError where there is nothing usable in it."""
    usage = usage_of(body)
    choices = body.get("choices")
    if not choices and ("choices" in body or "id" in body):
        raise RefusedError("the answer has no choices", usage=usage)
    try:
        choice = choices[0]  # type: ignore[index]
        message = choice.get("message") or {}
        text = _text(message.get("content"))
        finish = choice.get("finish_reason") or "stop"
        refusal = message.get("refusal")
    except (TypeError, AttributeError, KeyError):
        raise TransportError(f"{server} sent JSON that isn't a chat completion: {redact(_start(body))}") from None
    if finish == "content_filter":
        raise RefusedError("the content filter blocked the answer", usage=usage)
    if refusal and not text:
        raise RefusedError(f"the model refused: {redact(str(refusal))[:300]}", usage=usage)
    if not text.strip():
        if finish == "length":
            raise RefusedError("no text within the limit of tokens (reasoning counts too: max_tokens=...)", usage=usage)
        raise RefusedError("the answer has no text", usage=usage)
    return Completion(text, str(finish), usage)


def usage_of(body: Mapping[str, Any]) -> Usage:
    """One call and the tokens that the server reports, 0 where it doesn't."""
    told = body.get("usage")
    if not isinstance(told, dict):
        return Usage(calls=1)
    return Usage(1, _count(told.get("prompt_tokens")), _count(told.get("completion_tokens")))


def error_of(
    status: int, content: bytes, headers: Mapping[str, str], server: str, key_env: str = "OPENAI_API_KEY"
) -> Exception:
    """The error that a status other than 200 means."""
    body: Any = _leniently(content)
    told = body.get("error", body) if isinstance(body, dict) else None
    code, field = None, None
    if isinstance(told, dict):
        message, code, field = told.get("message") or told.get("detail"), told.get("code"), told.get("param")
    else:
        message = told or (body.get("message") or body.get("detail") if isinstance(body, dict) else None)
    # A page of HTML says less than its status.
    shown = "" if message is None and _start(content).startswith("<") else str(message or _start(content))
    said = redact(" ".join(shown.split()))[:500]
    about = f"{server} answered {status}" + (f": {said}" if said else "")
    known = f"{code} {said}".lower()
    if status == 429:
        if any(word in known for word in _NO_MONEY):
            return LlmError(f"{about}; the account has nothing left to spend")
        return TooManyRequests(about, retry_after=retry_after(headers))
    if status >= 500 or status in _AGAIN:
        return TransportError(about, retry_after=retry_after(headers))
    if status == 401:
        return LlmError(f"{about}; no valid key: set the environment variable {key_env}, or key_env=NAME of another")
    if status == 403:
        return LlmError(f"{about}; the key in {key_env} may not use this model")
    if status == 404:
        return LlmError(f"{about}; check the model's name and base_url (most servers want .../v1)")
    if status in (400, 413, 422):
        if any(word in known for word in _FILTERED):
            return RefusedError(f"the content filter blocked the prompt: {said}")
        if status == 413 or any(word in known for word in _TOO_LONG):
            return RefusedError(f"the prompt is too long for the model: {said}")
        name = field if isinstance(field, str) else None
        hint = f"; omit={name} leaves it away" if name in ("temperature", "top_p", "seed", "stop") else ""
        return BadRequest(f"{about}{hint}", field=name, said=known)
    return LlmError(f"{about}; is base_url right?")


def error_in(body: Mapping[str, Any], server: str) -> Exception:
    """Some gateways send their upstream's failure with status 200 and the real status inside."""
    told = body["error"]
    code = told.get("code") or told.get("status")
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else 502
    return error_of(status if 400 <= status < 600 else 502, msgspec.json.encode(body), {}, server)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After, given as seconds or as an HTTP date (RFC 9110, 10.2.3), or of OpenAI's retry-after-ms."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _text(content: Any) -> str:
    if isinstance(content, list):  # some servers send parts
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError("content must be text")
    return content


def _leniently(content: bytes) -> Any:
    """What the standard library can read: half surrogate pairs too, which become question marks. None if it can't."""
    try:
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return json.loads(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _start(content: Any) -> str:
    raw = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return " ".join(raw[:200].decode("utf-8", "replace").split())
