"""One page on this machine's own address, for `harness view`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.errors import UsageError


def server(content: bytes, port: int = 0) -> ThreadingHTTPServer:
    """A server of that page at 127.0.0.1, not running yet. Raises UsageError when the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "harness", ""

        def do_GET(self) -> None:
            # Another site's page can make a browser ask here under a name of its own; what it may read is nothing.
            host = self.headers.get("Host", "")
            names = {f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}"}  # type: ignore[attr-defined]
            if host not in names:
                self.answer(403, b"no\n", "text/plain")
            elif self.path != "/":
                self.answer(404, b"there is only /\n", "text/plain")
            else:
                self.answer(200, content, "text/html; charset=utf-8")

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing: requests are of no interest."""

    try:
        made = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageError(f"can't listen on 127.0.0.1:{port}: {error.strerror}; choose another --port") from None
    made.daemon_threads = True
    return made


def serve(content: bytes, port: int, ready: Callable[[str], object]) -> None:
    """Serve until Ctrl-C. `ready` is told the address."""
    with server(content, port) as running, contextlib.suppress(KeyboardInterrupt):
        ready(f"http://127.0.0.1:{running.server_port}/")
        running.serve_forever()
