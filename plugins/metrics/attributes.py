"""Does the simulated seeker say what its need holds? Simulator quality, measured against the hidden need.

A statement "wants x" is right when x is wanted: a liked attribute of the need, or an attribute of a target that the need does
not dislike. A statement "does not want x" is right when x is not wanted.
"""

from __future__ import annotations

from typing import Literal

from harness import Catalogue, MetricSetup, TurnView, Unscored

from .statements import NO_ANSWER, NO_SCENARIO, NOT_PLAYED, Pair, Reader, answers, reader_for

NOTHING_SAID = Unscored("the seeker named no attribute")


class _Said:
    level: Literal["turn", "dialogue", "run"] = "turn"
    family = "simulator"
    higher_is_better = True
    bounds = (0.0, 1.0)
    over_turns: Literal["last", "mean"] = "last"

    def __init__(self, options: None = None) -> None:
        self._reader = Reader(Catalogue(()))

    def prepare(self, setup: MetricSetup) -> None:
        self._reader = reader_for(setup.catalogue)

    def _counts(self, view: TurnView) -> tuple[int, int, int, int] | Unscored:
        """Up to this turn: statements right, statements made, wanted values named, wanted values."""
        if view.scenario is None:
            return NO_SCENARIO
        answered = list(answers(view))
        if not answered:
            return NO_ANSWER
        said = dict.fromkeys(statement for turn in answered for statement in self._reader.said(turn))
        wanted, _ = self._reader.need(view.scenario)
        right = sum((pair in wanted) == (polarity > 0) for pair, polarity in said)
        named = sum(pair in wanted and polarity > 0 for pair, polarity in said)
        return right, len(said), named, len(wanted)


class AttributePrecision(_Said):
    """Share of the distinct attribute statements made by turn t that are right."""

    def score(self, view: TurnView) -> float | Unscored:
        counts = self._counts(view)
        if isinstance(counts, Unscored):
            return counts
        right, made, _, _ = counts
        return right / made if made else NOTHING_SAID


class AttributeRecall(_Said):
    """Share of the wanted attributes that the seeker has named as wanted by turn t."""

    def score(self, view: TurnView) -> float | Unscored:
        counts = self._counts(view)
        if isinstance(counts, Unscored):
            return counts
        _, _, named, wanted = counts
        return named / wanted if wanted else Unscored("the need holds no attribute")


class AttributeF1(_Said):
    """Harmonic mean of the two by turn t; 0 when nothing was said of a need that holds attributes."""

    def score(self, view: TurnView) -> float | Unscored:
        counts = self._counts(view)
        if isinstance(counts, Unscored):
            return counts
        right, made, named, wanted = counts
        if not wanted:
            return Unscored("the need holds no attribute")
        precision, recall = right / made if made else 0.0, named / wanted
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


class Polarity(_Said):
    """Of the statements on attributes that the need knows (as wanted or unwanted), the share with the need's polarity.

    Per turn; what the need does not know is left out, so that it asks "yes or no?", not "is this made up?".
    """

    over_turns = "mean"

    def score(self, view: TurnView) -> float | Unscored:
        if view.scenario is None:
            return NO_SCENARIO
        if view.record is None:
            return NOT_PLAYED
        if view.record.user_text is None:
            return NO_ANSWER
        wanted, unwanted = self._reader.need(view.scenario)
        said = self._reader.said(view.record)
        right = [(pair in wanted) == (sign > 0) for pair, sign in said if pair in wanted or pair in unwanted]
        return sum(right) / len(right) if right else Unscored("the seeker named no attribute that the need knows")


class Contradiction(_Said):
    """Share of a turn's attribute statements that contradict what the same seeker last said of that attribute, in the human
    context or at an earlier turn. A change of mind counts: the need does not change."""

    higher_is_better = False
    over_turns = "mean"

    def score(self, view: TurnView) -> float | Unscored:
        if view.scenario is None:
            return NO_SCENARIO
        if view.record is None:
            return NOT_PLAYED
        if view.record.user_text is None:
            return NO_ANSWER
        said = self._reader.said(view.record)
        if not said:
            return NOTHING_SAID
        before: dict[Pair, int] = {}
        for message in view.scenario.context:
            if message.role == "seeker":
                before.update(self._reader.in_text(message.text))
        for turn in view.dialogue.turns[: view.turn - 1]:
            if turn.user_text is not None:
                before.update(self._reader.said(turn))
        return sum(before.get(pair, polarity) != polarity for pair, polarity in said) / len(said)
