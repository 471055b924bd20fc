"""The page of a report of 10,000 dialogues: its size, and how long headless Chromium takes to list, open and search it."""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

from harness import Catalogue, Item, Message, MetricSetup, Need, Scenario
from harness.api import DialogueRecord, TurnRecord
from harness.config import Choice, RunConfig
from harness.registry import Registry
from harness.report.html import page
from harness.report.transcripts import Background, PlayedRun
from harness.results import bind_metrics
from harness.scoring import score_run

DIALOGUES, TURNS, K, ITEMS, REPEATS = 10_000, 5, 10, 24_000, 5
METRICS = ("ndcg@10", "hr@10", "recall@10", "mrr@10", "success", "sr", "at")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def main() -> list[dict[str, Any]]:
    """Rows: seconds to make the page, its megabytes, and medians in the browser. The floor is an empty page."""
    began = time.process_time()
    content = page([_run()], _background())
    made = time.process_time() - began
    rows = [
        _row("CPU seconds to score 10,000 dialogues and make their page", made),
        _row("megabytes", len(content.encode()) / 1e6),
    ]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "page.html"
        path.write_text(content, encoding="utf-8")
        empty = Path(name) / "empty.html"
        empty.write_text("<!doctype html><html data-ready></html>", encoding="utf-8")
        return rows + _browser(path, empty)


def _browser(path: Path, empty: Path) -> list[dict[str, Any]]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        return [_row("no chromium on this machine", 0.0)]
    found: dict[str, list[float]] = {}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS, timeout=300_000)
        for _ in range(REPEATS):
            for what, file in (("seconds to an empty page", empty), ("seconds until 10,000 dialogues are listed", path)):
                tab = browser.new_page()
                tab.set_default_timeout(300_000)
                began = time.monotonic()
                tab.goto(file.as_uri())
                tab.wait_for_selector("html[data-ready]", state="attached")
                found.setdefault(what, []).append(time.monotonic() - began)
                if file == path:
                    began = time.monotonic()
                    tab.locator(".dialogue summary").nth(7).click()
                    tab.wait_for_selector(".turn")
                    found.setdefault("seconds to open a dialogue", []).append(time.monotonic() - began)
                    began = time.monotonic()
                    tab.fill("#query", "w7 wff w1a")
                    tab.locator("#status", has_text=" of 10,000 dialogues").wait_for()
                    found.setdefault("seconds to search all texts", []).append(time.monotonic() - began)
                tab.close()
        browser.close()
    return [_row(what, statistics.median(times)) for what, times in found.items()]


def _row(what: str, value: float) -> dict[str, Any]:
    return {"benchmark": "report_page", "what": what, "value": value}


WORDS = tuple(f"w{n:x}" for n in range(20_000))
SHARES = tuple(accumulate(1 / (n + 1) for n in range(len(WORDS))))


def _words(draw: random.Random, count: int) -> str:
    """Independent words after Zipf's law, about ten bits each: harder to compress than real text."""
    return " ".join(draw.choices(WORDS, cum_weights=SHARES, k=count))


def _background() -> Background:
    draw = random.Random(1)
    catalogue = Catalogue(Item(f"m{n}", f"{_words(draw, 3)} {n}", 1950 + n % 70) for n in range(ITEMS))
    scenarios = {
        f"s{n}": Scenario(f"s{n}", f"d{n // 3}", (Message("seeker", _words(draw, 25)),), Need(("m0",)))
        for n in range(DIALOGUES)
    }
    return Background(catalogue, scenarios)


def _run() -> PlayedRun:
    """Dialogues of five turns, each with a reply, a reasoning, a ranked list and an answer."""
    draw = random.Random(0)
    records = {}
    for number in range(DIALOGUES):
        turns = tuple(
            TurnRecord(
                _words(draw, 35),
                tuple(f"m{n}" for n in draw.sample(range(ITEMS), K)),
                reasoning=_words(draw, 60),
                user_text=_words(draw, 20),
                action="continue",
            )
            for _ in range(TURNS)
        )
        target = draw.choice(draw.choice(turns).items) if number % 3 else "m0"
        records[f"s{number}", 0] = DialogueRecord(f"s{number}", f"d{number // 3}", 0, "max_turns", (target,), turns)
    setup = MetricSetup(Catalogue(Item(f"m{n}", f"Film {n}") for n in range(ITEMS)), {}, K, TURNS)
    scores = score_run(list(records.values()), bind_metrics(Registry(), METRICS), setup)
    run = {
        "recommender": "made-up", "simulator": "made-up", "knowledge": "profile", "dataset": "made-up", "split": "test",
        "variant": "novel", "data_hash": "0" * 64, "scenarios": DIALOGUES, "rows": DIALOGUES, "protocol": "1",
        "preset": "smtpo", "seed": 0, "trials": 1, "fingerprint": "0" * 64,
    }  # fmt: skip
    config = RunConfig(recommender=Choice("made-up"), simulator=Choice("made-up"), dataset=Choice("made-up"))
    rows = {(row["scenario"], row["trial"]): row for row in scores.rows()}
    return PlayedRun(Path("made-up"), "made-up", config, {"run": run, **scores.summary}, rows, records)


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']}: {row['value']:.3f}")
