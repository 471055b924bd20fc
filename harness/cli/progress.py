"""Progress of a run, its judges or a training: a bar with rate, faults and time left on a terminal, quiet lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import click

from harness.api import DialogueRecord
from harness.cli.printable import printable

LINE_EVERY = 15.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """`quiet` says nothing but errors."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._bar: Any = None
        self._total = self._done = self._before = self._faults = 0
        self._judged = 0
        self._began = self._said = 0.0

    def start(self, total: int, done: int) -> None:
        """`done` of `total` dialogues are there already."""
        self._total, self._done, self._before, self._faults = total, done, done, 0
        self._began = self._said = time.monotonic()
        if self._terminal:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, unit="dialogue", dynamic_ncols=True, smoothing=0.1)
        elif done:
            self.say(f"{done:,} of {total:,} dialogues are there already")

    def update(self, record: DialogueRecord) -> None:
        """One more."""
        self._done += 1
        self._faults += record.stop in ("recommender_fault", "simulator_fault", "transport")
        if self._bar is not None:
            self._bar.update()
            if self._faults:
                self._bar.set_postfix(faults=self._faults, refresh=False)
            return
        now = time.monotonic()
        if now - self._said >= LINE_EVERY and not self._quiet:
            self._said = now
            rate = max(1e-9, (self._done - self._before) / (now - self._began))
            left = (self._total - self._done) / rate
            self.say(f"{self._done:,}/{self._total:,} dialogues, {rate:.1f}/s, {self._faults} faults, {_time(left)} left")

    def judged(self, count: int) -> None:
        """So many more judgements of language models; called in any thread. The bar appears with the first."""
        self._judged += count
        if self._terminal:
            if self._bar is None:
                from tqdm import tqdm

                self._bar = tqdm(unit="judgement", dynamic_ncols=True, smoothing=0.1)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._said >= LINE_EVERY and not self._quiet:
            if self._said:
                self.say(f"{self._judged:,} judgements")
            self._said = now

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def say(self, text: str) -> None:
        """A line on standard error, above the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(printable(text), file=sys.stderr)
        else:
            click.echo(printable(text), err=True)


class TrainingBar:
    """Progress of a training, a `TrainingProgress`; one bar at a time. May be called in any thread."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._bar: Any = None
        self._what = ""
        self._first = 0
        self._began = self._said = 0.0
        self._lock = threading.RLock()

    def say(self, text: str) -> None:
        """A line on standard error, above the bar."""
        with self._lock:
            if self._quiet:
                return
            if self._bar is not None:
                self._bar.write(printable(text), file=sys.stderr)
            else:
                click.echo(printable(text), err=True)

    def step(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """`done` of `total` steps of `what`, and what is worth seeing."""
        with self._lock:
            now = time.monotonic()
            if what != self._what:
                self.stop()
                self._what, self._first, self._began, self._said = what, done, now, now
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            if self._terminal:
                if self._bar is None:
                    from tqdm import tqdm

                    self._bar = tqdm(desc=what, total=total, initial=done, unit="step", dynamic_ncols=True)
                self._bar.n = done
                self._bar.set_postfix_str(shown, refresh=True)
            elif (now - self._said >= LINE_EVERY or done >= total) and not self._quiet:
                self._said = now
                rate = (done - self._first) / max(1e-9, now - self._began)
                left = f", {_time((total - done) / rate)} left" if rate > 0 and done < total else ""
                self.say(f"{what}: {done:,}/{total:,} steps{left}" + (f"; {shown}" if shown else ""))

    def stop(self) -> None:
        """Take the bar away."""
        with self._lock:
            self._what = ""
            if self._bar is not None:
                self._bar.close()
                self._bar = None


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
