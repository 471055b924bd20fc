"""INSPIRED's catalogue: which spelling is which film, and what is known about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from harness.api import Attributes, Catalogue, Item

from .inspired_metadata import Source
from .titles import TitleIndex, split_year, title_key


class Film(msgspec.Struct):
    """A film while the catalogue is built. `id` is its title, with the year where that is known."""

    id: str
    name: str
    year: int | None


class Films:
    """Films by title and year. A title without a year means the film of the latest year that bears it: the dialogues are from
    the winter of 2019/20 and talk of what is new."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.ambiguous: set[str] = set()
        self.yearless: set[str] = set()
        self._films: dict[str, Film] = {}
        self._index: TitleIndex[Film] = TitleIndex()
        for source in sources:
            for film in source.films if source.catalogued else ():
                self._add(film.name, film.year)

    def __len__(self) -> int:
        return len(self._films)

    def add(self, title: str) -> str | None:
        """The id of a title as a dialogue writes it, with or without a year; a new film if need be. None for a title of
        punctuation only. Add all titles with a year before those without."""
        name, year = split_year(title)
        if not title_key(name):
            return None
        if year is not None:
            return self._add(name, year).id
        if self._index.years(name) > 1:
            self.ambiguous.add(title_key(name))
        film = self._index.latest(name)
        if film is None:
            known = next((found for source in self.sources if (found := source.index.latest(name)) is not None), None)
            film = self._add(name, None if known is None else known.year)
            if film.year is None:
                self.yearless.add(film.id)
        return film.id

    def _add(self, name: str, year: int | None) -> Film:
        film = self._index.find(name, year)
        if film is None:
            film = Film(name if year is None else f"{name} ({year})", name, year)
            self._index.add(name, year, film)
            self._films[film.id] = film
        return film

    def catalogue(self) -> Catalogue:
        """All films, ordered by title and year: an order that says nothing about the split in which a film was named.

        Of each facet the first source that has it counts; so for the text.
        """
        films = sorted(self._films.values(), key=lambda film: (title_key(film.name), film.year or 0, film.id))
        return Catalogue(map(self._item, films))

    def _item(self, film: Film) -> Item:
        attributes: Attributes = {}
        text = ""
        for source in self.sources:
            known = source.index.find(film.name, film.year)
            if known is not None:
                attributes = {**known.attributes, **attributes}
                text = text or known.text
        return Item(id=film.id, title=film.name, year=film.year, attributes=attributes, text=text)


def coverage(catalogue: Catalogue, facets: Iterable[str]) -> str:
    """ "1,234 films; genre 90%, director 80%": the share of the catalogue that has each facet."""
    shares = ", ".join(
        f"{facet} {sum(facet in item.attributes for item in catalogue) / max(1, len(catalogue)):.0%}" for facet in facets
    )
    return f"{len(catalogue)} films; {shares}"
