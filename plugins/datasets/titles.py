"""Titles of works as data sets write them (year in parentheses, article behind a comma, alternatives), and joining by them."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

import msgspec

from harness.text import normalise

P = TypeVar("P")

_YEAR = re.compile(r"\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\)\s*$")
_TRAILING_PARENTHESIS = re.compile(r"\s*\(([^()]*)\)\s*$")
_KNOWN_AS = re.compile(r"^(?:a\.?k\.?a\.?|also known as)\s+", re.IGNORECASE)
_ARTICLE_LAST = re.compile(
    r"^(?P<rest>.+), (?P<article>The|An?|Le|La|Les|L'|El|Los|Las|Il|Lo|I|Gli|Un|Une|Una|Der|Die|Das|Ein|Eine|Den|Det|De|O|Os)$"
)


class Title(msgspec.Struct, frozen=True):
    """A parsed title: natural word order, year if it was there, alternative titles that stood in parentheses."""

    name: str
    year: int | None = None
    aliases: tuple[str, ...] = ()


def natural_order(title: str) -> str:
    """ "Matrix, The" -> "The Matrix"; other titles come back unchanged."""
    match = _ARTICLE_LAST.match(title)
    if match is None:
        return title
    article = match["article"]
    return f"{article}{'' if article.endswith(chr(39)) else ' '}{match['rest']}"


def split_year(text: str) -> tuple[str, int | None]:
    """("Heat", 1995) for "Heat (1995)" or "Heat(1995)"; of a range "(2006–2007)" the first year. Single spaces throughout."""
    text = " ".join(text.split())
    match = _YEAR.search(text)
    if match is None or not text[: match.start()]:
        return text, None
    return text[: match.start()].rstrip(), int(match[1])


def parse_title(text: str) -> Title:
    """Year, article order and alternative titles: "City, The (Cité, La) (1995)" -> Title("The City", 1995, ("La Cité",)).

    Only parentheses at the end are alternatives, so "(500) Days of Summer" stays whole.
    """
    rest, year = split_year(text)
    aliases: list[str] = []
    while (match := _TRAILING_PARENTHESIS.search(rest)) is not None and rest[: match.start()].strip():
        alias = natural_order(_KNOWN_AS.sub("", match[1].strip()))
        if alias:
            aliases.insert(0, alias)
        rest = rest[: match.start()].rstrip()
    name = natural_order(rest)
    return Title(name, year, tuple(dict.fromkeys(a for a in aliases if a != name)))


def title_key(title: str) -> str:
    """Equal for two spellings of a title that differ in case, accents, punctuation, or "&" for "and"."""
    return normalise(title.replace("&", " and "))


class TitleIndex(Generic[P]):
    """Finds a stored value by title and year. The first value stored under a title and year stays."""

    __slots__ = ("_years",)

    def __init__(self) -> None:
        self._years: dict[str, dict[int | None, P]] = {}

    def __len__(self) -> int:
        return sum(len(years) for years in self._years.values())

    def add(self, title: str, year: int | None, value: P) -> None:
        """Store `value`; titles without a letter or digit are ignored."""
        key = title_key(title)
        if key:
            self._years.setdefault(key, {}).setdefault(year, value)

    def find(self, title: str, year: int | None) -> P | None:
        """The value of that title and year. Where either side has no year, a title that only one entry bears is a match."""
        years = self._years.get(title_key(title))
        if years is None:
            return None
        if year in years:
            return years[year]
        if len(years) == 1 and (year is None or None in years):
            return next(iter(years.values()))
        return None

    def latest(self, title: str) -> P | None:
        """The value of the latest year under that title, whatever the year (an entry without year counts as oldest)."""
        years = self._years.get(title_key(title))
        if years is None:
            return None
        return years[max(years, key=lambda year: -10_000 if year is None else year)]

    def years(self, title: str) -> int:
        """How many different years are stored under that title."""
        return len(self._years.get(title_key(title), ()))
