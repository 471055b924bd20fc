"""Lexical diversity of the simulated seeker's texts."""

from __future__ import annotations

import re
from typing import Literal

from harness import MetricSetup, RunView, Unscored

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def words(text: str) -> list[str]:
    """The words of a text, case folded."""
    return _WORD.findall(text.casefold())


def grams(text: str, n: int) -> list[str]:
    """All runs of n neighbouring words."""
    found = words(text)
    return found if n == 1 else [" ".join(found[i : i + n]) for i in range(len(found) - n + 1)]


class _Distinct:
    """distinct-n (after Li et al. 2016): different n-grams divided by all n-grams, over all the seeker's answers of the run.

    It falls with the amount of text: compare runs over the same scenarios and turns only. N-grams do not cross answers.
    """

    level: Literal["turn", "dialogue", "run"] = "run"
    family = "simulator"
    higher_is_better = True
    bounds = (0.0, 1.0)
    n = 1

    def __init__(self, options: None = None) -> None:
        pass

    def prepare(self, setup: MetricSetup) -> None:
        pass

    def score(self, view: RunView) -> float | Unscored:
        different: set[str] = set()
        total = 0
        for dialogue in view.dialogues:
            for turn in dialogue.turns:
                if turn.record is not None and turn.record.user_text:
                    found = grams(turn.record.user_text, self.n)
                    different.update(found)
                    total += len(found)
        return len(different) / total if total else Unscored("the seeker said nothing")


class Distinct1(_Distinct):
    """Different words divided by all words."""


class Distinct2(_Distinct):
    """Different pairs of neighbouring words divided by all such pairs."""

    n = 2
