"""Pairs of dialogues before a judge: both orders, wins only where both agree, and the numbers by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.api import DialogueRecord, Message, MetricSetup, Need, Scenario, TurnRecord, Unscored
from harness.columns import BoundMetric
from harness.errors import PluginError, RefusedError, UsageError
from harness.judging import Judging
from harness.preference import Preference, prefer
from tests.support import catalogue


class Judge:
    """Prefers by a function of the two dialogues' texts."""

    level, family, higher_is_better, bounds = "dialogue", "judge", True, (-1.0, 1.0)

    def __init__(self, function: Callable[[str, str], Any]) -> None:
        self.function = function
        self.asked: list[tuple[str, str]] = []

    def prepare(self, setup: MetricSetup) -> None:
        pass

    async def score(self, view: Any) -> Unscored:
        return Unscored("two runs are needed")

    async def prefer(self, first: Any, second: Any) -> Any:
        texts = first.dialogue.turns[0].text, second.dialogue.turns[0].text
        self.asked.append(texts)
        return self.function(*texts)


def run(*texts: str, trial: int = 0, stop: str = "quit") -> list[DialogueRecord]:
    return [DialogueRecord(f"s{n}", f"d{n // 2}", trial, stop, ("m1",), (TurnRecord(t),)) for n, t in enumerate(texts)]  # type: ignore[arg-type]


def compared(judge: Judge, a: list[DialogueRecord], b: list[DialogueRecord]) -> Preference:
    scenarios = {f"s{n}": Scenario(f"s{n}", f"d{n // 2}", (Message("seeker", "hi"),), Need(("m1",))) for n in range(20)}
    with Judging(concurrency=1) as judging:
        return prefer(a, b, scenarios, BoundMetric("mine", judge), MetricSetup(catalogue(), {}, 10, 3), judging, resamples=200)


def longer(first: str, second: str) -> str:
    """A fair judge: sees the quality, never the place."""
    return "tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second"


def test_a_fair_judge_gives_wins_ties_and_losses() -> None:
    judge = Judge(longer)
    found = compared(judge, run("aaa", "aaa", "aa", "a", "aaaa"), run("b", "b", "bb", "bb", "b"))
    assert (found.wins, found.ties, found.losses, found.n, found.clusters) == (3, 1, 1, 5, 3)
    assert found.win_share.value == pytest.approx(0.6)
    assert found.difference == pytest.approx(0.4)
    assert found.same_verdict == 1.0
    assert found.first_place == 0.5
    assert judge.asked[:2] == [("aaa", "b"), ("b", "aaa")], "both orders are asked"


def test_a_judge_that_always_takes_the_first_finds_no_winner() -> None:
    found = compared(Judge(lambda first, second: "first"), run("aaa", "a"), run("b", "b"))
    assert (found.wins, found.ties, found.losses) == (0, 2, 0)
    assert found.same_verdict == 0.0
    assert found.first_place == 1.0
    assert found.difference == 0.0


def test_a_win_in_one_order_and_a_tie_in_the_other_is_a_tie() -> None:
    found = compared(Judge(lambda first, second: "first" if first == "a" else "tie"), run("a"), run("b"))
    assert (found.wins, found.ties, found.same_verdict) == (0, 1, 0.0)


def test_the_other_way_round_wins_are_losses() -> None:
    a, b = run("aaa", "aaa", "aa", "a"), run("b", "b", "bb", "bb")
    there, back = compared(Judge(longer), a, b), compared(Judge(longer), b, a)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.difference == pytest.approx(-back.difference)  # type: ignore[operator]
    assert there.p == back.p


def test_with_one_pair_per_source_the_test_is_the_sign_test() -> None:
    """Five wins, one loss, two ties: 2 * (C(6,0) + C(6,1)) / 2^6."""
    a = [DialogueRecord(f"s{2 * n}", f"d{n}", 0, "quit", ("m1",), (TurnRecord("aa" if n < 5 else "b"),)) for n in range(8)]
    b = [DialogueRecord(f"s{2 * n}", f"d{n}", 0, "quit", ("m1",), (TurnRecord("b" if n != 5 else "bb"),)) for n in range(8)]
    found = compared(Judge(longer), a, b)
    assert (found.wins, found.ties, found.losses) == (5, 2, 1)
    assert found.p == pytest.approx(2 * (1 + 6) / 64)
    assert found.exact


def test_a_pair_that_one_order_leaves_unjudged_counts_nowhere() -> None:
    def choosy(first: str, second: str) -> Any:
        if second == "aaa":
            return Unscored("unparsable: no JSON")
        if first == "refuse":
            raise RefusedError("content filter")
        return longer(first, second)

    found = compared(Judge(choosy), run("aaa", "refuse", "aa"), run("b", "b", "b"))
    assert (found.wins, found.n) == (1, 1)
    assert found.unscored == {"unparsable: no JSON": 1, "refused: content filter": 1}


def test_trials_are_paired_and_dialogues_of_one_run_alone_are_counted() -> None:
    a = [*run("aa", "aa", "aa"), *run("aa", trial=1)]
    b = [*run("b"), *run("bbb", trial=1), *run("b", "b", stop="simulator_fault")[1:]]
    found = compared(Judge(longer), a, b)
    assert (found.wins, found.losses, found.n, found.only_a, found.only_b) == (1, 1, 2, 2, 0)


def test_nothing_in_common_is_no_number() -> None:
    found = compared(Judge(longer), run("a"), [])
    assert found.n == 0
    assert isinstance(found.difference, Unscored)
    assert isinstance(found.p, Unscored)
    assert found.same_verdict == Unscored("no pair was judged")


def test_a_verdict_that_is_none_is_a_bug_and_a_metric_of_single_runs_is_refused() -> None:
    with pytest.raises(PluginError, match=r"prefer\(\) gave 'left'"):
        compared(Judge(lambda first, second: "left"), run("a"), run("b"))

    class Single:
        def prepare(self, setup: MetricSetup) -> None: ...

    with pytest.raises(UsageError, match="no judge of pairs"):
        compared(Single(), run("a"), run("b"))  # type: ignore[arg-type]
