"""What the conversation achieved: was a target shown, when, and how much did talking add to the first list.

Success is read from the recorded lists and the hidden targets, never from what the seeker said: an "accept" counts nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from harness import DialogueView, MetricSetup, TurnView, Unscored
from harness.api import DialogueRecord
from harness.views import fault_turn


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `success`, `sr`, `at` and `interaction-gain`."""

    k: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="a target among the first k items is a success; none: the run's own rule"),
    ] = None


def first_success(dialogue: DialogueRecord, k: int, max_turns: int) -> int:
    """The first 1-based turn whose first k items hold a target; 0 when there is none up to `max_turns`."""
    failed = fault_turn(dialogue)
    last = max_turns if failed is None else min(max_turns, failed - 1)
    targets = set(dialogue.targets)
    for number, turn in enumerate(dialogue.turns[:last], start=1):
        if not targets.isdisjoint(turn.items[:k]):
            return number
    return 0


class _Success:
    level: Literal["turn", "dialogue", "run"] = "dialogue"
    family = "interaction"
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._k = self.options.k or 10
        self._max_turns = 1
        self._unscored: Unscored | None = None

    def prepare(self, setup: MetricSetup) -> None:
        self._k, self._max_turns = self.options.k or setup.success_k or setup.k, setup.max_turns
        self._unscored = (
            Unscored(f"the cut-off {self._k} is beyond the list length {setup.k} of this run") if self._k > setup.k else None
        )

    def score(self, view: Any) -> float | Unscored:
        if self._unscored is not None:
            return self._unscored
        if not view.dialogue.targets:
            return Unscored("no targets")
        return self._value(view, first_success(view.dialogue, self._k, self._max_turns))

    def _value(self, view: Any, first: int) -> float:
        raise NotImplementedError


class SuccessByTurn(_Success):
    """success@t: 1 when a target was shown by turn t (at turn t or before)."""

    level = "turn"

    def _value(self, view: TurnView, first: int) -> float:
        return float(0 < first <= view.turn)


class SuccessRate(_Success):
    """SR: 1 when a target was shown by the last turn; its mean is the success rate."""

    def _value(self, view: DialogueView, first: int) -> float:
        return float(first > 0)


class AverageTurns(_Success):
    """AT: the turn of success; a dialogue without success counts one turn more than the cap."""

    higher_is_better = False
    bounds = (1.0, float("inf"))

    def _value(self, view: DialogueView, first: int) -> float:
        return float(first or self._max_turns + 1)


class InteractionGain(_Success):
    """SR at the last turn minus SR at turn 1: 1 for a dialogue that succeeded, but not at once."""

    def _value(self, view: DialogueView, first: int) -> float:
        return float(first > 1)
