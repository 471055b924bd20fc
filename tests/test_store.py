"""The run directory: what was acknowledged is never lost, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store
from harness.api import DialogueRecord, TurnRecord
from harness.errors import StoreError
from harness.store import DIALOGUES, TORN, Store, finished, read_lines, read_manifest, read_records, read_summary


def record(n: int, trial: int = 0, stop: Any = "max_turns", text: str = "hello") -> DialogueRecord:
    return DialogueRecord(
        f"s{n}", f"d{n}", trial, stop, ("m1",), (TurnRecord(text, ("m1", "m2")),), seconds={"recommender": 0.5}
    )


def write(folder: Path, *records: DialogueRecord) -> bytes:
    with Store(folder) as opened:
        for each in records:
            opened.append(each)
    return (folder / DIALOGUES).read_bytes()


# ------------------------------------------------------------------------------------------------------------ round trip


def test_records_are_read_back_as_written_one_line_each(tmp_path: Path) -> None:
    written = [record(0), record(1, text='line\nbreak "é" \u2028 \x00'), record(0, trial=1)]
    content = write(tmp_path / "runs" / "new", *written)
    assert list(read_lines(tmp_path / "runs" / "new")) == written
    assert content.count(b"\n") == 3
    assert content.endswith(b"\n")


def test_opening_again_appends(tmp_path: Path) -> None:
    first = write(tmp_path, record(0))
    assert write(tmp_path, record(1)).startswith(first)
    assert [r.scenario for r in read_lines(tmp_path)] == ["s0", "s1"]


def test_an_empty_directory_has_no_records(tmp_path: Path) -> None:
    assert list(read_records(tmp_path)) == []
    assert finished(tmp_path) == set()


def test_the_finished_record_counts_else_the_last_incomplete_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        record(0, stop="transport"),
        record(1, stop="cancelled"),
        record(0, stop="accepted"),
        record(0, stop="cancelled"),
        record(2, stop="simulator_fault"),
        record(1, stop="transport"),
        record(1, trial=1),
    )
    assert [(r.scenario, r.trial, r.stop) for r in read_records(tmp_path)] == [
        ("s0", 0, "accepted"),
        ("s2", 0, "simulator_fault"),
        ("s1", 0, "transport"),
        ("s1", 1, "max_turns"),
    ]
    assert finished(tmp_path) == {("s0", 0), ("s2", 0), ("s1", 1)}


# ------------------------------------------------------------------------------------------------------------- torn lines


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_a_torn_last_line_is_kept_aside_and_played_again(tmp_path: Path, keep: int) -> None:
    whole = write(tmp_path, record(0), record(1))
    line = msgspec.json.encode(record(2))[:keep]
    (tmp_path / DIALOGUES).write_bytes(whole + line)
    assert [r.scenario for r in read_records(tmp_path)] == ["s0", "s1"]  # readers leave it out too
    with Store(tmp_path):
        assert (tmp_path / DIALOGUES).read_bytes() == whole
    assert (tmp_path / TORN).read_bytes() == line + b"\n"
    assert finished(tmp_path) == {("s0", 0), ("s1", 0)}


def test_a_torn_line_may_be_long_or_the_only_one(tmp_path: Path) -> None:
    for before in (b"", write(tmp_path, record(0))):
        torn = b'{"scenario":"' + b"x" * 200_000
        (tmp_path / DIALOGUES).write_bytes(before + torn)
        with Store(tmp_path):
            assert (tmp_path / DIALOGUES).read_bytes() == before
    assert (tmp_path / TORN).read_bytes() == (torn + b"\n") * 2


def test_a_whole_line_of_rubbish_is_named_with_file_and_line(tmp_path: Path) -> None:
    content = write(tmp_path, record(0), record(1), record(2)).splitlines(keepends=True)
    for rubbish in (
        b"\x00\x00\n",
        b"{}\n",
        b"\n",
        b'{"scenario":"s1"\n',
        b"\xff\xfe\n",
        content[1].replace(b"max_turns", b"bored"),
    ):
        (tmp_path / DIALOGUES).write_bytes(content[0] + rubbish + content[2])
        for read in (lambda: list(read_records(tmp_path)), lambda: finished(tmp_path)):
            with pytest.raises(StoreError, match=rf"{DIALOGUES}:2 is damaged .*; remove that line and resume"):
                read()
    (tmp_path / DIALOGUES).write_bytes(content[0] + content[2])
    assert finished(tmp_path) == {("s0", 0), ("s2", 0)}


# --------------------------------------------------------------------------------------------------------------- the lock


HOLDER = """
import sys, time
from pathlib import Path
from harness.store import Store
with Store(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


def child(code: str, *arguments: Any, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with child(HOLDER, tmp_path) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=rf"{tmp_path} is in use by another process \(pid {holder.pid}\)"):
            Store(tmp_path)
        holder.communicate("")
    write(tmp_path, record(0))  # it is free again


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with child(HOLDER, tmp_path) as holder:
        assert holder.stdout.readline() == "open\n"
        holder.kill()
        holder.wait()
    write(tmp_path, record(0))


def test_one_process_cannot_open_it_twice_either(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(StoreError, match=f"pid {os.getpid()}"):
        Store(tmp_path)
    Store(tmp_path).close()


# ------------------------------------------------------------------------------------------- disks that will not be written


def test_a_file_in_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StoreError, match=rf"can't write to {folder}: .*; choose another --out"):
            Store(folder)


def test_a_directory_that_nobody_can_write_is_told() -> None:
    with pytest.raises(StoreError, match=r"can't write to /proc/self/run: .*; choose another --out"):
        Store(Path("/proc/self/run"))


def test_a_read_only_directory_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if os.geteuid() == 0:  # root may write to any directory, but not to a read-only disk
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)], capture_output=True, text=True)
        if mounted.returncode != 0:
            pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    else:
        folder.chmod(0o500)
    try:
        with pytest.raises(
            StoreError, match=r"can't write to .*(Permission denied|Read-only file system); choose another --out"
        ):
            Store(folder)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        else:
            folder.chmod(0o700)


def test_a_directory_in_place_of_the_records_is_told_and_the_lock_let_go(tmp_path: Path) -> None:
    (tmp_path / DIALOGUES).mkdir()
    for _ in range(2):
        with pytest.raises(StoreError, match="Is a directory"):
            Store(tmp_path)
    with pytest.raises(StoreError, match="can't read"):
        list(read_lines(tmp_path))


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of 64 KiB: a mount where that is permitted, else a limit on the size of files."""
    if request.param == "tmpfs":
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
        yield disk
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def make_room(disk: Path) -> None:
    if disk.name == "disk":
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("small_disk", ["tmpfs", "limit"], indirect=True)
def test_a_full_disk_loses_nothing_and_the_run_goes_on_later(small_disk: Path) -> None:
    folder = small_disk / "run"
    acknowledged = []
    opened = Store(folder)

    def fill() -> None:
        for n in range(1000):
            opened.append(record(n, text="x" * 1000))
            acknowledged.append(f"s{n}")

    with pytest.raises(StoreError, match=rf"can't write to .*{DIALOGUES}: .*then: harness resume {folder}"):
        fill()
    with pytest.raises(StoreError):
        opened.append(record(5000))  # no second chance to write half a line
    with pytest.raises(StoreError):
        opened.close()
    assert len(acknowledged) > 10
    assert [r.scenario for r in read_records(folder)] == acknowledged
    make_room(small_disk)
    with Store(folder) as opened:
        opened.append(record(len(acknowledged)))
    assert [r.scenario for r in read_records(folder)] == [*acknowledged, f"s{len(acknowledged)}"]
    assert not (folder / TORN).exists()  # what could not be written whole was taken back at once


@pytest.mark.parametrize("small_disk", ["limit"], indirect=True)
def test_a_whole_file_is_replaced_or_left_alone(small_disk: Path) -> None:
    with Store(small_disk) as opened:
        opened.write_json("manifest.json", {"seed": 1})
        with pytest.raises(StoreError, match=r"can't write .*manifest\.json"):
            opened.write_json("manifest.json", {"seed": "x" * 100_000})
    assert read_manifest(small_disk) == {"seed": 1}
    assert sorted(path.name for path in small_disk.iterdir()) == [".lock", DIALOGUES, "manifest.json"]


def test_a_failed_sync_stops_the_run_and_is_told_again_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system reports a failed sync once; after that it claims that all is well."""
    synced = os.fdatasync
    failures = [OSError(5, "Input/output error")]

    def fails_once(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        synced(descriptor)

    monkeypatch.setattr(store, "SYNC_EVERY", 0.02)
    monkeypatch.setattr(os, "fdatasync", fails_once)
    opened = Store(tmp_path)
    opened.append(record(0))
    opened._syncer.join(5)
    with pytest.raises(StoreError, match="Input/output error"):
        opened.append(record(1))
    with pytest.raises(StoreError, match="Input/output error"):
        opened.close()


def test_written_records_are_synced_within_the_promised_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(store, "SYNC_EVERY", 0.02)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    with Store(tmp_path) as opened:
        for n in range(3):
            opened.append(record(n))
            size, end = os.fstat(opened._file).st_size, time.monotonic() + 5
            while size not in sizes and time.monotonic() < end:
                time.sleep(0.005)
            assert size in sizes
    assert sizes[-1] == size  # and at the end


def test_an_error_inside_is_not_hidden_by_one_on_closing(tmp_path: Path) -> None:
    def fail() -> None:
        with Store(tmp_path) as opened:
            opened._failed = OSError(28, "No space left on device")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


# ---------------------------------------------------------------------------------------------------------------- kill -9

WRITER = """
import os, sys
from pathlib import Path
from harness.api import DialogueRecord, TurnRecord
from harness.store import Store
with Store(Path(sys.argv[1])) as store:
    for n in range(int(sys.argv[2]), 10**9):
        store.append(DialogueRecord(f"s{n}", "d", 0, "quit", ("m1",), (TurnRecord("x" * (n * 37 % 5000)),)))
        os.write(1, f"{n}\\n".encode())
"""


def test_kill_at_any_moment_keeps_every_acknowledged_record(tmp_path: Path) -> None:
    draw = random.Random(5)
    acknowledged = 0
    for _ in range(6):
        with child(WRITER, tmp_path, acknowledged) as writer:
            for _ in range(draw.randrange(1, 300)):
                line = writer.stdout.readline()
            time.sleep(draw.random() / 100)
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.stdout.read()
        said = [int(number) for number in (line + rest).split("\n")[:-1]]
        Store(tmp_path).close()
        kept = [r.scenario for r in read_records(tmp_path)]
        assert kept[: said[-1] + 1] == [f"s{n}" for n in range(said[-1] + 1)]
        assert len(kept) - said[-1] <= 2  # one may be written, but not acknowledged yet
        acknowledged = len(kept)
    assert acknowledged > 100


# ------------------------------------------------------------------------------------------------------------ other files


def test_missing_and_damaged_files_are_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it is no run directory"):
        read_manifest(tmp_path)
    with pytest.raises(StoreError, match=f"harness score {tmp_path}"):
        read_summary(tmp_path)
    for rubbish in (b"", b"{", b"[]", b"\xff"):
        (tmp_path / "manifest.json").write_bytes(rubbish)
        with pytest.raises(StoreError, match="is damaged"):
            read_manifest(tmp_path)
