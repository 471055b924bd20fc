"""Which worker plays which dialogue: dealt in small portions, taken back from workers that are lost. No cluster is known here.

A worker holds at most as many dialogues as it plays at once and a few more, fewer towards the end, so that nobody sits on what
others could play. Dialogues whose worker died twice come in ever smaller company, in the end alone: so the one that kills its
worker is found, and the others that were with it are not punished. (A first death is mostly the machine's.)
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from typing import Final

from harness.runner import Job

AHEAD: Final = 64
"""Dialogues that a worker may hold besides those that it plays: what hides the way to the driver and back."""
NARROWER: Final = 4
"""By this factor the company of a dialogue shrinks with each death of its worker, from the second on."""
ALONE: Final = 3
"""Deaths of a worker that held a single dialogue, until that dialogue is given up."""


class Dealer:
    """`count` dialogues from `jobs` for `workers` workers that play `at_once` each."""

    def __init__(self, jobs: Iterator[Job], count: int, *, workers: int, at_once: int) -> None:
        self._jobs, self._fresh = jobs, count
        self._workers, self._at_once = workers, at_once
        self._held: dict[Hashable, dict[Job, None]] = {}
        self._deaths: Counter[Job] = Counter()
        self._alone: Counter[Job] = Counter()
        self._again: dict[int, deque[Job]] = {}
        """By how often their worker died."""
        self.given_up: list[Job] = []
        self.left = count
        """Dialogues that are neither recorded nor given up."""

    def held(self, worker: Hashable) -> list[Job]:
        """What a worker has been dealt and has not brought back."""
        return list(self._held.get(worker, ()))

    def deal(self, worker: Hashable) -> list[Job]:
        """More for this worker; nothing while it has enough, or while nothing is there."""
        held = self._held.setdefault(worker, {})
        if held:
            level = self._deaths[next(iter(held))]
        elif self._fresh:
            level = 0
        else:
            level = min((level for level, jobs in self._again.items() if jobs), default=0)
        room = self._room(level) - len(held)
        dealt: list[Job] = []
        while len(dealt) < room and (job := self._next(level)) is not None:
            dealt.append(job)
            held[job] = None
        return dealt

    def _room(self, level: int) -> int:
        """How many dialogues of which so many workers died may be with one worker."""
        if level:
            return max(1, self._at_once // int(NARROWER ** (level - 1)))
        ahead = min(AHEAD, max(0, self._fresh - self._workers * self._at_once) // (2 * self._workers))
        return min(self._at_once, -(-self.left // self._workers)) + ahead

    def _next(self, level: int) -> Job | None:
        if level:
            again = self._again.get(level)
            return again.popleft() if again else None
        if not self._fresh:
            return None
        self._fresh -= 1
        return next(self._jobs)

    def recorded(self, worker: Hashable, job: Job) -> bool:
        """A worker brought a dialogue back; False if it never had it."""
        if job not in self._held.get(worker, ()):
            return False
        del self._held[worker][job]
        self._deaths.pop(job, None)
        self._alone.pop(job, None)
        self.left -= 1
        return True

    def lost(self, worker: Hashable) -> list[Job]:
        """A worker is gone: what it held is played again, or given up. Returns what it held."""
        held = list(self._held.pop(worker, ()))
        for job in held:
            self._deaths[job] += 1
            self._alone[job] += len(held) == 1
            if self._alone[job] >= ALONE:
                self.given_up.append(job)
                self.left -= 1
            else:
                self._again.setdefault(self._deaths[job], deque()).append(job)
        return held
