"""Many at once, or one alone."""

from __future__ import annotations

from harness.llm.loops import Waiters


class Company:
    """Calls under way in one event loop. One that wants to be alone waits for the others to leave, and they for it."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = False
        self._wanting = 0
        self._waiters = Waiters()

    async def enter(self, alone: bool) -> None:
        """Return when there is room; `leave` afterwards."""
        self._wanting += alone
        try:
            while self._alone or (self._inside if alone else self._wanting):
                await self._waiters.wait()
        except BaseException:
            self._wanting -= alone
            self._waiters.wake_all()
            raise
        self._wanting -= alone
        self._inside += 1
        self._alone = alone

    def leave(self) -> None:
        """Make room."""
        self._inside -= 1
        self._alone = False
        self._waiters.wake_all()
