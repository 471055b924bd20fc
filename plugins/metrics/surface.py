"""Plain counts over the texts of a dialogue: no model, no list, no target.

They say little of quality, which is what they are for: a judge that agrees with people no better than a word count is not to be
believed (`harness metaeval` compares them).
"""

from __future__ import annotations

from typing import Literal

from harness import DialogueView, MetricSetup, TurnView, Unscored

from .lexical import grams, words


class _Surface:
    level: Literal["turn", "dialogue", "run"] = "dialogue"
    family = "interaction"
    higher_is_better = True
    bounds = (0.0, float("inf"))

    def __init__(self, options: None = None) -> None:
        pass

    def prepare(self, setup: MetricSetup) -> None:
        pass


class Turns(_Surface):
    """How many turns the recommender had (up to the turn cap)."""

    higher_is_better = False

    def score(self, view: DialogueView) -> float | Unscored:
        return float(sum(turn.played for turn in view.turns))


class _TextLength(_Surface):
    level = "turn"
    over_turns = "mean"

    def score(self, view: TurnView) -> float | Unscored:
        if not view.played or view.record is None:
            return Unscored("not played")
        text = self._text(view)
        return Unscored("the seeker said nothing") if text is None else float(len(words(text)))

    def _text(self, view: TurnView) -> str | None:
        raise NotImplementedError


class ReplyWords(_TextLength):
    """Words of the recommender's text, the mean over its turns; an empty text has 0."""

    family = "recommender"

    def _text(self, view: TurnView) -> str | None:
        return view.record.text if view.record is not None else None


class SeekerWords(_TextLength):
    """Words of the seeker's answer, the mean over the turns that it answered."""

    family = "simulator"

    def _text(self, view: TurnView) -> str | None:
        return view.record.user_text if view.record is not None else None


class ReplyDistinct2(_Surface):
    """distinct-2 of the recommender within a dialogue: different pairs of neighbouring words by all pairs of its texts."""

    family = "recommender"
    bounds = (0.0, 1.0)

    def score(self, view: DialogueView) -> float | Unscored:
        pairs = [pair for turn in view.turns if turn.record is not None for pair in grams(turn.record.text, 2)]
        return len(set(pairs)) / len(pairs) if pairs else Unscored("the recommender never said two words")
