"""Does a list heed what the seeker has said?"""

from typing import Annotated

import msgspec
from harness import MetricSetup, TurnView, Unscored
from harness.text import AttributeIndex


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `heeds`; `heeds@5` sets k."""

    k: Annotated[int, msgspec.Meta(ge=1, description="only the first k items of a list count")] = 10


class Heeds:
    """Share of the first k items that have an attribute which the seeker asked for before, and none which it refused.

    0 to 1, higher is better; the mean over the played turns of a dialogue that have a value. It says nothing about targets: a
    list may heed every word and miss.
    """

    level = "turn"
    family = "recommender"
    higher_is_better = True
    bounds = (0.0, 1.0)
    over_turns = "mean"

    def __init__(self, options: Options) -> None:
        self.k = options.k

    def prepare(self, setup: MetricSetup) -> None:
        """Once per scoring."""
        self.catalogue = setup.catalogue
        self.index = AttributeIndex(setup.catalogue)

    def score(self, view: TurnView) -> float | Unscored:
        """One turn. Where there is no value, Unscored says why: never NaN, never 0."""
        if not view.played:
            return Unscored("the turn was not played")
        if view.scenario is None:
            return Unscored("needs the scenario: what was said before the first turn")
        context = [message.text for message in view.scenario.context if message.role == "seeker"]
        answers = [turn.user_text or "" for turn in view.dialogue.turns[: view.turn - 1]]
        wishes = {(s.facet, s.value): s.polarity for text in (*context, *answers) for s in self.index.statements(text)}
        listed = [item for item_id in view.items[: self.k] if (item := self.catalogue.get(item_id)) is not None]
        if not wishes or not listed:
            return Unscored("the seeker had asked for nothing yet" if not wishes else "nothing was listed")
        heeded = 0
        for item in listed:
            said = [wishes.get((facet, value), 0) for facet, values in item.attributes.items() for value in values]
            heeded += 1 in said and -1 not in said
        return heeded / len(listed)
