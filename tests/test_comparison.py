"""All pairs of runs, and the scenarios in which runs differ most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.comparison import every_pair, most_different, need_comparable
from harness.errors import UsageError
from harness.statistics import holm


def rows(values: Mapping[str, float | str]) -> list[Mapping[str, Any]]:
    return [{"scenario": s, "source": f"d-{s}", "values": {"ndcg@10": value}} for s, value in values.items()]


def test_the_winner_changes_from_scenario_to_scenario() -> None:
    first = rows({"a": 1.0, "b": 1.0, "c": 0.9, "d": 0.0, "e": 0.5, "f": 1.0})
    second = rows({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.4, "e": 0.5, "f": "unscored"})
    found = most_different([first, second], "ndcg@10", 10)
    assert [(d.scenario, d.values) for d in found] == [
        ("a", (1.0, 0.0)),
        ("d", (0.0, 0.4)),
        ("b", (1.0, 0.0)),
        ("c", (0.9, 0.0)),
    ], "e is equal and f is scored in one run only"
    assert [d.scenario for d in most_different([first, second], "ndcg@10", 2)] == ["a", "d"]


def test_of_three_runs_the_extremes_count() -> None:
    runs = [rows({"a": 0.2, "b": 0.0}), rows({"a": 0.3, "b": 0.1}), rows({"a": 0.1, "b": 0.9})]
    found = most_different(runs, "ndcg@10", 5)
    assert {d.scenario: d.spread for d in found} == {"a": pytest.approx(0.2), "b": pytest.approx(0.9)}


def test_p_is_corrected_over_all_pairs_and_metrics() -> None:
    base = {f"s{n}": n / 12 for n in range(12)}
    runs = [
        rows(base),
        rows({s: v + 0.1 for s, v in base.items()}),
        rows({s: v - (n % 3) / 30 for n, (s, v) in enumerate(base.items())}),
    ]
    found = every_pair(runs, {"ndcg@10": True}, resamples=500)
    assert [(pair.a, pair.b) for pair in found] == [(0, 1), (0, 2), (1, 2)]
    assert [pair.p_holm for pair in found] == pytest.approx(holm([pair.comparison.p for pair in found]))


def test_runs_that_mean_different_things_are_refused_by_name() -> None:
    run = {
        "dataset": "x",
        "split": "test",
        "variant": "novel",
        "data_hash": "h",
        "preset": "p",
        "protocol": "1",
        "simulator": "rule",
    }
    protocol = {"k": 10, "max_turns": 5, "success_k": 10, "read_at": "last"}
    mine = {"run": run, "protocol": protocol}
    other = {"run": {**run, "simulator": "noisy"}, "protocol": protocol}
    with pytest.raises(UsageError, match=r"runs/b differ in simulator .rule and noisy.*--any-simulator"):
        need_comparable(["runs/a", "runs/b"], [mine, other])
    need_comparable(["runs/a", "runs/b"], [mine, other], any_simulator=True)
    with pytest.raises(UsageError, match="differ in k:"):
        need_comparable(["runs/a", "runs/b"], [mine, {"run": run, "protocol": {**protocol, "k": 5}}])
