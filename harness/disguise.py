"""Titles that are written so that no phrase search finds them: spelled out, run together, backwards, in rot13, base64 or
hexadecimal digits, with digits, look-alike or invisible characters for letters.

A model that knows a title can be talked into writing it so. What is recognised here are the usual ways; a code that two
parties invent passes, as it would with any filter. Only the few names that must not be said are looked for, each as a whole.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from harness.text import normalise

# Cyrillic and Greek letters that look like Latin ones.
LOOKALIKES: Final = str.maketrans(
    "асԁеһіјӏорԛѕтухαικνορτυАВЕКМНОРСТХІЅΑΒΕΗΙΚΜΝΟΡΤ", "acdehijlopqstyxaiknoptuABEKMHOPCTXISABEHIKMNOPT"
)
DIGITS: Final = str.maketrans("013457@$", "oieastas")
_DIGIT: Final = re.compile("[013457@$]")
_SYMBOLS: Final = "@$"
_CODED: Final = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){4,}")
_WORD: Final = re.compile(r"[^\W_]+")
_LEAST_SPELLED, _LEAST_TURNED, _LEAST_JOINED = 3, 6, 8
"""Letters that a name must have to be found spelled out, turned around or shifted, and run together."""


class Hit(msgspec.Struct, frozen=True):
    """A disguised name: character offsets (end exclusive) and whose name it is."""

    start: int
    stop: int
    id: str


class _Letters:
    """The letters and digits of a text, folded, and where each stands."""

    def __init__(self, whole: str, *, digits: bool = False) -> None:
        self._whole, self._digits = whole, digits
        if whole.isascii():  # nearly every text; the places are only worked out when something is found
            self.text = "".join(filter(str.isalnum, self._ascii()))
        else:
            self.text = "".join(letter for letter, _ in self._each())

    def _ascii(self) -> str:
        return (self._whole.translate(DIGITS) if self._digits else self._whole).lower()

    def _each(self) -> Iterator[tuple[str, int]]:
        if self._whole.isascii():
            yield from ((char, place) for place, char in enumerate(self._ascii()) if char.isalnum())
            return
        for place, char in enumerate(self._whole):
            read = char.translate(DIGITS) if self._digits else char
            for letter in unicodedata.normalize("NFKD", read.translate(LOOKALIKES)).casefold():
                if letter.isalnum():
                    yield letter, place

    def find(self, key: str) -> Iterator[tuple[int, int]]:
        """Places of a key in the whole text that begin and end with a word."""
        at = self.text.find(key)
        places = [place for _, place in self._each()] if at >= 0 else []
        while at >= 0:
            start, stop = places[at], places[at + len(key) - 1] + 1
            if not _letter(self._whole[start - 1 : start]) and not _letter(self._whole[stop : stop + 1]):
                yield start, stop
            at = self.text.find(key, at + 1)


def disguised(text: str, names: Iterable[tuple[str, str]]) -> list[Hit]:
    """Where a text holds one of the (id, name) pairs in disguise, by place. A name that is written plainly is left alone."""
    pairs = [(item_id, name, _Letters(name).text) for item_id, name in names]
    pairs = [(item_id, name, key) for item_id, name, key in pairs if key and not key.isdigit()]
    if not pairs:
        return []
    plain = _Letters(text)
    turned = _Letters(text, digits=True) if _DIGIT.search(text) else plain
    coded = list(_coded(text))
    hits: set[tuple[int, int, str]] = set()
    for item_id, name, key in pairs:
        spans = [span for span in plain.find(key) if _is_disguise(text[slice(*span)], name)]
        if turned.text != plain.text:
            spans += [s for s in turned.find(key.translate(DIGITS)) if _has_digits_for_letters(text[slice(*s)], key)]
        if len(key) >= _LEAST_TURNED:
            for other in (key[::-1], codecs.encode(key, "rot13")):
                if other != key:
                    spans += plain.find(other)
        if coded:
            phrase = f" {normalise(name)} "
            spans += [span for span, decoded in coded if phrase in decoded]
        hits.update((start, stop, item_id) for start, stop in spans)
    outer = [hit for hit in hits if not any(o[0] <= hit[0] and hit[1] <= o[1] and o[:2] != hit[:2] for o in hits)]
    return [Hit(*hit) for hit in sorted(outer)]


def _letter(char: str) -> bool:
    return char.isalnum() or (char != "" and char in _SYMBOLS)


def _is_disguise(span: str, name: str) -> bool:
    """Whether a name that is there letter by letter isn't simply written out."""
    if any(unicodedata.category(c) == "Cf" for c in span) or (span.translate(LOOKALIKES) != span and name.isascii()):
        return True
    words, said = [word.casefold() for word in _WORD.findall(span)], normalise(name).split()
    if len(words) == 1:
        return len(said) > 1 and len(words[0]) >= _LEAST_JOINED
    spelled = len(words) >= _LEAST_SPELLED and all(len(word) <= 2 for word in words)
    return words != said and (spelled or not any(map(str.isspace, span)))


def _has_digits_for_letters(span: str, key: str) -> bool:
    return any(c.isalpha() for c in span) and _Letters(span).text != key


def _coded(text: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Pieces that may be base64 or hexadecimal digits: their places, and the words that they hold, a blank around each."""
    for pattern, decode in ((_CODED, _from_base64), (_HEX, _from_hex)):
        for piece in pattern.finditer(text):
            yield piece.span(), f" {normalise(decode(piece.group()))} "


def _from_base64(piece: str) -> str:
    try:
        return base64.b64decode(piece.rstrip("=") + "=" * (-len(piece.rstrip("=")) % 4)).decode("utf-8", "replace")
    except binascii.Error:
        return ""


def _from_hex(piece: str) -> str:
    return bytes.fromhex(piece.replace(":", " ")).decode("utf-8", "replace")
