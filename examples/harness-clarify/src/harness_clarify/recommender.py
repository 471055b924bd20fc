"""A recommender that asks one question before it recommends."""

from collections import Counter
from typing import Annotated

import msgspec
from harness import Conversation, Recommendation, RecommenderSetup
from harness.text import AttributeIndex


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `clarify`."""

    ask: Annotated[
        tuple[str, ...], msgspec.Meta(description="facets to ask about, one a turn, in this order; empty: never ask")
    ] = ("genre",)
    named: Annotated[int, msgspec.Meta(ge=2, description="values that a question names")] = 3


class Clarify:
    """Asks about each facet in `ask` that the seeker has said nothing about, then recommends what has the wanted attributes.

    A question shows no list, which is a miss at that turn: whether it pays off shows at the later ones. Ties are broken by how
    often an item is mentioned in the training dialogues. What was asked rides in the state, so one instance serves all
    dialogues.
    """

    def __init__(self, options: Options) -> None:
        self.options = options

    def prepare(self, setup: RecommenderSetup) -> None:
        """Once per run. Nothing is written to `self` later."""
        self.catalogue = setup.catalogue
        self.index = AttributeIndex(setup.catalogue)
        mentions = Counter(i for dialogue in setup.training for message in dialogue.messages for i in message.items)
        self.by_popularity = sorted(setup.catalogue.ids, key=lambda item_id: -mentions[item_id])
        self.values = {facet: self._usual_values(facet) for facet in self.options.ask}

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        """A question, or at most k catalogue ids, best first."""
        wishes = self._wishes(conversation)
        asked: list[str] = conversation.state or []
        for facet in self.options.ask:
            if facet not in asked and len(self.values[facet]) > 1 and all(facet != wished for wished, _ in wishes):
                *most, last = self.values[facet]
                question = f"Which {facet} would you like: {', '.join(most)} or {last}?"
                return Recommendation(text=question, state=[*asked, facet])
        gone = {*conversation.rejected, *conversation.mentioned}
        left = [item_id for item_id in self.by_popularity if item_id not in gone]
        ranked = sorted(left, key=lambda item_id: -self._fit(item_id, wishes))[:k]  # sorted() keeps the order of equals
        text = f"How about {self.catalogue.get(ranked[0]).title}?" if ranked else "That is all I know."
        return Recommendation(tuple(ranked), text=text, state=asked)

    def _wishes(self, conversation: Conversation) -> dict[tuple[str, str], int]:
        """(facet, value) -> +1 wanted, -1 refused; the last word counts."""
        said = (s for m in conversation.messages if m.role == "seeker" for s in self.index.statements(m.text))
        return {(each.facet, each.value): each.polarity for each in said}

    def _fit(self, item_id: str, wishes: dict[tuple[str, str], int]) -> int:
        attributes = self.catalogue.get(item_id).attributes
        return sum(polarity for (facet, value), polarity in wishes.items() if value in attributes.get(facet, ()))

    def _usual_values(self, facet: str) -> list[str]:
        counts = Counter(value for item in self.catalogue for value in item.attributes.get(facet, ()))
        return [value for value, _ in counts.most_common(self.options.named)]
