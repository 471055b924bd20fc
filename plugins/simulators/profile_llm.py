"""`profile-llm`: a language model with a taste and no target.

It is told the liked and disliked items and attributes of the need, with the targets taken out of every item list by the runner;
it never learns a target's title or id, so it can neither name one nor accept one for any other reason than its taste. The
setting is that of simulators which know a target's attributes only (SimpleUserSim; CSHI).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from harness.api import Attributes, Conversation, Knowledge, KnowledgeLevel

from .. import quoting
from .chat_seeker import ChatOptions, ChatSeeker

_ITEMS: Final = 15
"""Titles of a kind that a prompt names, the first ones of the need."""
TASTE: Final = ("wanted", "unwanted", "liked", "disliked", "seen")


class Options(ChatOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `profile-llm`."""


class ProfileLlm(ChatSeeker):
    """See the module."""

    knowledge: KnowledgeLevel = "profile"
    name: ClassVar[str] = "profile-llm"
    needed: ClassVar[tuple[str, ...]] = ("wanted", "unwanted")
    known: ClassVar[tuple[str, ...]] = TASTE

    def __init__(self, options: ChatOptions | None = None, prompt: str = "profile-llm.v1") -> None:
        super().__init__(options or Options(), prompt)

    def knows(self, conversation: Conversation, knowledge: Knowledge) -> Mapping[str, str]:
        return {
            "wanted": _attributes(knowledge.liked_attributes),
            "unwanted": _attributes(knowledge.disliked_attributes),
            "liked": self._titles(knowledge.liked_items),
            "disliked": self._titles(knowledge.disliked_items),
            "seen": self._titles(knowledge.seen_items),
        }

    def _titles(self, ids: Sequence[str]) -> str:
        items = [item for item in map(self.catalogue.get, ids) if item is not None]
        return quoting.listed(map(quoting.title, items[:_ITEMS]))


def _attributes(attributes: Attributes) -> str:
    return quoting.listed(quoting.facts({facet: values}) for facet, values in attributes.items() if values)
