"""`harness check --isolate`: the same clauses, of a package that the harness never imports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile import install
from test_command import harness

from harness.config import Choice, RunConfig, Transport
from harness.isolation.opening import keep_out
from harness.isolation.settings import Isolation
from harness.registry import Registry
from harness.testing import Report
from harness.testing.installed import clauses_of
from harness.testing.isolated import UNSEEN, check_isolated

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's"), pytest.mark.slow]


def check(how: str) -> Report:
    config = RunConfig(
        recommender=Choice("hostile-crs:breaker", {"how": how}),
        simulator=None,
        turns=1,
        dataset=Choice("cinema"),
        isolation=Isolation(memory=1 << 30),
        transport=Transport(timeout=2.0),
    )
    keep_out([config])
    entry, report, gaps = check_isolated(Registry(), config)
    assert (entry.full_name, gaps) == ("hostile-crs:breaker", "")
    return report


def test_one_that_keeps_every_clause_passes(site: Path) -> None:
    report = check("")
    assert report.of("failed") == report.of("warned") == []
    assert [finding.clause for finding in report.findings] == [clause.name for clause in clauses_of("recommender")]
    skipped = {finding.clause: finding.what for finding in report.of("skipped")}
    assert UNSEEN.items() <= skipped.items()
    assert not {"barrier", "same-elsewhere", "survives", "plays", "no-memory", "in-time"} & set(skipped)
    assert "not reached" not in " ".join(skipped.values())
    assert report.world == "the small world, in processes of its own"


HOW = (
    "no-exceptions,valid-answer,not-empty,known-ids,state-json", "same-again", "same-elsewhere", "prepares",
    "prepares-untrained", "in-time", "survives",
)  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_a_broken_clause_is_found_where_nothing_of_it_can_be_seen(site: Path, how: str) -> None:
    report = check(how)
    hows = set(how.split(","))
    for clause in hows:
        assert report[clause].state == "failed", (clause, [(f.clause, f.what[:200]) for f in report.of("failed")])
        assert report[clause].fix
    if how == "survives":
        assert "its process ended with exit status 3" in report[how].what
    others = {finding.clause for finding in report.of("failed")} - hows
    assert others <= {"plays", "prepares-untrained"}, others


def test_the_command_never_imports_the_package(tmp_path: Path) -> None:
    site = install(tmp_path / "site")
    run: Any = harness(site, "check", "hostile-crs:breaker", "--isolate", "--opt", "how=honours-rejections", "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["distribution"], said["version"], said["ok"], said["warned"]) == ("hostile-crs", "1.2", True, 1)
    assert not list(site.rglob("imported-by-*"))
    wrong = harness(site, "check", "rule", "--kind", "simulator", "--isolate")
    assert wrong.returncode == 2
    assert "--isolate is for recommenders" in wrong.stderr
    unknown = harness(site, "check", "hostile-crs:nobody", "--isolate-memory", "1G")
    assert unknown.returncode == 2
    assert "nobody" in unknown.stderr
    assert not list(site.rglob("imported-by-*"))
