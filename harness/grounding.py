"""Titles that a language model names -> catalogue ids: exact indexes first, edit distance only for what they leave over.

What no item clearly fits stays a title, as an id that starts with "ooc:" and that no catalogue has: the harness counts it as
out of catalogue at its rank.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from harness.api import Catalogue, TrainingDialogue
from harness.checks import MAX_ID
from harness.text import words
from harness.titles import natural_order, split_year, title_key

UNKNOWN: Final = "ooc:"
THRESHOLD: Final = 90.0
_LONGEST: Final = 300
_NEAREST: Final = 10
_TELLING: Final = 3
"""Words of a title that is known without its article and its year."""
_LONG_WORD: Final = 5
_KIND: Final = re.compile(r"\s*\((?:(\d{4})\s+)?(?:film|movie|novel|book)\)\s*$", re.IGNORECASE)
_ARTICLE_LAST: Final = re.compile(r"(.+), (the|an?)", re.IGNORECASE)
_SUBTITLE: Final = re.compile(r":\s+|\s+[-–—]\s+|\s+\(")
_ARTICLES: Final = frozenset(("the", "a", "an"))
_PARTS: Final = frozenset(("part", "vol", "volume", "chapter", "episode"))
_NUMERALS: Final = MappingProxyType(
    {
        word: str(number)
        for row in ("i ii iii iv v vi vii viii ix x xi xii", "one two three four five six seven eight nine ten eleven twelve")
        for number, word in enumerate(row.split(), 1)
    }
)


class Name(msgspec.Struct, frozen=True):
    """A title without its year as it is compared: its words but for an article at the start, the words run together, with and
    without that article, and what stands before and after the first colon or dash."""

    key: str
    solid: str = ""
    bare: str = ""
    halves: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[str, ...]:
        """Numerals, which tell a sequel from its predecessor."""
        return tuple(word for word in self.key.split() if word.isdigit())


class Grounder:
    """Finds items by title. Built once; pure after that.

    A year that is said must be the item's, or next to it, where the catalogue has one. In this order:

    1. the title or an alias, whatever its case, accents and punctuation;
    2. the same with another kind of numeral ("Rocky II", "Part Two"), or run together or apart ("Spider-Man", "Spiderman");
    3. the same without an article at the start, if it is the very year or there are three words more;
    4. the very year, and a title that lacks a subtitle or what stands before a colon ("Borat (2006)");
    5. the very year, and a title whose similarity is at least `threshold` percent (normalised indel similarity); without a
       year, several words of which one, a long one, has a wrong letter. Other numerals and plurals are no slips.

    4 and 5 must leave no choice. Of several items of one title, without a year, it is the one most mentioned in training,
    then the first of the catalogue. Spellings without a year get so little licence because films differ by so little: "The
    Killers" and "Killers", "Revolver" and "Volver".
    """

    def __init__(self, catalogue: Catalogue, training: Iterable[TrainingDialogue] = (), threshold: float = THRESHOLD) -> None:
        self._catalogue, self._threshold = catalogue, threshold
        self._mentions = _mentions(catalogue, training)
        self._spelled: dict[str, list[int]] = {}
        self._solid: dict[str, list[int]] = {}
        self._bare: dict[str, list[int]] = {}
        self._half: dict[str, list[int]] = {}
        self._keys: dict[str, list[int]] = {}
        for row, item in enumerate(catalogue):
            for spelling in dict.fromkeys((item.title, *item.aliases)):
                bare, _ = dated(spelling)
                name = named(bare)
                _add(self._spelled, title_key(_in_order(bare)), row)
                _add(self._solid, name.solid, row)
                _add(self._bare, name.bare, row)
                _add(self._keys, name.key, row)
                for half in name.halves:
                    _add(self._half, half, row)
        self._choices: Sequence[str] = tuple(self._keys)

    def ground(self, title: str) -> str:
        """The id of the item that is meant, or "ooc:" and the title (at most 256 characters)."""
        row = self.find(title)
        if row is not None:
            return str(self._catalogue[row].id)
        unknown = f"{UNKNOWN}{' '.join(title.split())}"[:MAX_ID]
        while self._catalogue.get(unknown) is not None:
            unknown = f"{UNKNOWN}{unknown}"[:MAX_ID]
        return unknown

    def find(self, title: str) -> int | None:
        """The catalogue row of the item that is meant, or None where that isn't clear."""
        bare, year = dated(title[:_LONGEST])
        name = named(bare)
        if not name.key:
            return None
        without_article = self._bare.get(name.bare, [])
        if len(name.key.split()) < _TELLING:
            without_article = [] if year is None else self._of_year(without_article, year)
        for same in (self._spelled.get(title_key(_in_order(bare)), ()), self._solid.get(name.solid, ()), without_article):
            row = self._best(same, year)
            if row is not None:
                return row
        row = self._by_half(name, year)
        return self._nearest(name, year) if row is None else row

    def _best(self, rows: Iterable[int], year: int | None) -> int | None:
        """Of items with one title the one whose year is nearest, then the most mentioned, then the first."""
        fitting = []
        for row in rows:
            own = self._catalogue[row].year
            apart = 2 if own is None else 0 if year is None else abs(own - year)
            if own is None or apart <= 1:
                fitting.append((apart if year is not None else 0, -self._mentions[row], row))
        return min(fitting)[-1] if fitting else None

    def _of_year(self, rows: Iterable[int], year: int) -> list[int]:
        return [row for row in rows if self._catalogue[row].year == year]

    def _by_half(self, name: Name, year: int | None) -> int | None:
        """ "Borat (2006)" for "Borat: Cultural Learnings of ..." and the other way round."""
        if year is None:
            return None
        rows = set(self._of_year(self._half.get(name.key, ()), year))
        for half in name.halves:
            rows.update(self._of_year(self._keys.get(half, ()), year))
        return rows.pop() if len(rows) == 1 else None

    def _nearest(self, name: Name, year: int | None) -> int | None:
        """By edit distance: the one item that is nearest, if nothing speaks against it."""
        near = process.extract(
            name.key, self._choices, scorer=fuzz.ratio, score_cutoff=self._threshold, limit=_NEAREST, processor=None
        )
        found: set[int] = set()
        best = 0.0
        for key, score, _ in near:
            if score < best:
                break
            if not _slip(name, Name(key)):
                continue
            rows = self._keys[key]
            fitting = [] if year is None else self._of_year(rows, year)
            if not fitting and _one_letter(name.key, key):
                fitting = [row for row in rows if year is None or self._catalogue[row].year is None]
            if fitting:
                best = score
                found.update(fitting)
        return found.pop() if len(found) == 1 else None


def dated(title: str) -> tuple[str, int | None]:
    """(title, year) of "Alien (1979)" and "Alien (1979 film)"; the title in one line."""
    kind = _KIND.search(title)
    if kind is not None and title[: kind.start()].strip():
        return " ".join(title[: kind.start()].split()), int(kind[1]) if kind[1] else None
    return split_year(title)


def named(bare: str) -> Name:
    """A title without its year, as it is compared."""
    natural = _in_order(bare)
    found = _words(natural)
    cut = _SUBTITLE.search(natural)
    halves: list[str] = []
    if cut is not None:
        before, after = (_without_article(_words(part)) for part in (natural[: cut.start()], natural[cut.end() :]))
        # One word after a colon ("Fallout") is too often a title of its own.
        halves = [" ".join(before), *([" ".join(after)] if len(after) > 1 else [])]
    without = _without_article(found)
    return Name(" ".join(without), _together(found), _together(without), tuple(halves))


def _in_order(title: str) -> str:
    """ "matrix, the" -> "the matrix"; titles with articles of other languages only where they are written with capitals."""
    match = _ARTICLE_LAST.fullmatch(title)
    return f"{match[2]} {match[1]}" if match else natural_order(title)


def _words(title: str) -> list[str]:
    """Words with numerals as digits and without "part" before them."""
    found = words(title.replace("&", " and "))
    if len(found) > 1:  # "X" alone is no ten
        found = [_NUMERALS.get(word, word) for word in found]
    return [w for w, follows in zip(found, [*found[1:], ""], strict=False) if w not in _PARTS or not follows.isdigit()]


def _together(found: list[str]) -> str:
    """Run together, but for numbers: "1-900" isn't "1900"."""
    joined = "".join(found)
    return " ".join(found) if joined.isdigit() else joined


def _without_article(found: list[str]) -> list[str]:
    return found[1:] if len(found) > 1 and found[0] in _ARTICLES else found


def _slip(one: Name, other: Name) -> bool:
    """Whether the difference of two titles may be one of spelling: neither in a numeral nor in a plural."""
    return one.numbers == other.numbers and [w.rstrip("s") for w in one.key.split()] != [
        w.rstrip("s") for w in other.key.split()
    ]


def _one_letter(one: str, other: str) -> bool:
    """Whether, of several words, a letter of a long one is missing, added, changed or swapped, and not its first."""
    left, right = one.split(), other.split()
    pairs = [(a, b) for a, b in zip(left, right, strict=False) if a != b]
    if len(left) != len(right) or len(left) < 2 or len(pairs) != 1:
        return False
    a, b = pairs[0]
    return min(len(a), len(b)) >= _LONG_WORD and a[0] == b[0] and OSA.distance(a, b, score_cutoff=1) == 1


def _mentions(catalogue: Catalogue, training: Iterable[TrainingDialogue]) -> list[int]:
    """How many training messages mention each item; by catalogue row."""
    counts: Counter[str] = Counter()
    for dialogue in training:
        for message in dialogue.messages:
            counts.update(dict.fromkeys(message.items).keys())
    return [counts[item.id] for item in catalogue]


def _add(index: dict[str, list[int]], key: str, row: int) -> None:
    if key:
        rows = index.setdefault(key, [])
        if row not in rows:
            rows.append(row)
