"""Titles of works as data sets write them (year in parentheses, article behind a comma, alternatives), and joining by them."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

import msgspec

from harness.titles import natural_order, split_year, title_key

P = TypeVar("P")

_TRAILING_PARENTHESIS = re.compile(r"\s*\(([^()]*)\)\s*$")
_KNOWN_AS = re.compile(r"^(?:a\.?k\.?a\.?|also known as)\s+", re.IGNORECASE)


class Title(msgspec.Struct, frozen=True):
    """A parsed title: natural word order, year if it was there, alternative titles that stood in parentheses."""

    name: str
    year: int | None = None
    aliases: tuple[str, ...] = ()


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
