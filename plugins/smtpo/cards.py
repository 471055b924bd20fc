"""How prompts write items, and what a seeker has said, in the compact form for small models.

A compact prompt leaves out what a small model can't use: titles, and all but the seeker's last words. In their place stand the
attribute statements that the reader has found in the dialogue, sorted by when they were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from harness.api import Conversation, Item, Message, Statement

from .. import quoting
from ..recommenders.evidence import evidence

GROUPS: Final = ("earlier", "wants", "not", "lately", "lately not")
"""Statements of earlier wishes; of the present one, wanted and unwanted; of answers to lists, wanted and unwanted."""
_VALUES: Final = 3


class SaidBy(Protocol):
    """What finds a message's statements; `recommenders.reading.Reader` does."""

    def said_by(self, message: Message) -> tuple[Statement, ...]: ...


def compact_item(item: Item, facets: Sequence[str] | None = None, values: int = _VALUES) -> str:
    """The item's attribute values, blanks between: "horror Ana Sol Japan 1990s"; at most so many values per facet."""
    shown = item.attributes.items() if facets is None else ((f, item.attributes.get(f, ())) for f in facets)
    return " ".join(quoting.plain(value, 60) for _, held in shown for value in held[:values])


def stated(conversation: Conversation, reader: SaidBy) -> dict[str, list[Statement]]:
    """The seeker's statements in `GROUPS`, oldest first; the last word on a value counts.

    A wish ends where the context's recommender names an item: what was said before is "earlier", wanted or not.
    """
    said: list[tuple[Message, bool]] = list(evidence(conversation))
    answered = [n for n, (message, late) in enumerate(said) if message.role == "recommender" and message.items and not late]
    since = answered[-1] if answered else -1
    found: dict[tuple[str, str], tuple[str, Statement]] = {}
    for number, (message, late) in enumerate(said):
        if message.role != "seeker":
            continue
        for statement in reader.said_by(message):
            if late:
                group = "lately" if statement.polarity > 0 else "lately not"
            elif number < since:
                group = "earlier"
            else:
                group = "wants" if statement.polarity > 0 else "not"
            found.pop((statement.facet, statement.value), None)
            found[statement.facet, statement.value] = (group, statement)
    groups: dict[str, list[Statement]] = {name: [] for name in GROUPS}
    for group, statement in found.values():
        groups[group].append(statement)
    return groups


def compact_dialogue(
    conversation: Conversation, groups: Mapping[str, Sequence[Statement]], *, earlier: bool = False, last_words: int = 16
) -> str:
    """One line per group of statements that there are, then the seeker's last words."""
    lines = [
        f"{name} {' '.join(dict.fromkeys(quoting.plain(statement.value, 60) for statement in groups[name]))}"
        for name in GROUPS
        if groups[name] and (earlier or name != "earlier")
    ]
    said = next((m.text for m in reversed(conversation.messages) if m.role == "seeker"), "")
    words = quoting.plain(said).replace("[", "(").replace("]", ")").split() if last_words else []
    if words:
        lines.append(f"says {' '.join(words[-last_words:])}")
    return "\n".join(lines)
