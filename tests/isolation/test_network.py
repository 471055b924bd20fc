"""An honest recommender that needs the network: told what isolation forbids and what to do, served where that is allowed."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.config import Choice, RunConfig, Transport
from harness.errors import UsageError
from harness.experiment import execute
from harness.isolation.refusing import WORDS, Refused, explained
from harness.isolation.settings import Isolation
from harness.registry import Registry
from harness.store import read_records

linux = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        titles = [item["id"] for item in asked.get("items", [])]
        self.server.catalogue = self.server.catalogue or titles  # type: ignore[attr-defined]
        body = json.dumps({} if titles else {"items": self.server.catalogue[:3], "text": "These?"}).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.catalogue = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(folder: Path, options: dict[str, Any], *, network: bool) -> list[Any]:
    config = RunConfig(
        recommender=Choice("http", options),
        simulator=None,
        turns=1,
        dataset=Choice("cinema"),
        limit=2,
        isolation=Isolation(network=network),
        transport=Transport(transport_retries=0),
    )
    execute(Registry(), config, folder)
    return list(read_records(folder))


@linux
def test_before_the_run_it_is_refused_with_what_to_do(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="could not send the catalogue") as error:
        run(tmp_path, {"url": url, "send_catalogue": "true"}, network=False)
    assert WORDS in str(error.value)
    assert "--isolate-network" in WORDS


@linux
@pytest.mark.parametrize("host", ["127.0.0.1:9", "nowhere.example"])
def test_in_a_dialogue_the_fault_says_what_to_do(host: str, tmp_path: Path) -> None:
    """An address, and a name that would have to be looked up first."""
    for record in run(tmp_path, {"url": f"http://{host}"}, network=False):
        assert record.stop == "recommender_fault"
        assert record.faults[0].message.removeprefix("TransportError: ").startswith(WORDS)
        assert host in record.faults[0].message


@linux
def test_where_it_is_allowed_it_is_served(url: str, tmp_path: Path) -> None:
    for record in run(tmp_path, {"url": url, "send_catalogue": "true"}, network=True):
        assert record.faults == ()
        assert len(record.turns[0].items) == 3


def refused() -> None:
    raise Refused(1, WORDS)


def wrapped(error: Callable[[], BaseException]) -> BaseException:
    try:
        try:
            refused()
        except OSError:
            raise error() from None
    except BaseException as caught:
        return caught


def test_the_words_are_found_behind_whatever_a_library_says() -> None:
    assert (
        explained(wrapped(lambda: RuntimeError("all attempts failed")), "all attempts failed")
        == f"{WORDS} (all attempts failed)"
    )
    assert explained(ExceptionGroup("several", [ValueError("x"), Refused(1, WORDS)]), "several").startswith(WORDS)
    assert explained(wrapped(lambda: RuntimeError("")), "") == WORDS
    other = RuntimeError("x")
    other.__cause__ = other.__context__ = socket.gaierror("nothing")
    assert explained(other, "x") == "x"
    ring = RuntimeError("round")
    ring.__cause__ = ring
    assert explained(ring, "round") == "round"
