"""Seekers that know the targets: `rule-target`, and the upper control `oracle`. Their scores never share a table with others.

Both accept exactly when a target is shown and talk about the targets' attributes; neither says a target's title.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.api import Attributes, Catalogue, Conversation, Feedback, Item, Knowledge, KnowledgeLevel, SimulatorSetup
from harness.text import normalise

from . import speech
from .noise import Look, Taste, Value
from .rule import Rule
from .speech import Reply, Voice


class RuleTarget(Rule):
    """`rule` with the targets' attributes in place of the profile's, those first that no shown item has. Where no target has
    an attribute in the catalogue, the profile's. Disliked attributes are the profile's, less those of the targets."""

    knowledge: KnowledgeLevel = "target_aware"

    def taste(self, knowledge: Knowledge) -> Taste:
        targets = [item for item in map(self._catalogue.get, knowledge.targets) if item is not None]
        liked = attributes_of(targets)
        return Taste.of(liked or knowledge.liked_attributes, knowledge.disliked_attributes)

    def choose(self, shown: Sequence[Look], taste: Taste, knowledge: Knowledge, conversation: Conversation) -> tuple[Item, ...]:
        return tuple(look.item for look in shown if look.item.id in knowledge.targets)

    def secrets(self, knowledge: Knowledge) -> Sequence[str]:
        return titles_of(self._catalogue, knowledge)

    def urgent(self, taste: Taste, shown: Sequence[Look]) -> set[Value]:
        held = {value for look in shown for value in look.liked}
        return {(facet, value) for facet, values in taste.liked.items() for value in values} - held


class OracleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `oracle`."""

    noun: str = ""
    """What one item is called; empty: film, book or title, by the catalogue's facets."""


class Oracle:
    """Names every attribute of the targets in every turn and accepts exactly when one is shown: what attribute feedback can
    do at most. Turns down everything that is shown otherwise."""

    knowledge: KnowledgeLevel = "target_aware"

    def __init__(self, options: OracleOptions | None = None) -> None:
        self.options = options or OracleOptions()

    def prepare(self, setup: SimulatorSetup) -> None:
        self._catalogue = setup.catalogue
        self._voice = Voice(setup.catalogue, self.options.noun)

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        targets = [item for item in map(self._catalogue.get, knowledge.targets) if item is not None]
        taste = Taste.of(attributes_of(targets), {})
        ranked = tuple(dict.fromkeys(conversation.messages[-1].ranked)) if conversation.messages else ()
        reply = Reply(self._voice, conversation, taste, titles_of(self._catalogue, knowledge))
        found = [item for item in targets if item.id in ranked]
        if found:
            reply.say(speech.ACCEPT, item=found[0])
            return Feedback(
                reply.text, "accept", accepted=tuple(i for i in ranked if i in knowledge.targets), rejected=(), statements=()
            )
        if ranked:
            reply.say(speech.NONE_OF_THESE)
        for facet, values in taste.liked.items():
            reply.state_all(facet, values)
        if not reply.text:
            reply.say(speech.NO_ANSWER)
        return Feedback(reply.text, rejected=ranked, statements=tuple(reply.statements))


def titles_of(catalogue: Catalogue, knowledge: Knowledge) -> tuple[str, ...]:
    """The targets' titles and aliases, normalised."""
    targets = (item for item in map(catalogue.get, knowledge.targets) if item is not None)
    return tuple(normalise(name) for item in targets for name in (item.title, *item.aliases))


def attributes_of(items: Sequence[Item]) -> Attributes:
    """The union of the items' attributes, in their order, without repeats."""
    union: dict[str, dict[str, None]] = {}
    for item in items:
        for facet, values in item.attributes.items():
            union.setdefault(facet, {}).update(dict.fromkeys(values))
    return {facet: tuple(values) for facet, values in union.items()}
