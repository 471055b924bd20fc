"""What the reasoning model is asked: the compact form for small models; the worded form, a prompt file, for large ones."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api import Conversation, Item, Statement

from ...smtpo.cards import compact_dialogue, compact_item
from .chain import identifier


def compact_prompt(
    conversation: Conversation, groups: dict[str, list[Statement]], candidates: Sequence[Item], *, earlier: bool = False
) -> str:
    """What was said, then one line per candidate: dialogue first, since what is looked up must have been read (docs/smtpo.md)."""
    cards = (f"{identifier(number)} {compact_item(item)}" for number, item in enumerate(candidates, 1))
    return "\n".join((compact_dialogue(conversation, groups, earlier=earlier), *cards)).lstrip("\n")
