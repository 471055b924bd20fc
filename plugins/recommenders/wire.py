"""JSON over HTTP to one recommender's server, with every way in which that fails blamed on the right one.

Transport (tried again by the harness): no connection, no answer in time, 408, 425, 429, 5xx. The recommender: another 4xx, a
redirect, an answer that is too long or compressed. The user, at once: 401, 403, 404.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from harness.errors import ComponentFault, LlmError, TransportError, UsageError, described
from harness.llm.loops import PerLoop
from harness.llm.metering import remaining
from harness.llm.openai_answers import retry_after
from harness.llm.openai_options import is_loopback
from harness.llm.redact import redact, secrets, without

MAX_BYTES: Final = 4 * 2**20
"""An answer that is longer is malformed."""
_CONNECT_SECONDS: Final = 10.0
_AGAIN: Final = frozenset((408, 425, 429))
_SHOWN: Final = 200


class Wire:
    """One client, whose connections are as many as calls are in flight, and one address."""

    def __init__(self, url: str, *, timeout: float, header_env: Sequence[str], key_env: str = "") -> None:
        """Raises UsageError for an address or a header that can't be used."""
        self.url = _address(url)
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        names = []
        for pair in header_env:
            header, equals, name = pair.partition("=")
            if not equals or not header.strip() or not name.strip():
                raise UsageError(f"header_env={pair}: write it as HEADER=NAME, NAME being an environment variable")
            self._headers[header.strip()] = _from_environment(name.strip())
            names.append(name.strip())
        if key_env:
            self._headers["Authorization"] = f"Bearer {_from_environment(key_env)}"
            names.append(key_env)
        self._hidden = secrets(names)
        self._http = _http_library()
        self._clients: PerLoop[Any] = PerLoop(self._open)

    def _open(self) -> Any:
        """A client whose time limit and concurrency are the harness's own affair."""
        unlimited = self._http.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
        return self._http.AsyncClient(
            limits=unlimited,
            timeout=self._http.Timeout(None, connect=_CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=not is_loopback(self.url),  # a proxy can't reach this machine's own servers
        )

    async def post(self, body: bytes, path: str = "") -> bytes:
        """The body of the answer to a POST, without the values of keys that it may repeat. Raises as the module says."""
        limit = min(self._timeout, remaining())
        try:
            async with asyncio.timeout(limit):
                content = await self._send(body, path)
        except TimeoutError as error:
            # Where the call's own time is over, another try would have none.
            raise TransportError(f"{self._named} gave no answer within {limit:.3g} s", final=limit < self._timeout) from error
        except self._http.InvalidURL as error:
            raise LlmError(f"http recommender: {redact(described(error))}") from error
        except self._http.HTTPError as error:
            why = f"{type(error).__name__} {redact(described(error, _SHOWN))}".strip()
            raise TransportError(f"the connection to {self._named} failed: {why}") from error
        if not any(value.encode() in content for value in self._hidden):
            return content
        text = content.decode("utf-8", "surrogateescape")
        return without(text, self._hidden).encode("utf-8", "surrogateescape")

    @property
    def _named(self) -> str:
        return redact(self.url)

    async def _send(self, body: bytes, path: str) -> bytes:
        request = self._clients.get().stream("POST", self.url + path, content=body, headers=self._headers)
        async with request as response:
            coding = response.headers.get("content-encoding", "identity").strip().lower()
            if coding != "identity":
                raise _malformed(f"{self._named} compressed its answer ({coding[:40]}), which was not asked for")
            content = bytearray()
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > MAX_BYTES:
                    raise _malformed(f"{self._named} sent more than {MAX_BYTES:,} bytes")
            if response.status_code != 200:
                raise self._error(response.status_code, response.headers, bytes(content))
            return bytes(content)

    def _error(self, status: int, headers: Any, content: bytes) -> Exception:
        said = " ".join(without(content[:_SHOWN].decode("utf-8", "replace"), self._hidden).split())
        about = redact(f"{self.url} answered {status}" + ("" if not said or said.startswith("<") else f": {said}"))
        if status in _AGAIN or status >= 500:
            return TransportError(about, retry_after=retry_after(headers))
        if status in (401, 403):
            return LlmError(f"{about}; give it a key: header_env=HEADER=NAME or key_env=NAME, NAME an environment variable")
        if status == 404:
            return LlmError(f"{about}; check the option url")
        if 300 <= status < 400:
            return _malformed(f"{about}; redirects are not followed: give the final address as url")
        return ComponentFault("exception", about)

    async def close(self) -> None:
        """Close this loop's connections; they are opened again when they are needed again."""
        client = self._clients.take()
        if client is not None:
            await client.aclose()


def _malformed(message: str) -> ComponentFault:
    return ComponentFault("malformed", message)


def _address(url: str) -> str:
    """Without a slash at the end. Raises UsageError for one that can't be right."""
    if not url.strip():
        raise UsageError("recommender http needs the address of its server: --rec-opt url=http://HOST:PORT")
    address = url.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"url: {error}; write it as http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"url={redact(address)}: only http://HOST:PORT and https://... can be asked")
    if redact(address) != address or parts.username or parts.password:
        raise UsageError("url must hold no name, password or key: they come from the environment (header_env, key_env)")
    if parts.query or parts.fragment:
        raise UsageError(f"url={address}: leave away what begins with ? or #")
    return address


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageError(f"the environment variable {name} is not set; recommender http sends its value as a header")
    if not (value.isascii() and value.isprintable()):
        raise UsageError(
            f"the environment variable {name} holds what can't be sent as a header (line breaks, foreign characters)"
        )
    return value


def _http_library() -> Any:
    """The HTTP client that the package openai brings: httpx, under its newer name since version 3."""
    try:
        return importlib.import_module("httpx2")
    except ImportError:
        return importlib.import_module("httpx")
