"""Where dialogues run: in this process, or on a cluster (`harness.engines.ray`). What is played is the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness import runner
from harness.api import DialogueRecord
from harness.assembly import Assembly, prepare


class Engine(Protocol):
    """Plays the dialogues of any number of runs, one run after the other; `close` ends it."""

    def prepare(self, assembly: Assembly, say: Callable[[str], None]) -> None:
        """Whatever must be there before the first dialogue; `say` shows a line. Raises HarnessError."""

    async def play(
        self,
        assembly: Assembly,
        done: set[tuple[str, int]],
        write: Callable[[DialogueRecord], None],
        schedule_seed: int | None = None,
    ) -> None:
        """As `harness.runner.play`: every record goes to `write`, cancelled ones too. Raises BudgetExceeded, HarnessError."""

    def close(self) -> None:
        """Give back what the engine holds. Safe to call twice."""


class Local:
    """In this process, with asyncio."""

    def prepare(self, assembly: Assembly, say: Callable[[str], None]) -> None:
        """Prepare the components here."""
        names = unprepared(assembly)
        if names:
            say("preparing " + " and ".join(names))
        prepare(assembly)

    async def play(
        self,
        assembly: Assembly,
        done: set[tuple[str, int]],
        write: Callable[[DialogueRecord], None],
        schedule_seed: int | None = None,
    ) -> None:
        """All of them in the running loop."""
        await runner.play(assembly, done, write, schedule_seed)

    def close(self) -> None:
        """Nothing is held."""


def unprepared(assembly: Assembly) -> list[str]:
    """Names of the components whose `prepare` has not run in this process."""
    return [getattr(assembly.config, role).name for role in assembly.instances if role not in assembly.prepared]
