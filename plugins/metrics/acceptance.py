"""Does the simulated seeker accept what it came for, refuse the rest, and keep its secret?"""

from __future__ import annotations

from typing import Literal

from harness import DialogueView, MetricSetup, TurnView, Unscored

from .statements import NO_ANSWER, NO_SCENARIO, NOT_PLAYED


class _Answer:
    level: Literal["turn", "dialogue", "run"] = "turn"
    family = "simulator"
    higher_is_better = True
    bounds = (0.0, 1.0)
    over_turns: Literal["last", "mean"] = "mean"

    def __init__(self, options: None = None) -> None:
        pass

    def prepare(self, setup: MetricSetup) -> None:
        pass


def accepts_target(view: TurnView) -> bool:
    """The seeker accepted and it was right: an item that it named is a target; if it named none, a target was in the list."""
    if view.record is None or view.record.action != "accept":
        return False
    if view.record.accepted:
        return not set(view.record.accepted).isdisjoint(view.dialogue.targets)
    return any(view.ranks)


class AcceptPrecision(_Answer):
    """Of the turns at which the seeker accepted, the share at which it accepted a target."""

    def score(self, view: TurnView) -> float | Unscored:
        if view.record is None:
            return NOT_PLAYED
        if view.record.action is None:
            return NO_ANSWER
        if view.record.action != "accept":
            return Unscored("the seeker did not accept")
        return float(accepts_target(view))


class AcceptRecall(_Answer):
    """Of the turns whose list held a target and that the seeker answered, the share at which it accepted a target."""

    def score(self, view: TurnView) -> float | Unscored:
        if view.record is None:
            return NOT_PLAYED
        if view.record.action is None:
            return NO_ANSWER
        if not any(view.ranks):
            return Unscored("no target was shown")
        return float(accepts_target(view))


class LeakRate(_Answer):
    """Share of the seeker's answers that named a target before it was recommended (in the text before the leak gate)."""

    higher_is_better = False

    def score(self, view: TurnView) -> float | Unscored:
        if view.record is None:
            return NOT_PLAYED
        if view.record.user_text is None and not view.record.leaks:
            return NO_ANSWER
        return float(bool(view.record.leaks))


class Agreement(_Answer):
    """Agreement with the human seeker's own labels: of the shown items that the human liked or disliked and that the simulator
    accepted or rejected, the share judged alike.

    The targets are left out: they are what `accept-recall` is about. A simulator that rejects everything agrees on every
    disliked item; read it beside `accept-recall`.
    """

    level = "dialogue"

    def score(self, view: DialogueView) -> float | Unscored:
        if view.scenario is None:
            return NO_SCENARIO
        need = view.scenario.need
        liked, disliked = set(need.liked_items) - set(need.targets), set(need.disliked_items) - set(need.targets)
        liked, disliked = liked - disliked, disliked - liked
        alike: list[bool] = []
        for turn in view.turns:
            if turn.record is not None and turn.record.action is not None:
                alike += [i in liked for i in turn.record.accepted if i in liked or i in disliked]
                alike += [i in disliked for i in turn.record.rejected if i in liked or i in disliked]
        return sum(alike) / len(alike) if alike else Unscored("no judged item has a human label")
