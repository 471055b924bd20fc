"""What the kit finds: clauses of the protocol, and for each what happened and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from harness.errors import described
from harness.registry import Kind

State = Literal["passed", "failed", "warned", "skipped"]
SHOWN = 3
"""Breaches of one clause that are told in full; the others are counted."""


class Clause(msgspec.Struct, frozen=True):
    """One thing that the protocol asks of a component. A breach of one that is not `must` is a warning."""

    name: str
    says: str
    fix: str
    must: bool = True


class Finding(msgspec.Struct, frozen=True):
    """What came of one clause. `fix` is empty unless there is something to mend."""

    clause: str
    says: str
    state: State
    what: str = ""
    fix: str = ""


class Stop(Exception):
    """Raised inside the kit when a breach leaves nothing to go on with."""


class Ledger:
    """Collects what was tried and what was broken, clause by clause."""

    def __init__(self, clauses: Iterable[Clause], unseen: Mapping[str, str] | None = None) -> None:
        """`unseen`: clauses whose breaches would not show, whatever is tried, and why."""
        self._clauses = {clause.name: clause for clause in clauses}
        self._unseen = dict(unseen or {})
        self._breaches: dict[str, list[tuple[str, bool]]] = {}
        self._notes: dict[str, str] = {}
        self._skipped: dict[str, str] = {}

    def tried(self, clause: str, note: str = "") -> None:
        """The clause was put to the test; it is passed unless a breach is told."""
        self._breaches.setdefault(self._known(clause), [])
        self._skipped.pop(clause, None)
        if note:
            self._notes[clause] = note

    def breach(self, clause: str, what: str, *, mild: bool = False) -> None:
        """The clause is broken; `mild` makes it a warning whatever the clause says."""
        told = self._breaches.setdefault(self._known(clause), [])
        if what not in (text for text, _ in told):
            told.append((what, mild))

    def stop(self, clause: str, what: str) -> Stop:
        """The same, as an exception to raise: nothing more can be tried."""
        self.breach(clause, what)
        return Stop(clause)

    def skip(self, clause: str, why: str) -> None:
        """The clause doesn't apply. What is tried later is told then."""
        self._skipped[self._known(clause)] = why

    def broken(self, *clauses: str) -> bool:
        """True when one of these is broken."""
        return any(self._breaches.get(self._known(clause)) for clause in clauses)

    def findings(self) -> list[Finding]:
        """One per clause, in the order of the clauses."""
        return [self._finding(clause) for clause in self._clauses.values()]

    def _finding(self, clause: Clause) -> Finding:
        breaches = self._breaches.get(clause.name)
        if breaches:
            state: State = "failed" if clause.must and not all(mild for _, mild in breaches) else "warned"
            told = [text for text, _ in breaches[:SHOWN]]
            more = f"; and {len(breaches) - SHOWN} more" if len(breaches) > SHOWN else ""
            return Finding(clause.name, clause.says, state, "; ".join(told) + more, clause.fix)
        if breaches is None or clause.name in {**self._unseen, **self._skipped}:
            why = {**self._skipped, **self._unseen}.get(clause.name, "not reached, because of what failed above")
            return Finding(clause.name, clause.says, "skipped", why)
        return Finding(clause.name, clause.says, "passed", self._notes.get(clause.name, ""))

    def _known(self, clause: str) -> str:
        if clause not in self._clauses:
            raise KeyError(f"no clause {clause!r}")
        return clause


class Report(msgspec.Struct, frozen=True):
    """All findings about one component."""

    kind: Kind
    name: str
    findings: tuple[Finding, ...]
    world: str = ""
    """What it was tried on."""

    def of(self, state: State) -> list[Finding]:
        """The findings of one state."""
        return [finding for finding in self.findings if finding.state == state]

    @property
    def ok(self) -> bool:
        """True when nothing failed; warnings don't count."""
        return not self.of("failed")

    def __getitem__(self, clause: str) -> Finding:
        """The finding about one clause. Raises KeyError for an unknown one."""
        for finding in self.findings:
            if finding.clause == clause:
                return finding
        raise KeyError(clause)

    def raise_if_failed(self) -> None:
        """For tests: AssertionError that tells each failed clause, what happened and how to mend it."""
        failed = self.of("failed")
        if failed:
            lines = [f"{self.kind} {self.name} breaks {len(failed)} clause{'s' if len(failed) > 1 else ''} of the protocol:"]
            for finding in failed:
                lines += [f"  {finding.clause}: {finding.says}", f"    found: {finding.what}", f"    fix: {finding.fix}"]
            raise AssertionError("\n".join(lines))


def shown(value: Any, limit: int = 60) -> str:
    """A value of a stranger in a message: short, on one line."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  a stranger's code
        text = f"<{type(value).__name__}>"
    text = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def told(error: BaseException) -> str:
    """An exception in a finding."""
    text = described(error, 300)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
