"""The server of `harness view`."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from harness.errors import UsageError
from harness.report.serving import server


@pytest.fixture
def running() -> Iterator[ThreadingHTTPServer]:
    with server(b"<p>page</p>") as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(running: ThreadingHTTPServer, path: str = "/", host: str | None = None, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=60)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_it_serves_one_page_on_this_machine_alone(running: ThreadingHTTPServer) -> None:
    assert running.server_address[0] == "127.0.0.1"
    assert ask(running) == (200, b"<p>page</p>")
    assert ask(running, method="HEAD") == (200, b"")
    assert ask(running, "/../../etc/passwd")[0] == 404
    assert ask(running, host=f"localhost:{running.server_port}")[0] == 200


def test_a_name_that_another_site_made_up_is_told_nothing(running: ThreadingHTTPServer) -> None:
    assert ask(running, host=f"rebound.example:{running.server_port}") == (403, b"no\n")


def test_a_port_that_is_taken_is_named(running: ThreadingHTTPServer) -> None:
    with pytest.raises(UsageError, match=str(running.server_port)):
        server(b"", running.server_port)
