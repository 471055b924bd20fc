"""A local OpenAI-compatible server with a fake model and faults on order, for tests and benchmarks.

Real sockets, standard library and msgspec only. In a test: `with serving(LlmServer(...)) as server:` (a thread). In a process
of its own: `with server_process(latency=2.0) as remote:`, or `python -m benchmarks.llm_server --port 8000`. What a request gets
is decided by `script` (faults per path, played in order), else by `faults(number, body)`, else it is answered. `GET /stats`
tells what was seen, `POST /script` sets faults from outside, `POST /reset` forgets everything.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Literal

import click
import msgspec

from benchmarks.llm_model import FakeModel


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do instead of answering. `seconds` is how long a hang lasts, or how long a slow body takes."""

    kind: Literal[
        "status", "reset", "drop", "hang", "slow", "truncated", "invalid_json", "not_an_object", "web_page",
        "empty_choices", "content_filter", "refusal", "null_content", "length", "error_body",
    ]  # fmt: skip
    status: int = 500
    retry_after: str | None = None
    seconds: float = 3600.0
    message: str = ""
    code: str | None = None
    param: str | None = None


class Stats(msgspec.Struct):
    """What the server has seen. `peak` is the largest number of requests that were being answered at one time."""

    requests: int = 0
    answered: int = 0
    in_flight: int = 0
    peak: int = 0
    connections: int = 0
    faults: dict[str, int] = {}


class LlmServer:
    """The server and its fake model.

    `reply(body)` gives the text of a chat answer (default: a function of the messages and the seed). `lacks` names request
    fields that the server refuses with 400. `models` and `key` are what it accepts; None accepts anything. `logprobs` is its
    distribution of first tokens.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        reply: Callable[[dict[str, Any]], str] | None = None,
        models: frozenset[str] | None = None,
        key: str | None = None,
        lacks: frozenset[str] = frozenset(),
        logprobs: Mapping[str, float] | None = None,
        faults: Callable[[int, dict[str, Any]], Fault | None] | None = None,
    ) -> None:
        self.latency, self.models, self.key, self.lacks = latency, models, key, lacks
        self.model = FakeModel(reply, logprobs)
        self.faults = faults
        self.script: dict[str, collections.deque[Fault | None]] = {}
        self.stats = Stats()
        self.bodies: list[dict[str, Any]] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. `url` is then the base_url for clients."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, self._connections), host, port, backlog=1024)
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drop()

    def forget(self) -> None:
        """Forget what was seen and scripted; requests in flight stay counted."""
        self.stats = Stats(in_flight=self.stats.in_flight, peak=self.stats.in_flight)
        self.bodies.clear()
        self.script.clear()

    def next_fault(self, path: str, body: dict[str, Any]) -> Fault | None:
        """Scripted faults come first; None in a script is an answer."""
        waiting = self.script.get(path)
        if waiting:
            return waiting.popleft()
        return None if self.faults is None else self.faults(self.stats.requests, body)

    def refusal(self, path: str, body: dict[str, Any], authorization: str) -> Fault | None:
        """What any server refuses: a wrong key, an unknown model, a field that it doesn't know."""
        if self.key is not None and authorization != f"Bearer {self.key}":
            shown = authorization.removeprefix("Bearer ")
            return Fault("status", 401, message=f"Incorrect API key provided: {shown}.", code="invalid_api_key")
        if self.models is not None and body.get("model") not in self.models:
            message = f"The model `{body.get('model')}` does not exist or you do not have access to it."
            return Fault("status", 404, message=message, code="model_not_found")
        for field in sorted(self.lacks & body.keys()):
            hint = " Use 'max_completion_tokens' instead." if field == "max_tokens" else ""
            message = f"Unsupported parameter: '{field}' is not supported with this model.{hint}"
            return Fault("status", 400, message=message, code="unsupported_parameter", param=field)
        return None


class _Connection(asyncio.Protocol):
    """One keep-alive connection. A client that goes away ends the work on its request at once, as real servers do."""

    def __init__(self, server: LlmServer, open_: set[_Connection]) -> None:
        self._server, self._open = server, open_
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._open.add(self)
        self._server.stats.connections += 1
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        if self._task is not None:
            self._task.cancel()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) >= length:
            self._buffer = rest[length:]
            method, path, _ = first.split(" ", 2)
            self._task = asyncio.ensure_future(self._handle(method, path.partition("?")[0], headers, rest[:length]))

    async def _handle(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        server = self._server
        if not path.startswith("/v1/") and path != "/tokenize":
            self._control(path, raw)
            return
        body: dict[str, Any] = msgspec.json.decode(raw) if raw else {}
        stats = server.stats
        stats.requests += 1
        stats.in_flight += 1
        stats.peak = max(stats.peak, stats.in_flight)
        server.bodies.append(body)
        try:
            fault = server.next_fault(path, body) or server.refusal(path, body, headers.get("authorization", ""))
            if fault is not None:
                name = str(fault.status) if fault.kind == "status" else fault.kind
                stats.faults[name] = stats.faults.get(name, 0) + 1
                await self._misbehave(fault, path, body)
                return
            if server.latency:
                await asyncio.sleep(server.latency)
            answer = server.model.answer(path, body)
            if answer is None:
                self._send(404, _error("Not Found", None, None))
                return
            stats.answered += 1
            self._send(200, answer)
        finally:
            server.stats.in_flight -= 1

    async def _misbehave(self, fault: Fault, path: str, body: dict[str, Any]) -> None:
        transport = self._transport
        assert transport is not None
        kind = fault.kind
        if kind == "status":
            extra = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            self._send(fault.status, _error(fault.message or HTTPStatus(fault.status).phrase, fault.code, fault.param), extra)
        elif kind == "reset":
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif kind == "drop":
            transport.close()
        elif kind == "hang":
            await asyncio.sleep(fault.seconds)
            transport.close()
        elif kind in ("slow", "truncated"):
            content = msgspec.json.encode(self._server.model.answer(path, body))
            transport.write(_head(200, len(content)))
            if kind == "truncated":
                transport.write(content[: len(content) // 2])
                transport.close()
                return
            for position in range(len(content)):
                await asyncio.sleep(fault.seconds / len(content))
                transport.write(content[position : position + 1])
        elif kind in ("invalid_json", "not_an_object", "web_page"):
            text = {"invalid_json": '{"choices": [{', "not_an_object": '"hello"', "web_page": "<html>hello</html>"}[kind]
            self._write(200, text.encode(), "text/html" if kind == "web_page" else "application/json")
        elif kind == "error_body":
            self._send(200, _error(fault.message or "upstream failed", fault.code or str(fault.status), None))
        else:
            self._send(200, _unusable(kind, self._server.model.answer(path, body) or {}))

    def _control(self, path: str, raw: bytes) -> None:
        server = self._server
        if path == "/script":
            for name, faults in msgspec.json.decode(raw, type=dict[str, list[Fault | None]]).items():
                server.script[name] = collections.deque(faults)
        elif path == "/reset":
            server.forget()
        elif path != "/stats":
            self._send(404, _error("Not Found", None, None))
            return
        self._send(200, msgspec.to_builtins(server.stats))

    def _send(self, status: int, body: Any, extra: Mapping[str, str] | None = None) -> None:
        self._write(status, msgspec.json.encode(body), "application/json", extra)

    def _write(self, status: int, content: bytes, kind: str, extra: Mapping[str, str] | None = None) -> None:
        if self._transport is not None:
            self._transport.write(_head(status, len(content), kind, extra) + content)


def _head(status: int, length: int, kind: str = "application/json", extra: Mapping[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _error(message: str, code: str | None, param: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _unusable(kind: str, answer: dict[str, Any]) -> dict[str, Any]:
    if kind == "empty_choices":
        return {**answer, "choices": []}
    finish = {"content_filter": "content_filter", "length": "length"}.get(kind, "stop")
    message = {"role": "assistant", "content": None, "refusal": "I can't help with that." if kind == "refusal" else None}
    return {**answer, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


@contextlib.contextmanager
def serving(server: LlmServer) -> Iterator[LlmServer]:
    """Run a server in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="llm-server", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Remote:
    """A server in another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stats(self) -> Stats:
        return self._ask("/stats")

    def reset(self) -> Stats:
        return self._ask("/reset", b"{}")

    def script(self, faults: Mapping[str, list[Fault | None]]) -> Stats:
        return self._ask("/script", msgspec.json.encode(dict(faults)))

    def _ask(self, path: str, data: bytes | None = None) -> Stats:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + path, data, timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=Stats)


@contextlib.contextmanager
def server_process(*, latency: float = 0.0) -> Iterator[Remote]:
    """Run a server in a process of its own, so that its CPU time isn't the client's."""
    command = [sys.executable, "-m", "benchmarks.llm_server", "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Remote(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait(10)


@click.command()
@click.option("--port", default=0, help="0 takes a free one.")
@click.option("--latency", default=0.0, help="Seconds per answer.")
def main(port: int, latency: float) -> None:
    """Serve until interrupted; the first line printed is the base_url."""

    async def serve() -> None:
        server = LlmServer(latency=latency)
        await server.start(port=port)
        click.echo(server.url)
        sys.stdout.flush()
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
