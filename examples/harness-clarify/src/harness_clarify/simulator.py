"""A simulated user that answers questions and has little patience."""

from typing import Annotated, Literal

import msgspec
from harness import Conversation, Feedback, Knowledge, SimulatorSetup, Statement


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `impatient`."""

    enough: Annotated[int, msgspec.Meta(ge=1, description="liked attributes that an item must have to be taken")] = 2
    patience: Annotated[int, msgspec.Meta(ge=0, description="bad lists that are borne; 0: any number")] = 3
    style: Annotated[Literal["terse", "polite"], msgspec.Meta(description="a word, or a sentence")] = "polite"


class State(msgspec.Struct):
    """What the user remembers: bad lists so far, and the wishes that it has said."""

    refused: int = 0
    said: list[tuple[str, str]] = []


class Impatient:
    """Knows what it likes ("profile"), never the targets. It names one liked attribute a turn: of the facet that it is asked
    about, if it is asked. A question costs no patience, a bad list does."""

    knowledge = "profile"

    def __init__(self, options: Options) -> None:
        self.options = options

    def prepare(self, setup: SimulatorSetup) -> None:
        """Once per run. Nothing is written to `self` later."""
        self.catalogue = setup.catalogue

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        """An answer to the last message. What it does stands in the action, never in the text alone."""
        question = conversation.messages[-1]
        state = msgspec.convert(conversation.state or {}, State)
        for item_id in question.ranked:
            if self._likes(item_id, knowledge):
                return Feedback(
                    "That one." if self._terse else "That one sounds right, thank you!", "accept", (item_id,), ()
                )
        if question.ranked:
            state.refused += 1
        if 0 < self.options.patience <= state.refused:
            return Feedback("Never mind.", "quit", state=msgspec.to_builtins(state))
        wishes = [
            (f, v) for f, values in knowledge.liked_attributes.items() for v in values if (f, v) not in state.said
        ]
        if not wishes:
            return Feedback("No." if self._terse else "None of these, I'm afraid.", state=msgspec.to_builtins(state))
        # The facets that the question names come first; sorting keeps the order of the others.
        facet, value = min(wishes, key=lambda wish: wish[0] not in question.text.lower())
        state.said.append((facet, value))
        text = value if self._terse else f"I'd like {value}."
        return Feedback(text, statements=(Statement(facet, value),), state=msgspec.to_builtins(state))

    @property
    def _terse(self) -> bool:
        return self.options.style == "terse"

    def _likes(self, item_id: str, knowledge: Knowledge) -> bool:
        """Enough liked attributes, none that is disliked, and not seen before."""
        item = self.catalogue.get(item_id)
        if item is None or item_id in {*knowledge.disliked_items, *knowledge.seen_items}:
            return False
        liked, disliked = (
            sum(value in values.get(facet, ()) for facet, named in item.attributes.items() for value in named)
            for values in (knowledge.liked_attributes, knowledge.disliked_attributes)
        )
        return liked >= self.options.enough and not disliked
