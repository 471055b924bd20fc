"""How many requests one server gets: at a time, and per minute.

Concurrency adapts as in TCP: additive increase, multiplicative decrease (Chiu and Jain, 1989). A 429 halves what may be in
flight, once for all requests that were already under way; every good answer allows a fourth of a request more, up to the run's
concurrency, never above it. After a 429 no new request starts for the time that it names, or for a pause that doubles.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from harness.errors import TransportError
from harness.llm.loops import PerLoop, Waiters

GAIN = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds without a new request after a 429 that names no time; doubled by each further volley until an answer comes."""


class TooManyRequests(TransportError):
    """HTTP 429: the server asks for fewer requests."""


class _Flight:
    def __init__(self) -> None:
        self.now = 0
        self.waiters = Waiters()


class Gate:
    """The way to one server. `most` is the largest number of requests in flight, `per_minute` the largest number that start."""

    def __init__(self, most: int, per_minute: float | None = None) -> None:
        self.most = most
        self.limit = float(most)
        """What may be in flight at present (its whole part)."""
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = 0.0
        self._closed_until = 0.0
        self._last_cut = 0.0
        self._pause = FIRST_PAUSE
        self._flight = PerLoop(_Flight)

    @contextlib.asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """One request: waits for its turn, and is in flight inside of the block.

        A TooManyRequests that leaves the block narrows the gate; an orderly end widens it; other errors say nothing about load.
        """
        flight = self._flight.get()
        if flight.now >= int(self.limit) or len(flight.waiters):
            await flight.waiters.wait(undo=lambda: self._leave(flight))
        else:
            flight.now += 1
        try:
            await self._pace()
            started = time.monotonic()
            try:
                yield
            except TooManyRequests as error:
                self._narrow(flight.now, started, error.retry_after)
                raise
            else:
                self.limit = min(float(self.most), self.limit + GAIN)
                self._pause = FIRST_PAUSE
        finally:
            self._leave(flight)

    async def _pace(self) -> None:
        """Requests per minute are kept by an even distance, so no window of a minute holds more, wherever it begins."""
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._interval
        while turn > now:
            await asyncio.sleep(turn - now)
            now = time.monotonic()
        while self._closed_until > now:
            await asyncio.sleep(self._closed_until - now)
            now = time.monotonic()

    def _narrow(self, in_flight: int, started: float, retry_after: float | None) -> None:
        now = time.monotonic()
        pause = 0.0 if retry_after is None else retry_after
        if started >= self._last_cut:
            self.limit = max(1.0, min(self.limit, in_flight) / 2)
            self._last_cut = now
            if retry_after is None:
                pause = self._pause
                self._pause = min(2 * pause, LONGEST_PAUSE)
        self._closed_until = max(self._closed_until, now + pause)

    def _leave(self, flight: _Flight) -> None:
        flight.now -= 1
        while flight.now < int(self.limit) and flight.waiters.wake():
            flight.now += 1
