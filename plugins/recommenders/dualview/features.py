"""A conversation, or an item, as the model reads it: numbered tokens with contexts, and signed mentions of items.

Nothing hidden comes in: a conversation is public, and an item is what the catalogue says of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Catalogue, Conversation, Item, Message
from harness.text import PhraseIndex, words

from ..evidence import evidence, known_rows
from ..reading import Reader
from .vocabulary import Tokens

Ints = NDArray[np.int64]
MENTION_KINDS: Final = ("liked", "disliked", "named", "rejected")
"""Named by the seeker with or without a negation, named by the other side, turned down."""
SEGMENTS: Final = 4
AGES: Final = 8
LONGEST: Final = 512
"""Tokens and mentions that are read at most, the newest."""
# Context numbers: what a token is and where it stands.
_WORD_CONTEXTS: Final = SEGMENTS * 2 * 2 * 2  # segment, side, negated, feedback
_VALUE_CONTEXTS: Final = SEGMENTS * 2 * 2  # segment, polarity, feedback
VALUE_FIRST: Final = _WORD_CONTEXTS
ITEM_FIRST: Final = _WORD_CONTEXTS + _VALUE_CONTEXTS
ITEM_VALUE, ITEM_TITLE, ITEM_TEXT, REACTION = range(ITEM_FIRST, ITEM_FIRST + 4)
CONTEXTS: Final = REACTION + 1
_SENTENCE: Final = re.compile(r"[.!?;\n]+")
_ITEM_WORDS: Final = 64


class Features(msgspec.Struct, frozen=True):
    """One side of a pair as numbers. `ages` counts messages back from the newest one, `segments` of mentions the
    recommendations that followed; both are capped. `reactions` are words about a mention, `reacted` that mention's place."""

    tokens: Ints
    contexts: Ints
    ages: Ints
    mentions: Ints
    kinds: Ints
    segments: Ints
    reactions: Ints
    reacted: Ints


class _Read(msgspec.Struct, frozen=True):
    """One message, numbered."""

    words: tuple[tuple[int, bool], ...]
    """(token, negated)"""
    stated: tuple[tuple[int, bool], ...]
    """(token of a value, unwanted); of seekers' messages alone."""
    items: tuple[tuple[int, int, tuple[int, ...]], ...]
    """(catalogue row, sign, words of the sentence that names it)."""
    opening: tuple[int, ...]
    """Words of the first sentence: a seeker's reaction to what was named just before."""


class Featuriser:
    """Numbers conversations and items of one catalogue. Pure; readings of messages are remembered."""

    def __init__(self, catalogue: Catalogue, tokens: Tokens, *, text: bool = True, remember: int = 16_384) -> None:
        """`text=False` leaves the words out (another encoder reads them). So many messages are remembered."""
        self.catalogue, self.tokens, self.reader = catalogue, tokens, Reader(catalogue)
        self._text = text
        self._remembered = lru_cache(maxsize=remember)(self._read)

    def conversation(self, conversation: Conversation) -> Features:
        """Linear in the conversation; only messages that were not seen before are read."""
        told = list(evidence(conversation))
        after = _segments(told)
        tokens: list[tuple[int, int, int]] = []
        mentions: dict[int, tuple[int, int, tuple[int, ...]]] = {}
        for place, ((message, feedback), segment) in enumerate(zip(told, after, strict=True)):
            read = self._message(message)
            seeker = message.role == "seeker"
            age = min(len(told) - 1 - place, AGES - 1)
            if self._text:
                base = ((segment * 2 + seeker) * 2 + feedback) * 2
                tokens += [(word, base + negated, age) for word, negated in read.words]
            if seeker:
                base = VALUE_FIRST + (segment * 2 + feedback) * 2
                tokens += [(value, base + unwanted, age) for value, unwanted in read.stated]
            reaction = ()
            if not seeker and place + 1 < len(told) and told[place + 1][0].role == "seeker":
                reaction = self._message(told[place + 1][0]).opening
            for row, sign, sentence in read.items:
                kind = 2 if not seeker else int(sign < 0)
                # A later word on an item counts, but to name it again does not undo what was said of it.
                if seeker or row not in mentions:
                    mentions[row] = (kind, segment, sentence if seeker else reaction)
        for row in known_rows(self.catalogue, conversation.rejected):
            mentions[row] = (3, 0, ())
        return _pack(tokens[-LONGEST:], list(mentions.items())[-LONGEST:])

    def item(self, item: Item) -> Features:
        """What the catalogue says of an item: values, title, year, text."""
        values = [(self.tokens.value(f, v), ITEM_VALUE, 0) for f, held in item.attributes.items() for v in dict.fromkeys(held)]
        tokens = [(value, context, age) for value, context, age in values if value is not None]
        if self._text:
            year = "" if item.year is None else str(item.year)
            named = dict.fromkeys(words(" ".join((item.title, year, *item.aliases)))[:_ITEM_WORDS])
            tokens += [(self.tokens.word(word), ITEM_TITLE, 0) for word in named]
            told = dict.fromkeys(words(item.text)[:_ITEM_WORDS])
            tokens += [(self.tokens.word(word), ITEM_TEXT, 0) for word in told]
        return _pack(tokens, [])

    def _message(self, message: Message) -> _Read:
        """Lists and refusals are no part of what a text says."""
        return self._remembered(message if not message.rejected else Message(message.role, message.text, message.items))

    def _read(self, message: Message) -> _Read:
        reading = self.reader.read(message)
        word = self.tokens.word
        said = [(word(w), False) for w in dict.fromkeys(reading.words)]
        said += [(word(w), True) for w in dict.fromkeys(reading.negative)]
        signs = dict(reading.items)
        blanked = self.reader.blanked(message)
        sentences = self._sentences(message, blanked, list(signs)) if signs else {}
        first = _SENTENCE.split(blanked, maxsplit=1)[0]
        stated = self.reader.said_by(message) if message.role == "seeker" else ()
        values = ((self.tokens.value(s.facet, s.value), s.polarity < 0) for s in stated)
        return _Read(
            tuple(said),
            tuple((value, unwanted) for value, unwanted in values if value is not None),
            tuple((row, sign, sentences.get(row, ())) for row, sign in signs.items()),
            tuple(word(w) for w in words(first)[:_ITEM_WORDS]),
        )

    def _sentences(self, message: Message, blanked: str, rows: list[int]) -> dict[int, tuple[int, ...]]:
        """For each item the words of the sentence that names it; titles themselves are blank."""
        names = PhraseIndex()
        for row in rows:
            item: Item = self.catalogue[row]
            for name in (item.title, *item.aliases):
                names.add(name, row)
        ends = [match.end() for match in _SENTENCE.finditer(blanked)]
        found: dict[int, tuple[int, ...]] = {}
        for match in names.find(message.text):
            start = max((end for end in ends if end <= match.start), default=0)
            stop = min((end for end in ends if end > match.start), default=len(blanked))
            said = tuple(self.tokens.word(w) for w in words(blanked[start:stop])[:_ITEM_WORDS])
            found.update(dict.fromkeys(match.payloads, said))
        return found


def _segments(told: list[tuple[Message, bool]]) -> list[int]:
    """For each message, how many messages of the other side that name items come after it, capped."""
    counts, later = [], 0
    for message, _ in reversed(told):
        counts.append(min(later, SEGMENTS - 1))
        later += message.role == "recommender" and bool(message.items)
    return counts[::-1]


def _pack(tokens: list[tuple[int, int, int]], mentions: list[tuple[int, tuple[int, int, tuple[int, ...]]]]) -> Features:
    columns = np.array(tokens, dtype=np.int64).reshape(-1, 3)
    heads = np.array([(row, kind, segment) for row, (kind, segment, _) in mentions], dtype=np.int64).reshape(-1, 3)
    said = [(word, place) for place, (_, (_, _, about)) in enumerate(mentions) for word in about]
    reactions = np.array(said, dtype=np.int64).reshape(-1, 2)
    return Features(
        columns[:, 0], columns[:, 1], columns[:, 2], heads[:, 0], heads[:, 1], heads[:, 2], reactions[:, 0], reactions[:, 1]
    )
