"""Moments as examples of the three tasks, mixed into one endless stream."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from harness.api import Item, Scenario
from harness.errors import DataError
from harness.leakgate import LeakGate

from ...prompting import Prompt
from ...smtpo.user.mind import NO, YES
from .lm import Example
from .simulator_data import Moment, Moments
from .simulator_replies import Key
from .simulator_wording import nothing_new

Task = Literal["feedback", "alignment", "target"]
TASKS: Final[tuple[Task, ...]] = ("feedback", "alignment", "target")
_BUFFER: Final = 512
_PLANLESS: Final = 0.1
"""Share of the feedback examples without notes, whose reply states nothing: notes are empty where nothing new can be said."""
_SHOWN: Final = 0.1
"""Share of the verdicts that are on shown items, which may be anything. [inferred]"""
_JUDGED: Final = 30
"""Of the recommender's best items, those that verdicts are on."""

Replies = Literal["grammar", "real", "teacher"]
Share = Annotated[float, msgspec.Meta(ge=0)]


Weights = dict[Task, float]
"""What a token of a task's answers counts."""


class Mixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often each task comes, and what its loss weighs. A task with either at 0 is left out."""

    feedback: Share = 2.0
    alignment: Share = 1.0
    target: Share = 1.0
    lambda_feedback: Share = 1.0
    lambda_alignment: Share = 1.0
    lambda_target: Share = 1.0
    negatives: Annotated[int, msgspec.Meta(ge=1, description="refused items per accepted one")] = 1

    def share(self, task: Task) -> float:
        """Relative frequency."""
        return float(getattr(self, task)) if self.weight(task) else 0.0

    def weight(self, task: Task) -> float:
        """Of the task's loss."""
        return float(getattr(self, f"lambda_{task}"))


class Examples:
    """Writes moments as examples; answers that name a title of the catalogue are left out.

    Replies are the moments' own (the grammar's), those that real people gave, or those in `taught`, which belong to the moments
    of pass 0.
    """

    def __init__(
        self,
        moments: Moments,
        prompt: Prompt,
        mixture: Mixture,
        replies: Replies = "grammar",
        taught: Mapping[Key, str] = MappingProxyType({}),
        weights: Weights | None = None,
    ) -> None:
        self._moments, self._prompt, self._mixture = moments, prompt, mixture
        self._replies, self._taught = replies, taught
        self._gate = LeakGate(moments.catalogue)
        self._weights = weights or {task: mixture.weight(task) for task in TASKS}
        self.left_out = 0
        """Answers that named a title."""

    def weigh(self, length: Callable[[Example], int], sample: Sequence[Scenario]) -> Weights:
        """Weights by which each *answer* counts the same, whatever its length in tokens: L = lambda/|y| * sum of the token
        losses, with |y| as the task's mean over a sample, scaled so that the mean weight of a token is about one."""
        shares = {task: self._mixture.share(task) for task in TASKS}
        lengths = dict.fromkeys(TASKS, 1.0)
        for task in TASKS:
            if shares[task]:
                rng = Random(task)
                made = [length(e) for s in sample for m in self._moments.of(s) for e in self._written(task, m, s, rng)]
                lengths[task] = max(1.0, sum(made) / max(1, len(made)))
        mean = sum(shares[t] * lengths[t] for t in TASKS) / sum(shares.values())
        return {task: self._mixture.weight(task) * mean / lengths[task] for task in TASKS}

    def stream(self, scenarios: Sequence[Scenario], seed: int) -> Iterator[Example]:
        """Endless; every pass over the scenarios has other lists, replies and items."""
        rng = Random(f"{seed}|stream")
        buffer: list[Example] = []
        for epoch in itertools.count():
            order = list(scenarios)
            rng.shuffle(order)
            found = 0
            for example in self.once(order, rng, epoch):
                found += 1
                if len(buffer) < _BUFFER:
                    buffer.append(example)
                    continue
                place = rng.randrange(_BUFFER)
                yield buffer[place]
                buffer[place] = example
            if not found:
                raise DataError("no scenario of the train split gives an example: the targets need attributes")

    def once(self, scenarios: Sequence[Scenario], rng: Random, epoch: int = 0) -> Iterator[Example]:
        """The examples of one pass, in order. A moment has one reply and one alignment at most, and any number of verdicts."""
        shares = {task: self._mixture.share(task) for task in TASKS}
        one = max(shares["feedback"], shares["alignment"]) or shares["target"]
        credit = dict.fromkeys(TASKS, 0.0)
        for scenario in scenarios:
            for moment in self._moments.of(scenario, 0 if self._replies == "teacher" else epoch):
                for task in TASKS:
                    credit[task] += shares[task] / one
                    while credit[task] >= 1:
                        credit[task] -= 1
                        yield from self._written(task, moment, scenario, rng)

    def _written(self, task: Task, moment: Moment, scenario: Scenario, rng: Random) -> Iterator[Example]:
        weight = self._weights[task]
        viewer, _ = self._moments.part(scenario)
        prompt = self._prompt
        if task == "alignment":
            text = prompt.text("align", **viewer.state(moment.view, prompt.placeholders("align")))
            yield Example(text, moment.alignment.answer(), weight)
        elif task == "feedback":
            answered = self._answered(moment, scenario)
            if answered is None:
                return
            moment = answered
            named = self._gate.check(moment.reply, hidden=scenario.need.targets)
            if named.leaks or named.items:
                self.left_out += 1
                return
            plan, reply = moment.alignment.plan(), moment.reply
            if not self._mixture.share("alignment"):
                plan = ""
            elif rng.random() < _PLANLESS:
                plan, reply = "", nothing_new(rng)
            text = prompt.text("feedback", **viewer.state(moment.view, prompt.placeholders("feedback"), plan))
            yield Example(text, reply, weight)
        else:
            item, answer = self._judged(moment, rng)
            asked = prompt.placeholders("target") | prompt.placeholders("verdict")
            known = {**viewer.state(moment.view, asked), **viewer.item(moment.view, item, asked)}
            given, _, after = prompt.text("verdict", **known, answer="\0").partition("\0")
            yield Example(prompt.text("target", **known), answer + after, weight, given)

    def _answered(self, moment: Moment, scenario: Scenario) -> Moment | None:
        """The moment with the reply that is to be learned; None where there is none."""
        if self._replies == "real":
            return self._moments.real(moment, scenario) if moment.turn == 1 else None
        if self._replies == "teacher":
            text = self._taught.get((moment.scenario, moment.turn))
            return None if text is None else msgspec.structs.replace(moment, reply=text)
        return moment

    def _judged(self, moment: Moment, rng: Random) -> tuple[Item, str]:
        """An item as the judge will meet it: one of the recommender's best, or now and then of what was shown; the target in a
        fixed share of the cases *where it is among them*.

        A target that the recommender did not find is no example: it shares less with what was said than what was found, and a
        judge that learns from it learns that matching what was said speaks against an item.
        """
        candidates = moment.view.shown if rng.random() < _SHOWN else moment.pool[:_JUDGED]
        others = [item for item in candidates if item.id != moment.target.id]
        if len(others) < len(candidates) and (not others or rng.random() < 1 / (1 + self._mixture.negatives)):
            return moment.target, YES
        return (rng.choice(others), NO) if others else (moment.target, YES)
