"""Exact phrase search in running text: normalisation, a token trie, and the attribute index built on it.

One pass over the text, whatever the number of phrases: the leak gate, entity links and attribute statements all use it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from harness.api import Item, Statement

# Accents may stand apart from their letter (decomposed Unicode); an apostrophe, however typed, belongs to its word.
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]*['’‘´]?[^\W_]+)*[\u0300-\u036f]*")
_APOSTROPHES = dict.fromkeys(map(ord, "'’‘´\u02bc"))
# A clause that starts after one of these has its own polarity. The full stop of an initial or a title ends none
# ("Samuel L. Jackson", "Jill St. John").
_CLAUSE = re.compile(
    r"(?<!\b[A-HJ-Z])(?<!\b(?:Dr|Mr|Ms|St))\.|[;!?\n]"
    r"|(?<!\s),?\s+\b(?:but|though|although|however|except|instead|rather than)\b|,\s+(?=not\b|no\b)"
)
_CUES = (
    r"\b(?:not|no|never|without|hate[ds]?|dislike[ds]?|avoid|tired of|sick of|enough|nothing|nor|less|skip|can['’]?t stand"
    r"|cannot stand|don['’]?t|doesn['’]?t|didn['’]?t|isn['’]?t|aren['’]?t|wasn['’]?t|rather not|can['’]?t|won['’]?t"
    r"|wouldn['’]?t|couldn['’]?t|not into|fan of neither)\b"
)
_NEGATION = re.compile(_CUES, re.IGNORECASE)
_LOWER_NEGATION = re.compile(_CUES)  # a sixth of the time
# Part of every cue above, in ASCII and lower case: a quick look that spares most texts the search for whole cues.
_CUE_HINT = re.compile(r"n(?:o|ever|either|'?t)|without|hate|dislike|avoid|tired of|sick of|less|skip")
# Double negatives and idioms that ask for more of the same.
_AFFIRM = re.compile(
    r"\b(?:don['’]?t mind|can['’]?t (?:get enough|go wrong)|not only|no problem|why not|never (?:tire|get tired) of"
    r"|wouldn['’]?t mind)\b",
    re.IGNORECASE,
)


class Token(msgspec.Struct, frozen=True, gc=False):
    """A word of a text: its normal form and its place (character offsets, end exclusive)."""

    norm: str
    start: int
    end: int


class Match(msgspec.Struct, frozen=True):
    """A phrase found in a text: character offsets (end exclusive) and what was stored under the phrase."""

    start: int
    end: int
    payloads: tuple[Any, ...]


def fold(word: str) -> str:
    """Lower case, without accents and apostrophes."""
    if word.isascii():
        return word.lower().replace("'", "")
    decomposed = unicodedata.normalize("NFKD", word.translate(_APOSTROPHES))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def tokenise(text: str) -> list[Token]:
    """Words of a text in order. Punctuation only separates."""
    if text.isascii():  # lower case keeps every character's place
        found = _WORD.finditer(text.lower())
        if "'" not in text:
            return [Token(m.group(), m.start(), m.end()) for m in found]
        return [Token(m.group().replace("'", ""), m.start(), m.end()) for m in found]
    return [Token(fold(m.group()), m.start(), m.end()) for m in _WORD.finditer(text)]


def words(text: str) -> list[str]:
    """The folded words of a text in order: the norms of `tokenise`, faster."""
    if text.isascii():
        return _WORD.findall(text.lower()) if "'" not in text else [w.replace("'", "") for w in _WORD.findall(text.lower())]
    return [fold(word) for word in _WORD.findall(text)]


def normalise(text: str) -> str:
    """Folded words joined by one space: equal for two spellings that differ in case, accents or punctuation only."""
    return " ".join(words(text))


def may_negate(text: str) -> bool:
    """False only for a text without a negation cue; true of every text that is not ASCII."""
    return not text.isascii() or (_CUE_HINT.search(text.lower()) is not None and _negation(text) is not None)


def _negation(text: str) -> re.Match[str] | None:
    """The first negation cue. Lower case keeps every character's place in ASCII."""
    return _LOWER_NEGATION.search(text.lower()) if text.isascii() else _NEGATION.search(text)


def polarity_spans(text: str) -> Iterator[tuple[int, int, Literal[1, -1]]]:
    """Cut a text into (start, end, polarity) spans, in order: -1 from the first negation cue of a clause to the clause's end.

    The cue itself lies in the negative span. The same heuristic that gives attribute statements their polarity.
    """
    cuts = [0, *(m.end() for m in _CLAUSE.finditer(text)), len(text)]
    negations = may_negate(text)
    for start, end in itertools.pairwise(cuts):
        clause = text[start:end]
        cue = _negation(clause) if negations else None
        if cue is not None and _AFFIRM.search(clause) is not None:
            # Blanks instead of a removal keep the offsets.
            cue = _negation(_AFFIRM.sub(lambda m: " " * len(m.group()), clause))
        turn = end if cue is None else start + cue.start()
        if turn > start:
            yield start, turn, 1
        if end > turn:
            yield turn, end, -1


class PhraseIndex:
    """A token trie. `add` phrases, then `find` all longest non-overlapping occurrences, left to right."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: dict[str | None, Any] = {}

    def add(self, phrase: str, payload: Any) -> None:
        """Store `payload` under `phrase`; phrases without a word are ignored."""
        self.add_words(words(phrase), payload)

    def add_words(self, path: Sequence[str], payload: Any) -> None:
        """As `add`, for a phrase whose words are cut and folded already."""
        if not path:
            return
        node = self._root
        for word in path:
            node = node.setdefault(word, {})
        held = node.setdefault(None, [])
        if payload not in held:
            held.append(payload)

    def find(self, text: str) -> list[Match]:
        """Longest matches, left to right. Cost is linear in the text (times the longest phrase)."""
        return list(self.iterate(tokenise(text)))

    def every(self, tokens: list[Token]) -> Iterator[Match]:
        """All occurrences, those inside one another and overlapping ones too, by start, then by length."""
        for position, token in enumerate(tokens):
            node: dict[str | None, Any] | None = self._root.get(token.norm)
            ahead = position
            while node is not None:
                if None in node:
                    yield Match(token.start, tokens[ahead].end, tuple(node[None]))
                ahead += 1
                node = node.get(tokens[ahead].norm) if ahead < len(tokens) else None

    def iterate(self, tokens: list[Token]) -> Iterator[Match]:
        """As `find`, over words that are already cut."""
        position, count = 0, len(tokens)
        while position < count:
            node: dict[str | None, Any] | None = self._root
            reached, payloads = position, None
            for ahead in range(position, count):
                node = node.get(tokens[ahead].norm) if node else None
                if node is None:
                    break
                if None in node:
                    reached, payloads = ahead, node[None]
            if payloads is None:
                position += 1
            else:
                yield Match(tokens[position].start, tokens[reached].end, tuple(payloads))
                position = reached + 1


class AttributeIndex:
    """Finds the catalogue's attribute values in a text: "a horror film by Jordan Peele" -> genre horror, director Jordan Peele.

    `facets` limits the search (default: every facet of the items). A person's last name alone is understood when it belongs to
    one value only and has more than three letters. Polarity is read per clause from negation cues; it is a heuristic for
    texts that come without structured statements.
    """

    __slots__ = ("_phrases", "facets")

    def __init__(self, items: Iterable[Item], facets: Iterable[str] | None = None) -> None:
        wanted = None if facets is None else set(facets)
        values: dict[tuple[str, str], None] = {}
        for item in items:
            for facet, named in item.attributes.items():
                if wanted is None or facet in wanted:
                    for value in named:
                        values[facet, value] = None
        self.facets = tuple(dict.fromkeys(facet for facet, _ in values))
        self._phrases = PhraseIndex()
        last: dict[str, set[str]] = {}
        folded = {named: words(named[1]) for named in values}
        for (facet, value), name in folded.items():
            self._phrases.add_words(name, (facet, value))
            if len(name) > 1 and len(name[-1]) > 3 and facet in ("director", "star", "actor", "writer", "cast"):
                last.setdefault(name[-1], set()).add(value)
        common = {fold(value) for _, value in values}
        for (facet, value), name in folded.items():
            if len(name) > 1 and name[-1] in last and len(last[name[-1]]) == 1 and name[-1] not in common:
                self._phrases.add(name[-1], (facet, value))

    def find(self, text: str) -> list[Match]:
        """Matches whose payloads are (facet, value) pairs; one name may stand under several facets."""
        return self._phrases.find(text)

    def statements(self, text: str) -> tuple[Statement, ...]:
        """What the text says about attributes, with polarity, in order, without repeats; the last word on a value counts."""
        found: dict[tuple[str, str], Statement] = {}
        cuts = [0, *(m.end() for m in _CLAUSE.finditer(text)), len(text)]
        negations = may_negate(text)
        for start, end in itertools.pairwise(cuts):
            clause = text[start:end]
            for match in self.find(clause):
                polarity = -1 if negations and _negation(_AFFIRM.sub(" ", clause[: match.start])) else 1
                for facet, value in match.payloads:
                    found.pop((facet, value), None)
                    found[facet, value] = Statement(facet, value, -1 if polarity < 0 else 1)
        return tuple(found.values())
