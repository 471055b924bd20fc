"""`pytest --harness-check NAME`: the conformance kit in an author's own test run, one test per clause of the protocol.

pytest loads this module wherever the harness is installed; what a check needs is imported when one is asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.registry import Entry
    from harness.testing import Finding, Report, World

WHERE = "harness-check"
"""Stands where other tests have their file."""


class Warned(UserWarning):
    """A clause that may be broken on purpose is."""


class Broken(Exception):
    """A clause is broken. The text says which, what happened, and how to mend it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    what = (
        "check an installed component against every clause of the protocol, one test each; 'NAME option=value' sets options, "
    )
    what += "'KIND NAME' chooses where a name has several kinds"
    group = parser.getgroup("harness", "conversational recommenders (crs-harness)")
    group.addoption("--harness-check", action="append", default=[], metavar="NAME", help=f"{what}. Any number of times.")
    parser.addini(
        "harness_check", f"{what}. One component per line; left out when single files or tests are run.", "linelist", []
    )


@pytest.fixture
def harness_world() -> World:
    """A catalogue of 24 invented films, training dialogues and scenarios (`harness.testing.small_world`)."""
    from harness.testing import small_world

    return small_world()


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among the clauses too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = list(config.getoption("harness_check"))
    if all(Path(argument).is_dir() for argument in config.args):
        asked += config.getini("harness_check")
    if not asked:
        return
    from harness.errors import HarnessError, PluginError

    try:
        for spec in dict.fromkeys(asked):
            for check in _checks(session, spec):
                # As pytest collects any other collector, so that its tests are counted.
                report = config.hook.pytest_make_collect_report(collector=check)
                config.hook.pytest_collectreport(report=report)
                items += report.result
    except HarnessError as error:
        hint = (
            "\n  a package's components are found once it is installed: pip install -e ."
            if isinstance(error, PluginError)
            else ""
        )
        raise pytest.UsageError(f"--harness-check: {error}{hint}") from None


def _checks(session: pytest.Session, spec: str) -> Iterator[Check]:
    """One per kind that has a component of that name, or of the kind that is said. Raises UsageError or PluginError."""
    from harness.errors import UsageError
    from harness.lookup import chosen
    from harness.registry import KINDS, Registry

    try:
        name, *pairs = shlex.split(spec) or [""]
    except ValueError as error:
        raise UsageError(f"{spec!r}: {error}; write NAME, or NAME option=value") from None
    kind = next((kind for kind in KINDS if kind == name and pairs and "=" not in pairs[0]), None)
    if kind is not None:
        name, *pairs = pairs
    for entry, given in chosen(Registry(), name, kind, pairs, "option"):
        said = " ".join([f"{entry.kind} {name}", *pairs])
        yield Check.from_parent(session, name=said, nodeid=f"{WHERE}::{said}", entry=entry, given=given)


class Check(pytest.Collector):
    """One component. It is tried when its first clause is asked for."""

    def __init__(self, *, entry: Entry, given: dict[str, Any], **rest: Any) -> None:
        super().__init__(**rest)
        self.entry, self.given = entry, given
        self._came_of_it: Report | Exception | None = None

    def collect(self) -> list[pytest.Item]:
        from harness.testing.installed import clauses_of

        return [ClauseTest.from_parent(self, name=clause.name) for clause in clauses_of(self.entry.kind)]

    def finding(self, clause: str) -> Finding:
        """Of this component and clause. Raises HarnessError where it couldn't be tried: its options are wrong, say."""
        if self._came_of_it is None:
            from harness.errors import HarnessError
            from harness.testing import check_installed

            try:
                self._came_of_it = check_installed(self.entry.full_name, self.entry.kind, self.given)
            except HarnessError as error:
                self._came_of_it = error
        if isinstance(self._came_of_it, Exception):
            raise self._came_of_it
        return self._came_of_it[clause]


class ClauseTest(pytest.Item):
    """One clause of one component."""

    def runtest(self) -> None:
        check = self.parent
        assert isinstance(check, Check)  # noqa: S101  narrows the type
        finding = check.finding(self.name)
        if finding.state == "skipped":
            pytest.skip(finding.what)
        if finding.state == "warned":
            self.warn(Warned(_told(check.name, finding)))
        if finding.state == "failed":
            raise Broken(_told(check.name, finding))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is broken, without a traceback into the kit."""
        from harness.errors import HarnessError

        return str(excinfo.value) if isinstance(excinfo.value, Broken | HarnessError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int, str]:
        assert self.parent is not None  # noqa: S101  narrows the type
        return WHERE, 0, f"{self.parent.name}: {self.name}"


def _told(component: str, finding: Finding) -> str:
    return f"{component} breaks {finding.clause}: {finding.says}\n  found: {finding.what}\n  fix: {finding.fix}"
