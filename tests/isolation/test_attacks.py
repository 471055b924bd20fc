"""What a recommender that means harm can reach from its process: nothing."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hostile import SOURCE
from support import Seeker, assembly, play, world

import harness_plugins.datasets
from harness.assembly import prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
SECRET = "the-target-is-hidden-here"
CINEMA = Path(harness_plugins.datasets.__file__).parent / "cinema"


@pytest.fixture(scope="module")
def outcome(opened: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Any, Any, Path]]:
    """One dialogue with the prober: (what it says, its recommender's facts, a child of ours, our folder)."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "data").write_text(SECRET)
    address = ctypes.create_string_buffer(SECRET.encode())
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) as victim,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as local,
    ):
        local.bind(str(folder / "sock"))
        local.listen()
        run = folder / "run"
        places = {
            "tes": SECRET[::-1],
            "ecruos": f"source of {SECRET}"[::-1],
            "run": str(run),
            "file": str(run / "dialogues.jsonl"),
            "data": str(folder / "data"),
            "bundled": str(next((CINEMA / "data").iterdir())),
            "generator": str(CINEMA / "generate.py"),
            "home": str(Path.home()),
            "source": str(SOURCE),
            "port": server.getsockname()[1],
            "sock": str(folder / "sock"),
            "victim": victim.pid,
            "parent": os.getpid(),
            "address": ctypes.addressof(address),
        }
        hidden = base64.b64encode(json.dumps(places)[::-1].encode()).decode()  # an option that names a path may be read
        try:
            part, recommender = opened("hostile-crs:prober", places=hidden)
            said = _played(recommender, run)
            yield said, part, recommender, victim
        finally:
            victim.kill()


def _played(recommender: Any, run: Path) -> dict[str, str]:
    """What it says in the one turn of a dialogue whose scenario has telling names."""
    split = world(1)
    scenario = msgspec.structs.replace(split.scenarios[0], id=SECRET, source=f"source of {SECRET}")
    played = assembly(recommender, Seeker(), split=msgspec.structs.replace(split, scenarios=[scenario]), turns=1)
    prepare(played)
    _, records = play(run, played)
    said: dict[str, str] = json.loads(records[SECRET].turns[0].text)
    return said


REFUSED = "PermissionError", "OSError", "FileNotFoundError"
ATTEMPTS = (
    "run folder", "run folder's names", "data folder", "bundled data", "data generator's source", "home",
    "other package's source folder", "parent's environment", "parent's memory", "parent's memory file", "parent's files",
    "tracing", "modes", "links", "fork", "clone", "programs", "killing a sibling", "killing the parent", "killing everybody",
    "killing the group", "a file's signals", "parent's priority", "parent's limits", "network", "local sockets",
    "shared memory", "nameless files", "users",
)  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_attempt_is_refused(outcome: Any, attempt: str) -> None:
    said = outcome[0][attempt]
    assert said.startswith(REFUSED), said
    assert SECRET not in said


def test_every_attempt_was_made(outcome: Any) -> None:
    allowed = {"interpreter", "data generator", "own environment", "descriptors", "writing", "limits", "threads"}
    assert set(outcome[0]) == {*ATTEMPTS, *allowed}
    assert outcome[0]["threads"] == "got: [1]"


def test_its_interpreter_holds_no_scenario_and_no_target(outcome: Any) -> None:
    assert outcome[0]["interpreter"] == "got: ([], True, [])"  # the context is there, nothing of its scenario


def test_it_can_not_import_what_makes_the_data(outcome: Any) -> None:
    assert outcome[0]["data generator"].startswith(("ModuleNotFoundError", "PermissionError")), outcome[0]["data generator"]


def test_it_is_handed_no_key_and_no_file_but_the_pipe(outcome: Any) -> None:
    assert outcome[0]["own environment"] == "got: []"
    assert outcome[0]["descriptors"].count("0o140000") == 1 + 2  # the pipe, and the two ends that asyncio wakes itself with
    assert "0o100000" not in outcome[0]["descriptors"]


def test_it_can_write_nowhere(outcome: Any) -> None:
    assert outcome[0]["writing"] == "got: (7, 'of 7 refused')"


def test_it_can_not_raise_its_limits(outcome: Any) -> None:
    assert outcome[0]["limits"].startswith(("ValueError", "PermissionError")), outcome[0]["limits"]


def test_others_are_unharmed(outcome: Any) -> None:
    _, part, recommender, victim = outcome
    assert victim.poll() is None
    assert recommender.missing == {}
    assert (part.entry.distribution, part.entry.version, part.entry.name) == ("hostile-crs", "1.2", "prober")
