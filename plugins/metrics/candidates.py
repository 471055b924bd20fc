"""What a retriever found, before anything was chosen from it: the ceiling of every ranker of its candidates."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from harness import MetricSetup, TurnView, Unscored
from harness.views import fault_turn

NO_CANDIDATES = Unscored("the recommender records no candidates")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `candidate-recall`."""

    k: Annotated[int, msgspec.Meta(ge=1, le=100, description="cut-off: only the first k candidates of a turn count")] = 50


class CandidateRecall:
    """Recall@k of a turn's candidates: share of the targets that are among the first k.

    As with lists, turns that were not played carry the last candidates, and a recommender's fault is a miss in a dialogue
    that has recorded candidates before. A turn with fewer than k candidates is unscored: they were not asked for.
    """

    level: Literal["turn", "dialogue", "run"] = "turn"
    family = "ranking"
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, options: Options | None = None) -> None:
        self.k = (options or Options()).k

    def prepare(self, setup: MetricSetup) -> None:
        """Nothing is needed."""

    def score(self, view: TurnView) -> float | Unscored:
        """The value of one turn."""
        given = [turn.candidates for turn in view.dialogue.turns[: view.turn] if turn.candidates is not None]
        if not given:
            return NO_CANDIDATES
        failed = fault_turn(view.dialogue)
        if failed is not None and view.turn >= failed:
            return 0.0
        if len(given[-1]) < self.k:
            return Unscored(f"the cut-off {self.k} is beyond the {len(given[-1])} candidates of this turn")
        targets = set(view.dialogue.targets)
        return len(targets.intersection(given[-1][: self.k])) / len(targets) if targets else Unscored("no targets")
