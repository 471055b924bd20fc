"""Metrics that ask a model: many at once, failures with their reason, budgets that end cleanly, usage that adds up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from harness.api import Message, MetricSetup, Need, Scenario, TurnRecord, Unscored, Usage
from harness.errors import (
    BudgetExceeded,
    ComponentFault,
    LlmError,
    PluginError,
    RefusedError,
    TransportError,
)
from harness.judging import Judging
from harness.llm.metering import add
from harness.scoring import BoundMetric, score_run
from tests.support import catalogue


def where(row: int) -> str:
    return f"row {row}"


def each(function: Any, rows: int, **settings: Any) -> list[Any]:
    with Judging(**settings) as judging:
        return judging.each("mine", function, [(row,) for row in range(rows)], where)


def test_values_come_in_the_order_of_the_rows_whatever_the_order_of_the_answers() -> None:
    async def late_first(row: int) -> int:
        await asyncio.sleep(0.05 if row % 2 == 0 else 0)
        return row * row

    assert each(late_first, 40, concurrency=7) == [row * row for row in range(40)]


def test_exactly_as_many_questions_are_under_way_as_allowed() -> None:
    under_way, peak = 0, 0

    async def busy(row: int) -> int:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return row

    each(busy, 30, concurrency=5)
    assert peak == 5


def test_what_a_model_does_not_give_is_unscored_with_the_reason() -> None:
    raised = [
        TransportError("connection reset (after 6 tries)", final=True),
        RefusedError("content filter"),
        ComponentFault("malformed", "no JSON"),
    ]

    async def fails(row: int) -> float:
        if row < len(raised):
            raise raised[row]
        return 1.0

    values = each(fails, 4)
    assert [value.reason for value in values[:3]] == [
        "transport: connection reset (after 6 tries)",
        "refused: content filter",
        "malformed: no JSON",
    ]
    assert values[3] == 1.0


def test_a_judgement_that_takes_too_long_is_unscored_and_holds_up_nobody() -> None:
    async def hangs(row: int) -> float:
        await asyncio.sleep(0 if row else 60)
        return 1.0

    values = each(hangs, 3, timeout=0.2, concurrency=1)
    assert values == [Unscored("time-out: no judgement within 0.2 s"), 1.0, 1.0]


def test_a_bug_names_the_metric_and_the_place_and_a_metrics_own_time_out_is_a_bug() -> None:
    async def breaks(row: int) -> float:
        if row == 3:
            raise KeyError("x")
        return 1.0

    with pytest.raises(PluginError, match=r"metric 'mine' failed on row 3: KeyError: 'x'"):
        each(breaks, 5)

    async def own(row: int) -> float:
        raise TimeoutError("its own")

    with pytest.raises(PluginError, match="TimeoutError: its own"):
        each(own, 1)


def test_a_users_mistake_ends_it_at_once() -> None:
    asked = []

    async def no_key(row: int) -> float:
        asked.append(row)
        await asyncio.sleep(0)
        raise LlmError("there is no key")

    with pytest.raises(LlmError, match="there is no key"):
        each(no_key, 100, concurrency=4)
    assert len(asked) <= 4


def test_a_spent_budget_asks_nothing_more_but_lets_answers_come_in() -> None:
    answered = []

    async def spends(row: int) -> float:
        await asyncio.sleep(0.01)
        if row == 2:
            raise BudgetExceeded("3 dollars are spent")
        await asyncio.sleep(0.05)
        answered.append(row)
        return 1.0

    with pytest.raises(BudgetExceeded, match="3 dollars"):
        each(spends, 100, concurrency=4)
    assert sorted(answered) == [0, 1, 3], "what was under way was answered, and nothing was asked after it"


def test_usage_adds_up_over_calls_also_of_judgements_that_failed() -> None:
    async def costs(row: int) -> float:
        add(Usage(1, 10, 2, 0.5))
        if row == 0:
            raise RefusedError("no")
        return 1.0

    with Judging() as judging:
        judging.each("mine", costs, [(row,) for row in range(3)], where)
        judging.each("mine", costs, [(1,)], where)
        assert judging.usage == Usage(4, 40, 8, 2.0)


def test_models_are_closed_in_the_loop_that_used_them_and_a_failing_close_harms_nobody() -> None:
    seen: dict[str, Any] = {}

    async def ask(row: int) -> float:
        seen["used"] = (asyncio.get_running_loop(), threading.current_thread().name)
        return 1.0

    async def close() -> None:
        seen["closed"] = (asyncio.get_running_loop(), threading.current_thread().name)
        raise OSError("already gone")

    with Judging(closing=(close,)) as judging:
        judging.each("mine", ask, [(0,)], where)
    assert seen["closed"] == seen["used"]
    assert not any(thread.name == "harness-judges" for thread in threading.enumerate())


def test_it_works_inside_of_a_running_loop() -> None:
    """As in a notebook."""

    async def ask(row: int) -> float:
        return 1.0

    async def notebook() -> list[Any]:
        return each(ask, 2)

    assert asyncio.run(notebook()) == [1.0, 1.0]


class Judge:
    """Gives every dialogue the number in its first text."""

    level, family, higher_is_better, bounds = "dialogue", "judge", True, (0.0, 9.0)

    def prepare(self, setup: MetricSetup) -> None:
        pass

    async def score(self, view: Any) -> Any:
        add(Usage(1, 5, 1))
        text = view.dialogue.turns[0].text
        if text == "refuse":
            raise RefusedError("no")
        return float(text)


class TurnJudge(Judge):
    level, over_turns = "turn", "mean"

    async def score(self, view: Any) -> Any:
        return float(len(view.record.text)) if view.played else Unscored("not played")


class RunJudge(Judge):
    level = "run"

    async def score(self, view: Any) -> Any:
        return float(len(list(view.dialogues)))


def records(*texts: str) -> Any:
    from harness.api import DialogueRecord

    return [
        DialogueRecord(f"s{n}", f"d{n}", 0, "quit", ("m1",), (TurnRecord(text, ("m1",)), TurnRecord(text + "x", ("m2",))))
        for n, text in enumerate(texts)
    ]


def scored(*metrics: Any, texts: tuple[str, ...] = ("3", "refuse", "5")) -> dict[str, Any]:
    bound = [BoundMetric(type(metric).__name__, metric) for metric in metrics]
    scenarios = {f"s{n}": Scenario(f"s{n}", f"d{n}", (Message("seeker", "hi"),), Need(("m1",))) for n in range(len(texts))}
    return score_run(records(*texts), bound, MetricSetup(catalogue(), {}, 10, 3), scenarios, resamples=100).summary


def test_judges_of_turns_dialogues_and_runs_are_scored_like_any_metric() -> None:
    summary = scored(Judge(), TurnJudge(), RunJudge())
    judge, turns, run = (summary["metrics"][name] for name in ("Judge", "TurnJudge", "RunJudge"))
    assert (judge["value"], judge["n"], judge["unscored"]) == (4.0, 2, {"refused: no": 1})
    assert turns["value"] == pytest.approx(((1 + 2) / 2 + (6 + 7) / 2 + (1 + 2) / 2) / 3)
    assert run["value"] == 3.0
    assert summary["usage"]["judge"] == {"calls": 3, "prompt_tokens": 15, "completion_tokens": 3, "cost": 0.0, "cache_hits": 0}


def test_a_summary_without_judges_says_nothing_of_them() -> None:
    class Plain(Judge):
        family = "recommender"

        def score(self, view: Any) -> float:  # type: ignore[override]
            return 1.0

    assert "judge" not in scored(Plain())["usage"]


def test_a_judge_out_of_its_bounds_is_a_bug() -> None:
    with pytest.raises(PluginError, match="outside of its bounds"):
        scored(Judge(), texts=("12",))
