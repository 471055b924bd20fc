"""Scoring recorded dialogues and the bootstrap, beside a bare decode of the same records."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import Catalogue, Item, MetricSetup
from harness.api import DialogueRecord, TurnRecord
from harness.presets import default_metrics
from harness.registry import Registry
from harness.results import RecordFile, bind_metrics
from harness.scoring import score_run
from harness.statistics import ratio_bootstrap
from harness.store import Store, read_lines

DIALOGUES, TURNS, K, REPEATS = 1_000, 5, 10, 5


def main() -> list[dict[str, Any]]:
    """Rows: decoding 1,000 dialogues of five turns, scoring them with every default metric, nine bootstraps of n=1,000."""
    draw = random.Random(0)
    catalogue = Catalogue(Item(str(n), f"Film {n}", attributes={"genre": (f"g{n % 20}",)}) for n in range(1_000))
    setup = MetricSetup(catalogue, {str(n): 1000 - n for n in range(1_000)}, K, TURNS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(folder) as store:
            for number in range(DIALOGUES):
                turns = tuple(
                    TurnRecord(
                        "Try these.",
                        tuple(map(str, draw.sample(range(1_000), K))),
                        user_text="No horror, please.",
                        action="continue",
                    )
                    for _ in range(TURNS)
                )
                store.append(
                    DialogueRecord(f"s{number}", f"d{number // 3}", 0, "max_turns", (str(draw.randrange(1_000)),), turns)
                )
        bare = _median(lambda: sum(1 for _ in read_lines(folder)))
        metrics = bind_metrics(Registry(), default_metrics(K, TURNS))
        full = _median(lambda: score_run(RecordFile(folder), metrics, setup))
    values = np.random.default_rng(0).random((DIALOGUES, 9))
    clusters = [str(n // 3) for n in range(DIALOGUES)]
    boot = _median(lambda: ratio_bootstrap(values, np.ones_like(values), clusters, resamples=10_000, seed=0))
    return [
        {"benchmark": "scoring", "what": "decode 1,000 dialogues", "cpu_s": bare, "times_decode": 1.0},
        {
            "benchmark": "scoring",
            "what": f"score them, {len(metrics)} metrics, CIs",
            "cpu_s": full,
            "times_decode": full / bare,
        },
        {
            "benchmark": "scoring",
            "what": "bootstrap: 9 metrics, n=1,000, 10,000 draws",
            "cpu_s": boot,
            "times_decode": boot / bare,
        },
    ]


def _median(function: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return statistics.median(times)
