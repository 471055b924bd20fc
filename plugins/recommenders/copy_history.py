"""Repeats what the dialogue names: no model at all, and the rule that beats published ones where repetition is scored."""

from __future__ import annotations

from typing import Annotated

import msgspec

from harness.api import Catalogue, Conversation, Recommendation, RecommenderSetup

from .evidence import evidence
from .reply import QUESTION, reply


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be repeated."""

    exclude_rejected: Annotated[bool, msgspec.Meta(description="never show an item again that the seeker turned down")] = True


class CopyHistory:
    """The items that the dialogue has named, the latest mention first, and nothing else.

    It lists fewer than k when fewer are named, and asks a question when none is. There is no `exclude_mentioned`: mentioned
    items are all it has. Its score on the variant `novel` is 0 by construction, and its score on `all` is the share of
    repetition in a data set.
    """

    _catalogue: Catalogue

    def __init__(self, options: Options) -> None:
        self._options = options

    def prepare(self, setup: RecommenderSetup) -> None:
        self._catalogue = setup.catalogue

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        turned_down = set(conversation.rejected) if self._options.exclude_rejected else set()
        latest_first = dict.fromkeys(
            item_id for message, _ in reversed(list(evidence(conversation))) for item_id in reversed(message.items)
        )
        items = [self._catalogue.get(i) for i in latest_first if i not in turned_down]
        known = [item for item in items if item is not None][:k]
        return Recommendation(items=tuple(item.id for item in known), text=reply(known) if known else QUESTION)
