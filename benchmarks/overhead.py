"""The runner's own cost: CPU milliseconds per turn and peak memory, each size in a process of its own.

Zero-cost components, five turns. What a run costs once (a run of one dialogue) is told apart and taken off. The floor is a bare
loop over the same components and records, without the harness.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.world import ANSWER, ITEMS, world
from harness.api import DialogueRecord, TurnRecord
from harness.assembly import Assembly
from harness.runner import run
from harness.store import Store

SIZES = (100, 1_000, 20_000)
TURNS = 5
REPEATS = 5


def measure(dialogues: int, form: str) -> dict[str, Any]:
    """One run in this process."""
    setup = _play(world(1, form, turns=TURNS))
    assembly = world(dialogues, form, turns=TURNS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    cpu = _play(assembly) - setup
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cpu_ms_per_turn": 1000 * cpu / dialogues / TURNS,
        "setup_ms": 1000 * setup,
        "dialogues_per_s": dialogues / wall,
        "grew_mb": (after - before) / 1024,
    }


def _play(assembly: Assembly) -> float:
    """CPU seconds of one run, its set-up (leak gate over the catalogue, threads, run folder) included."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        with Store(Path(folder)) as store:
            run(assembly, store, done=set(), finished=lambda record: None)
        return time.process_time() - began


def floor(dialogues: int) -> float:
    """CPU ms per turn of writing the same records in a bare loop."""
    encoder = msgspec.json.Encoder()
    with tempfile.TemporaryFile(buffering=0) as file:
        cpu = time.process_time()
        for number in range(dialogues):
            turn = TurnRecord(text="Try one of these.", items=ITEMS, user_text=ANSWER.text, action="continue", rejected=ITEMS)
            file.write(encoder.encode(DialogueRecord(f"s{number}", "d", 0, "max_turns", ("1",), (turn,) * TURNS)) + b"\n")
        return 1000 * (time.process_time() - cpu) / dialogues / TURNS


def main() -> list[dict[str, Any]]:
    """A row per form and size: medians of five processes."""
    rows = []
    for form in ("plain", "batched", "async"):
        for size in SIZES:
            runs = []
            for _ in range(REPEATS):
                command = [sys.executable, "-m", "benchmarks.overhead", form, str(size)]
                done = subprocess.run(command, check=True, capture_output=True)
                runs.append(msgspec.json.decode(done.stdout))
            row = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
            rows.append(
                {
                    "benchmark": "overhead",
                    "form": form,
                    "dialogues": size,
                    **row,
                    "times_bare_loop": row["cpu_ms_per_turn"] / floor(size),
                }
            )
    return rows


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(measure(int(sys.argv[2]), sys.argv[1])).decode())
