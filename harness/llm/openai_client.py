"""Connections to OpenAI-compatible servers, through the `openai` package.

The package retries nothing (a layer does) and types no answer, which would cost more CPU than all the rest of a call.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from typing import Any

import openai

from harness.errors import LlmError, TransportError, described
from harness.llm import openai_answers as answers
from harness.llm.loops import PerLoop
from harness.llm.openai_options import Options, is_loopback
from harness.llm.redact import redact
from harness.llm.retry import Unreachable

CONNECT_SECONDS = 10.0
POOL = 32
"""Connections per pool. The package's pool looks at each of its connections twice per request: one large pool is quadratic."""


class Clients:
    """One client per process and server (and key)."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str, str | None], Client] = {}

    def of(self, address: str, key: str, options: Options) -> Client:
        """The client of a server; nothing is opened yet."""
        identity = (address, key, options.organization)
        if identity not in self._clients:
            self._clients[identity] = Client(address, key, options.organization)
        return self._clients[identity]


class Client:
    """Sends JSON to one server and gives the JSON object of its answer back, or raises the error that blames the right one."""

    def __init__(self, address: str, key: str, organization: str | None) -> None:
        self.address = address
        self._key, self._organization = key, organization
        self._pools: PerLoop[list[_Pool]] = PerLoop(list)
        self._reached = False
        # The package is built on httpx, since version 3 on httpx2: the parent of its own client tells which.
        parent = next(kind for kind in openai.DefaultAsyncHttpxClient.__mro__ if kind.__name__ == "AsyncClient")
        self._http: Any = importlib.import_module(parent.__module__.partition(".")[0])

    async def post(self, path: str, body: dict[str, Any], seconds: float, *, key_env: str) -> dict[str, Any]:
        """`path` is below the address, or a whole address; `seconds` is the limit for everything."""
        server, pool = self.address, self._free()
        pool.busy += 1
        try:
            async with asyncio.timeout(seconds):
                response = await pool.client.post(path, cast_to=self._http.Response, body=body)
        except openai.APIStatusError as error:
            self._reached = True
            raw = error.response
            raise answers.error_of(raw.status_code, raw.content, raw.headers, server, key_env) from None
        except (TimeoutError, openai.APITimeoutError) as error:
            raise TransportError(f"{server} gave no answer within {seconds:g} s") from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            why = f"{type(cause).__name__} {redact(described(cause, 200))}"
            if not self._reached and isinstance(cause, self._http.ConnectError):
                raise Unreachable(f"{server} can't be reached: {why}") from error
            raise TransportError(f"the connection to {server} failed: {why}") from error
        except openai.OpenAIError as error:
            raise LlmError(f"{server}: {redact(described(error, 500))}") from error
        finally:
            pool.busy -= 1
        self._reached = True
        return answers.read(response.content, response.headers.get("content-type", ""), server)

    async def close(self) -> None:
        """Close this loop's connections; they are opened again when they are needed again."""
        for pool in self._pools.take() or ():
            await pool.client.close()

    def _free(self) -> _Pool:
        pools = self._pools.get()
        free = next((pool for pool in pools if pool.busy < POOL), None)
        if free is None:
            free = _Pool(self._open())
            pools.append(free)
        return free

    def _open(self) -> openai.AsyncOpenAI:
        # The gate limits what is in flight; a pool with a limit of its own would let requests time out while they queue.
        limits = self._http.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
        timeout = openai.Timeout(None, connect=CONNECT_SECONDS)
        http_client = openai.DefaultAsyncHttpxClient(
            limits=limits,
            timeout=timeout,
            verify=self._certificates,
            trust_env=not is_loopback(self.address),  # a proxy can't reach this machine's own servers
        )
        return openai.AsyncOpenAI(
            api_key=self._key,
            organization=self._organization,
            base_url=self.address,
            max_retries=0,
            timeout=timeout,
            http_client=http_client,
        )

    @functools.cached_property
    def _certificates(self) -> Any:
        """Read once: that takes longer than many calls."""
        return self._http.create_ssl_context()


class _Pool:
    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.client = client
        self.busy = 0
