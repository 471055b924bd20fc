"""Which messages tell about the seeker, and which items must not be listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from harness.api import Catalogue, Conversation, Message


class ListOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a list."""

    exclude_rejected: Annotated[bool, msgspec.Meta(description="never show an item again that the seeker turned down")] = True
    exclude_mentioned: Annotated[
        bool,
        msgspec.Meta(
            description="leave out what the dialogue names already: no target of the headline variant, novel, is among it; "
            "set it to false for the variant all"
        ),
    ] = True


def known_rows(catalogue: Catalogue, item_ids: Iterable[str]) -> list[int]:
    """Catalogue rows of the ids, in their order; ids that the catalogue lacks are left out."""
    return [catalogue.position(item_id) for item_id in item_ids if catalogue.get(item_id) is not None]


def evidence(conversation: Conversation) -> Iterator[tuple[Message, bool]]:
    """The messages that tell about the seeker, oldest first, each with whether it answers a turn of this dialogue (feedback).

    A recommender's own turns are left out: what it showed or said says nothing about the seeker. They start with the first
    message that carries a ranked list.
    """
    answered = False
    for message in conversation.messages:
        if message.role == "recommender" and (message.ranked or answered):
            answered = True
        else:
            yield message, answered


def mentioned_ids(conversation: Conversation) -> tuple[str, ...]:
    """Ids of the items that the evidence links, oldest first, without repeats."""
    return tuple(dict.fromkeys(i for message, _ in evidence(conversation) for i in message.items))


def excluded_ids(conversation: Conversation, options: ListOptions) -> set[str]:
    """Ids that must not be listed; they need not be in the catalogue."""
    excluded: set[str] = set()
    if options.exclude_rejected:
        excluded.update(conversation.rejected)
    if options.exclude_mentioned:
        excluded.update(mentioned_ids(conversation))
    return excluded
