"""What a conversation says, read once per message: words, attribute statements, and the sign of each linked item.

Everything here is a heuristic for texts without structured statements: polarity comes from negation cues, clause by clause.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from harness.api import Catalogue, Conversation, Item, Message, Statement
from harness.text import AttributeIndex, Match, PhraseIndex, may_negate, polarity_spans, words

from .evidence import evidence, known_rows

# Messages come back every turn with the growing conversation. This many readings are kept, a few kilobytes each: texts longer
# than a person writes are read anew, so that they cannot fill the memory.
_REMEMBERED = 8_192
_LONGEST = 2_000
# A clause starts within a word of the text: "but's".
_CUT_WORD = re.compile(r"(?:but|though|although|however|except|instead|than)'")


class Reading(msgspec.Struct, frozen=True):
    """One message. `words` and `negative` are its folded words outside and inside of negated clauses, in order; `items` are
    (catalogue row, sign) of its linked items.

    A title is a name: "Never Been Kissed" negates nothing.
    """

    words: tuple[str, ...]
    negative: tuple[str, ...]
    items: tuple[tuple[int, int], ...]


class Reader:
    """Reads messages against a catalogue. Pure: the memory of earlier readings changes no result."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._attributes = AttributeIndex(catalogue)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._read)
        # Apart from `read`: training reads many messages for their words alone.
        self._remembered_statements = lru_cache(maxsize=_REMEMBERED)(self._find_statements)

    def read(self, message: Message) -> Reading:
        """Linear in the message's text."""
        return self._remembered(message) if len(message.text) <= _LONGEST else self._read(message)

    def said_by(self, message: Message) -> tuple[Statement, ...]:
        """What one message says about attributes, in order."""
        return self._remembered_statements(message) if len(message.text) <= _LONGEST else self._find_statements(message)

    def blanked(self, message: Message) -> str:
        """The text with blanks in place of its linked items' titles: "Horror Express" asks for no genre."""
        return _blank(message.text, self._titles(message.text, known_rows(self.catalogue, message.items)))

    def _read(self, message: Message) -> Reading:
        text = message.text
        linked = known_rows(self.catalogue, message.items)
        signs = dict.fromkeys(linked, 1)
        if not may_negate(text) and not _CUT_WORD.search(text):  # most texts
            return Reading(tuple(words(text)), (), tuple(signs.items()))
        titles = self._titles(text, linked)
        blanked = _blank(text, titles)
        said: tuple[list[str], list[str]] = ([], [])
        ahead = deque(titles)
        for start, end, polarity in polarity_spans(blanked):
            said[polarity < 0].extend(words(text[start:end]))
            while ahead and ahead[0].start < end:
                signs.update(dict.fromkeys(ahead.popleft().payloads, polarity))
        return Reading(tuple(said[0]), tuple(said[1]), tuple(signs.items()))

    def _find_statements(self, message: Message) -> tuple[Statement, ...]:
        return self._attributes.statements(self.blanked(message))

    def _titles(self, text: str, rows: list[int]) -> list[Match]:
        """Where the text names these items; the payloads are their rows."""
        if not rows:
            return []
        names = PhraseIndex()
        for row in rows:
            item: Item = self.catalogue[row]
            for name in (item.title, *item.aliases):
                names.add(name, row)
        return names.find(text)

    def mentioned(self, conversation: Conversation) -> dict[int, int]:
        """Catalogue rows of the items that the evidence links, in order of first mention, with the sign of the last one."""
        signs: dict[int, int] = {}
        for message, _ in evidence(conversation):
            if message.items:
                signs.update(self.read(message).items)
        return signs

    def statements(self, conversation: Conversation) -> tuple[tuple[Statement, bool], ...]:
        """What the seeker says about attributes, oldest first, each with whether it is feedback. The last word on a value
        counts."""
        found: dict[tuple[str, str], tuple[Statement, bool]] = {}
        for message, feedback in evidence(conversation):
            if message.role == "seeker":
                for statement in self.said_by(message):
                    found.pop((statement.facet, statement.value), None)
                    found[statement.facet, statement.value] = (statement, feedback)
        return tuple(found.values())

    def asked_for(self, conversation: Conversation, row: int) -> str | None:
        """ "you asked for horror": the value that the seeker wanted last among those of one item; None where there is none."""
        attributes = self.catalogue[row].attributes
        for statement, _ in reversed(self.statements(conversation)):
            if statement.polarity > 0 and statement.value in attributes.get(statement.facet, ()):
                return f"you asked for {statement.value}"
        return None


def _blank(text: str, matches: Iterable[Match]) -> str:
    """Blanks instead of a removal keep the offsets."""
    pieces: list[str] = []
    at = 0
    for match in matches:
        pieces += (text[at : match.start], " " * (match.end - match.start))
        at = match.end
    return "".join((*pieces, text[at:]))
