"""A run that is killed again and again ends with the records of an undisturbed one. Real processes, killed for real."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

KILLS = int(os.environ.get("HARNESS_KILLS", "5"))
"""HARNESS_KILLS=20 in the environment tries harder, and takes a minute or two."""
DIALOGUES = 100 * KILLS
COMMAND = [
    sys.executable, "-m", "harness", "run", "--rec", "popularity", "--sim", "rule", "--limit", str(DIALOGUES // 4),
    "--trials", "4", "--variant", "all", "--quiet",
]  # fmt: skip


def records(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Whole lines by key, without timings; a key that stands twice fails."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    content = (folder / "dialogues.jsonl").read_bytes()
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        record = json.loads(line)
        key = (record["scenario"], record["trial"])
        assert key not in found, f"{key} is recorded twice"
        record.pop("seconds", None)
        found[key] = record
    return found


def lines_in(folder: Path) -> int:
    path = folder / "dialogues.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    subprocess.run([*COMMAND, "--out", str(undisturbed)], check=True, capture_output=True)
    expected = records(undisturbed)
    assert len(expected) == DIALOGUES

    draw = random.Random(20)
    kept: dict[tuple[str, int], dict[str, Any]] = {}
    for number in range(KILLS):
        before = lines_in(disturbed)
        process = subprocess.Popen([*COMMAND, "--out", str(disturbed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Some die early, before or while they load; the others after some dialogues, in the middle of writing.
        aim = before + draw.randrange(1, 2 * DIALOGUES // KILLS)
        early = time.monotonic() + (draw.uniform(0.1, 1.0) if number % 4 == 3 else 60.0)
        while process.poll() is None and lines_in(disturbed) < aim and time.monotonic() < early:
            time.sleep(0.002)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if (disturbed / "dialogues.jsonl").exists():
            now = records(disturbed)
            assert all(now.get(key) == record for key, record in kept.items()), "a record that was there is gone or changed"
            kept = now
    resumed = [sys.executable, "-m", "harness", "resume", str(disturbed), "--quiet"]
    subprocess.run(resumed, check=True, capture_output=True)
    assert records(disturbed) == expected
    scores = [json.loads((folder / "summary.json").read_bytes())["metrics"]["ndcg@10"] for folder in (undisturbed, disturbed)]
    assert scores[0] == scores[1]


def test_a_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    first = subprocess.Popen([*COMMAND, "--out", str(tmp_path / "run")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while not lines_in(tmp_path / "run") and time.monotonic() < deadline and first.poll() is None:
            time.sleep(0.01)
        second = subprocess.run([*COMMAND, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False)
        assert second.returncode == 4
        assert f"in use by another process (pid {first.pid})" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        first.kill()
        first.wait()


def test_an_interrupt_tells_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--out", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 180
    while lines_in(tmp_path / "run") < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert f"harness resume {tmp_path / 'run'}" in errors
    again = subprocess.run(
        [*COMMAND, "--out", str(tmp_path / "run"), "--rec-opt", "exclude_rejected=false"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 3
    assert "recommender.options.exclude_rejected: true -> false" in again.stderr
    refused = subprocess.run(
        [sys.executable, "-m", "harness", "resume", str(tmp_path / "run"), "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 3
    assert "seed: 0 -> 7" in refused.stderr
