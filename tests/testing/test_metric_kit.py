"""The kit finds what is wrong with a metric, and nothing where nothing is wrong."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import Any

import numpy as np
import pytest

from harness import Unscored
from harness.llm import ChatMessage, ChatRequest
from harness.testing import Report, check_metric


class Sound:
    """Reciprocal rank of the first target."""

    level = "turn"
    family = "ranking"
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, options: None = None) -> None: ...
    def prepare(self, setup: Any) -> None: ...

    def score(self, view: Any) -> Any:
        return max((1 / rank for rank in view.ranks if rank), default=0.0)


class Ranked(Sound):
    def score_ranks(self, ranks: Any, targets: Any) -> Any:
        return np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0).max(axis=1)


class LikedShare(Sound):
    """Needs the scenario, and says so."""

    level = "dialogue"
    family = "simulator"

    def score(self, view: Any) -> Any:
        if view.scenario is None:
            return Unscored("needs the scenario")
        liked = set(view.scenario.need.liked_items)
        shown = {i for turn in view.dialogue.turns for i in turn.items}
        return len(liked & shown) / len(liked) if liked else Unscored("nothing is known to be liked")


class ListLength(Sound):
    over_turns = "mean"
    family = "recommender"
    bounds = (0.0, float("inf"))

    def score(self, view: Any) -> Any:
        return float(len(view.items)) if view.played else Unscored("not played")


class Dialogues(Sound):
    level = "run"
    family = "cost"
    bounds = (0.0, float("inf"))

    def score(self, view: Any) -> Any:
        turns = [len(dialogue.dialogue.turns) for dialogue in view.dialogues]
        return sum(turns) / len(turns) if turns else Unscored("no dialogues")


@pytest.mark.parametrize("make", [Sound, Ranked, LikedShare, ListLength, Dialogues])
def test_sound_ones_break_nothing(make: Any) -> None:
    report = check_metric(make)
    assert report.ok, report.of("failed")
    assert not report.of("warned")


class NoFamily(Sound):
    family = "beauty"


class NoLevel(Sound):
    level = "word"


class Backwards(Sound):
    bounds = (1.0, 0.0)


class WrongWay(Sound):
    higher_is_better = False


class Nan(Sound):
    def score(self, view: Any) -> Any:
        return float("nan") if not any(view.ranks) else 1.0


class Nothing(Sound):
    def score(self, view: Any) -> Any:
        return None if not any(view.ranks) else 1.0


class Speechless(Sound):
    def score(self, view: Any) -> Any:
        return Unscored("") if not any(view.ranks) else 1.0


class OutOfBounds(Sound):
    def score(self, view: Any) -> Any:
        return float(sum(rank > 0 for rank in view.ranks)) * 2


class Divides(Sound):
    family = "recommender"

    def score(self, view: Any) -> Any:
        return 1 / len(view.items)


class NeedsScenario(LikedShare):
    def score(self, view: Any) -> Any:
        return float(bool(view.scenario.need.targets))


class CountsUnplayed(ListLength):
    def score(self, view: Any) -> Any:
        return float(len(view.items))


class ReadsTwice(Dialogues):
    def score(self, view: Any) -> Any:
        count = sum(1 for _ in view.dialogues)
        turns = sum(len(dialogue.dialogue.turns) for dialogue in view.dialogues)
        return turns / count if count else Unscored("no dialogues")


class EmptyRun(Dialogues):
    def score(self, view: Any) -> Any:
        turns = [len(dialogue.dialogue.turns) for dialogue in view.dialogues]
        return sum(turns) / len(turns)


class OtherRanks(Ranked):
    def score_ranks(self, ranks: Any, targets: Any) -> Any:
        return np.where(ranks > 0, 1 / (ranks + 1.0), 0.0).max(axis=1)


class WritesRanks(Ranked):
    def score_ranks(self, ranks: Any, targets: Any) -> Any:
        values = super().score_ranks(ranks, targets)
        ranks[:] = 0
        return values


class Remembers(Sound):
    """A running mean."""

    def prepare(self, setup: Any) -> None:
        self.seen: list[float] = []

    def score(self, view: Any) -> Any:
        self.seen.append(super().score(view))
        return sum(self.seen) / len(self.seen)


class Spoils(Sound):
    family = "cost"

    def score(self, view: Any) -> Any:
        view.dialogue.seconds["metric"] = 1.0
        return 0.5


class Popular(Sound):
    def prepare(self, setup: Any) -> None:
        self.most = max(setup.popularity.values())


class Believes(Sound):
    """A success is what the simulator says is one."""

    level = "dialogue"
    family = "interaction"

    def score(self, view: Any) -> Any:
        return float(any("thank" in (turn.user_text or "").lower() for turn in view.dialogue.turns))


class BelievesAccepts(Believes):
    def score(self, view: Any) -> Any:
        return float(any(turn.accepted for turn in view.dialogue.turns))


class Draws(Sound):
    def prepare(self, setup: Any) -> None:
        random.seed(0)

    def score(self, view: Any) -> Any:
        random.seed(len(view.items))
        return random.random()


class Later(Sound):
    async def prepare(self, setup: Any) -> None:  # type: ignore[override]
        """Never awaited."""


class Hangs(Sound):
    def score(self, view: Any) -> Any:
        if view.turn == 3:
            threading.Event().wait()
        return 0.5


class HangsOverRanks(Ranked):
    def score_ranks(self, ranks: Any, targets: Any) -> Any:
        threading.Event().wait()


class SlowJudge(Sound):
    level = "dialogue"
    family = "judge"

    async def score(self, view: Any) -> Any:  # type: ignore[override]
        await asyncio.sleep(3600)


@pytest.mark.parametrize("make", [Hangs, HangsOverRanks])
def test_a_value_that_never_comes_is_a_matter_of_time(make: Any) -> None:
    report = check_metric(make, timeout=1.0)
    assert [f.clause for f in report.of("failed")] == ["in-time"]
    assert "no answer within 1 s" in report["in-time"].what


def test_the_judgements_of_a_slow_judge_are_unscored() -> None:
    report = check_metric(SlowJudge, timeout=0.05)
    assert report.ok, report.of("failed")
    assert "has-value" in [f.clause for f in report.of("warned")]


@pytest.mark.parametrize(
    ("make", "clauses"),
    [
        (Believes, {"not-from-words"}),
        (BelievesAccepts, {"not-from-words"}),
        (Draws, {"no-global-random"}),
        (Later, {"declares"}),
        (NoFamily, {"declares"}),
        (NoLevel, {"declares"}),
        (Backwards, {"declares"}),
        (WrongWay, {"direction"}),
        (Nan, {"number"}),
        (Nothing, {"number"}),
        (Speechless, {"number"}),
        (OutOfBounds, {"bounds"}),
        (Divides, {"no-exceptions", "without-scenario"}),
        (NeedsScenario, {"without-scenario", "scores-a-run"}),
        (CountsUnplayed, {"unplayed"}),
        (ReadsTwice, {"streams"}),
        (EmptyRun, {"empty-run"}),
        (OtherRanks, {"scores-ranks"}),
        (WritesRanks, {"leaves-input"}),
        (Remembers, {"same-again"}),
        (Spoils, {"leaves-input"}),
        (Popular, {"prepares"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_fault_breaks_its_own_clauses(make: Any, clauses: set[str]) -> None:
    report: Report = check_metric(make)
    assert {finding.clause for finding in report.of("failed")} == clauses, report.of("failed")
    assert all(finding.what and finding.fix for finding in report.of("failed"))


class Always(Sound):
    def score(self, view: Any) -> Any:
        return Unscored("no model is installed")


def test_one_without_any_value_is_warned_of() -> None:
    report = check_metric(Always)
    assert report.ok
    assert [f.clause for f in report.of("warned")] == ["has-value"]
    assert "no model is installed" in report["has-value"].what


class Judge(Sound):
    """Asks a language model about every dialogue."""

    level = "dialogue"
    family = "judge"
    bounds = (1.0, 5.0)
    text = '{"type": "integer", "minimum": 2}'

    def prepare(self, setup: Any) -> None:
        self.llm = setup.llm

    async def ask(self, *views: Any) -> str:
        said = "\n".join(turn.text for view in views for turn in view.dialogue.turns)
        answer = await self.llm.chat(ChatRequest((ChatMessage("user", said),), schema=json.loads(self.text)))
        return str(answer.text)

    async def score(self, view: Any) -> Any:
        return float(await self.ask(view))


class Harsh(Judge):
    text = '{"type": "integer", "minimum": 0}'


class PairJudge(Judge):
    text = '{"enum": ["second", "first"]}'

    async def score(self, view: Any) -> Any:
        return Unscored("it compares two runs")

    async def prefer(self, first: Any, second: Any) -> Any:
        return json.loads(await self.ask(first, second))


class OddPairs(PairJudge):
    text = '{"enum": ["A", "B"]}'


def test_judges_are_asked_with_a_stub() -> None:
    report = check_metric(Judge)
    assert report.ok, report.of("failed")
    assert not report.of("warned")
    assert "stub" in report.world
    assert [f.clause for f in check_metric(Harsh).of("failed")] == ["bounds"]
    pairs = check_metric(PairJudge)
    assert pairs.ok, pairs.of("failed")
    assert pairs["prefers"].state == "passed"
    assert not pairs.of("warned")
    assert [f.clause for f in check_metric(OddPairs).of("failed")] == ["prefers"]
