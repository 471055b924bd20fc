"""A server of one recommender that does what a test tells it: real sockets, standard library only."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Reply(msgspec.Struct):
    """What goes back. `hang` seconds pass first; `body` may be anything; `reset` closes the connection without an answer."""

    body: bytes | Iterator[bytes] = b"{}"
    status: int = 200
    headers: dict[str, str] = {}
    hang: float = 0.0
    reset: bool = False


class Request(msgspec.Struct):
    path: str
    headers: dict[str, str]
    body: Any


class SmallServer:
    """`answer(request)` gives the reply. What was asked is kept, and how many requests were in flight at most."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer, self.requests = answer, list[Request]()
        self.peak = self._busy = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.handle(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self.http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers["Content-Length"]))
        request = Request(handler.path, {k.lower(): v for k, v in handler.headers.items()}, msgspec.json.decode(raw))
        with self._lock:
            self.requests.append(request)
            self._busy += 1
            self.peak = max(self.peak, self._busy)
        try:
            with contextlib.suppress(OSError):
                self._send(handler, self.answer(request))
        finally:
            with self._lock:
                self._busy -= 1

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        time.sleep(reply.hang)
        if reply.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.rfile.close()
            handler.connection.close()
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if isinstance(reply.body, bytes):
            handler.send_header("Content-Length", str(len(reply.body)))
            handler.end_headers()
            handler.wfile.write(reply.body)
            return
        handler.close_connection = True
        handler.end_headers()
        for piece in reply.body:
            handler.wfile.write(piece)


@contextlib.contextmanager
def serving(answer: Callable[[Request], Reply]) -> Iterator[SmallServer]:
    """A server that lives as long as the block."""
    server = SmallServer(answer)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def json_reply(content: Any, **fields: Any) -> Reply:
    return Reply(msgspec.json.encode(content), **fields)
