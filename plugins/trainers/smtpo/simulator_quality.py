"""How good a simulator is on held-out moments: what it says, what it accepts, what it gives away, per turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from harness.api import Conversation, Item, Message, Scenario
from harness.errors import ComponentFault
from harness.leakgate import LeakGate
from harness.text import AttributeIndex

from ...smtpo.user.decision import Decision, decide
from ...smtpo.user.mind import Mind
from .simulator_calibration import LIST, Judged, accepting, area, hit_at_1, played
from .simulator_data import Moment, Moments, pairs


class Answered(msgspec.Struct, frozen=True):
    """What a simulator answered at one moment. Attribute scores are against the target's attributes; None: nothing was said,
    or nothing of that kind can be told."""

    scenario: str
    turn: int
    text: str
    precision: float | None
    recall: float
    f1: float
    leak: bool
    malformed: bool
    accepted: bool
    right: bool
    """The accepted item is the target."""
    there: bool
    """The target was shown."""
    best: bool
    """The target was shown and judged best."""


async def judge(mind: Mind, moments: Moments, scenarios: Iterable[Scenario], depth: int) -> list[Judged]:
    """The verdicts on the reference recommender's best items."""

    async def one(scenario: Scenario) -> Judged:
        viewer, hybrid = moments.part(scenario)
        items = moments.pool(hybrid, scenario)[:depth]
        first = Message("recommender", "", ranked=tuple(item.id for item in items[:LIST]))
        view = viewer.view(Conversation((*scenario.context, first)))
        odds = await mind.judge(view, items)
        wanted = set(scenario.need.targets)
        return Judged(scenario.id, tuple(odds.values()), tuple(item.id in wanted for item in items))

    return list(await asyncio.gather(*map(one, scenarios)))


async def answer(
    mind: Mind, decision: Decision, moments: Moments, scenarios: Sequence[Scenario], *, align: bool = True
) -> list[Answered]:
    """The simulator's answers to the moments of some scenarios."""
    gate, index = LeakGate(moments.catalogue), AttributeIndex(moments.catalogue)

    async def one(scenario: Scenario, moment: Moment) -> Answered:
        odds = await mind.judge(moment.view, moment.view.shown)
        verdict = decide(decision, odds)
        target = moment.target.id
        text, malformed = "", False
        try:
            plan = (await mind.align(moment.view)).plan() if align else ""
            text = await mind.feedback(moment.view, plan)
        except ComponentFault:
            malformed = True
        precision, recall, f1 = _attributes(index, text, moment.target)
        best = max(odds, key=odds.__getitem__, default=None)
        return Answered(
            scenario=scenario.id,
            turn=moment.turn,
            text=text,
            precision=precision,
            recall=recall,
            f1=f1,
            leak=bool(gate.check(text, hidden=scenario.need.targets).leaks),
            malformed=malformed,
            accepted=bool(verdict.accepted),
            right=verdict.accepted == (target,),
            there=target in odds,
            best=target in odds and best == target,
        )

    return list(await asyncio.gather(*(one(s, m) for s in scenarios for m in moments.of(s))))


def _attributes(index: AttributeIndex, text: str, target: Item) -> tuple[float | None, float, float]:
    """Precision, recall, F1 of a text's statements: wanted values that the target has, unwanted ones that it lacks."""
    own = set(pairs(target))
    said = index.statements(text)
    # One name may stand under several facets (who directs and plays): one of them being right makes it right.
    claims: dict[tuple[str, int], bool] = defaultdict(bool)
    for s in said:
        claims[s.value, s.polarity] |= ((s.facet, s.value) in own) == (s.polarity > 0)
    if not claims:
        return None, 0.0, 0.0
    precision = sum(claims.values()) / len(claims)
    recall = len({(s.facet, s.value) for s in said if s.polarity > 0} & own) / len(own)
    return precision, recall, 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def summary(answers: Sequence[Answered]) -> dict[str, float]:
    """Means over answers; precision over those that state something."""
    count = max(1, len(answers))
    stated = [a.precision for a in answers if a.precision is not None]
    accepted, there = sum(a.accepted for a in answers), sum(a.there for a in answers)
    right = sum(a.right for a in answers)
    return {
        "answers": len(answers),
        "attribute precision": sum(stated) / max(1, len(stated)),
        "attribute recall": sum(a.recall for a in answers) / count,
        "attribute F1": sum(a.f1 for a in answers) / count,
        "states something": len(stated) / count,
        "accept precision": right / max(1, accepted),
        "accept recall": right / max(1, there),
        "accept polarity": sum(a.accepted == a.there for a in answers) / count,
        "hit@1": sum(a.best for a in answers) / max(1, there),
        "leak rate": sum(a.leak for a in answers) / count,
        "malformed": sum(a.malformed for a in answers) / count,
    }


def report(answers: Sequence[Answered], judged: Sequence[Judged], decision: Decision) -> dict[str, Any]:
    """For the model card: answers in all and by turn; verdicts on what the reference recommender shows first."""
    turns = sorted({a.turn for a in answers})
    precision, recall, f1 = accepting(judged, decision)
    first = {
        "AUC": area(judged),
        "hit@1": hit_at_1(judged),
        "accept precision": precision,
        "accept recall": recall,
        "accept F1": f1,
    }
    return {
        "all": summary(answers),
        **{f"turn {t}": summary([a for a in answers if a.turn == t]) for t in turns},
        "first lists": first,
        "ndcg@10 by turn, thresholds alone": played(judged, decision),
    }
