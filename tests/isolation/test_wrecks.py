"""A process that ends, hangs, swells or talks nonsense costs the turn that it was working for, and no other dialogue."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hostile import SOURCE, module
from support import Plain, Seeker, assembly, play, without_seconds

from harness.api import DialogueRecord, Feedback
from harness.assembly import prepare
from harness.errors import PluginError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")


answer = module("honest").answer
HOW = {
    "leaves": ("exception", "its process ended with exit status 3"),
    "kills itself": ("exception", "its process was killed by signal 9 (SIGKILL)"),
    "segfaults": ("exception", "its process was killed by signal 11 (SIGSEGV)"),
    "allocates": ("exception", "MemoryError: "),
    "allocates natively": ("exception", "its process was killed by signal 6 (SIGABRT)"),
    "hangs": ("timeout", "no answer within 1.5 s"),
    "holds the interpreter": ("timeout", "no answer within 1.5 s"),
    "garbage": ("exception", "it sent something that is no message"),
    "huge": ("exception", "it sent a message of 2,147,483,647 bytes, more than 4,194,304"),
    "floods": ("exception", "it sent something that is no message"),
    "hangs up": ("exception", "its process ended with exit status 0"),
    "breeds threads": ("exception", "it had more than 512 threads"),
    "exits": ("exception", "RuntimeError: SystemExit: 1"),
    "raises": ("exception", "ZeroDivisionError: division by zero"),
    "answers unasked": ("exception", "it answered what it was not asked"),
}


HANGING = ("hangs", "holds the interpreter")
Played = tuple[dict[str, DialogueRecord], dict[str, DialogueRecord]]


@pytest.fixture(scope="module")
def wrecked(opened: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """20 dialogues, 4 at a time, the first 15 of which do harm in their second turn. Beside them what an honest one plays."""
    folder = tmp_path_factory.mktemp("wrecked")
    seeker = Seeker(lambda conversation, knowledge: Feedback("Not yet."))
    _, honest = play(folder / "honest", assembly(Plain(answer), seeker, count=20))
    outcomes = {}
    for only, count, timeout in (("ending", 20, 60.0), ("hanging", 7, 1.5)):
        _, recommender = opened("hostile-crs:wrecker", only=only, timeout=timeout, memory=256 << 20)
        played = assembly(recommender, seeker, count=count, timeout=timeout)
        prepare(played)
        _, records = play(folder / only, played)
        outcomes[only] = records, honest
    return outcomes


@pytest.mark.parametrize("number", range(len(HOW)), ids=list(HOW))
def test_harm_is_a_fault_of_its_turn(wrecked: dict[str, Played], number: int) -> None:
    name, (kind, message) = list(HOW.items())[number]
    records, honest = wrecked["hanging" if name in HANGING else "ending"]
    record = records[f"s{number}"]
    assert record.stop == "recommender_fault"
    assert [(fault.kind, fault.turn, fault.blame) for fault in record.faults] == [(kind, 2, "recommender")]
    assert record.faults[0].message.strip() == message.strip()
    assert record.turns == honest[f"s{number}"].turns[:1]


def test_the_other_dialogues_are_as_if_nothing_had_happened(wrecked: dict[str, Played]) -> None:
    records, honest = wrecked["ending"]
    others = [f"s{n}" for n in range(20) if n >= len(HOW) or list(HOW)[n] in HANGING]
    assert without_seconds(records[name] for name in others) == without_seconds(honest[name] for name in others)


def test_every_harm_is_listed_here() -> None:
    text = (SOURCE / "wrecks.py").read_text()
    written = [line.split('"')[1] for line in text[text.index("WRECKS = {") :].splitlines()[1:] if '"' in line]
    assert written == list(HOW)


def test_after_too_many_ends_it_is_not_started_again(opened: Any, tmp_path: Path) -> None:
    _, recommender = opened("hostile-crs:wrecker", only="ending", restarts=0)
    played = assembly(recommender, Seeker(), count=3, concurrency=1)
    prepare(played)
    _, records = play(tmp_path / "run", played)
    assert [record.stop for record in records.values()] == ["recommender_fault"] * 3
    assert records["s0"].faults[0].message == "its process ended with exit status 3"
    for name in ("s1", "s2"):
        assert (
            records[name].faults[0].message
            == "its process ended once (its process ended with exit status 3); it is not started again"
        )


@pytest.mark.parametrize(
    ("only", "start", "reason"),
    [("start", 600.0, "ended with exit status 7"), ("never ready", 3.0, "within --isolate-start 3")],
)
def test_one_that_never_gets_ready_ends_the_run_before_it_began(opened: Any, only: str, start: float, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        prepare(assembly(opened("hostile-crs:wrecker", only=only, start=start)[1], Seeker(), count=1))


def test_nothing_is_left_behind(opened: Any) -> None:
    _, recommender = opened("hostile-crs:plain")
    process = recommender._process
    assert process is not None
    pid, folder = process._popen.pid, Path(process._folder)
    assert folder.is_dir()
    del process, recommender, _
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()
