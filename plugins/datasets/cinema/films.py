"""The films of the world: a table of facts (title, year, country, genres, directors, main cast) and nothing else."""

from __future__ import annotations

from importlib import resources

from harness.api import Attributes, Catalogue, Item
from harness.errors import DataError

FACETS = ("genre", "director", "star", "country", "decade")
"""What a seeker can speak of, in the order of this module's tables."""

_HEADER = ["id", "title", "year", "country", "genres", "directors", "stars", "aliases"]


def decade(year: int) -> str:
    """The decade as it stands in the catalogue: 1994 -> "1990s"."""
    return f"{year // 10 * 10}s"


def load_films() -> Catalogue:
    """Read the packaged table. Raises DataError (line, field) if an edit broke it."""
    return parse_films(table_bytes().decode())


def table_bytes() -> bytes:
    """The packaged table as it lies on disk."""
    return resources.files(__package__).joinpath("films.tsv").read_bytes()


def parse_films(text: str, where: str = "films.tsv") -> Catalogue:
    """The catalogue of a table in the packaged form: tab-separated, several values joined by "|"."""
    lines = text.splitlines()
    if not lines or lines[0].split("\t") != _HEADER:
        raise DataError(f"{where}, line 1: the header must be {' '.join(_HEADER)} (tab-separated)")
    items = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != len(_HEADER):
            raise DataError(f"{where}, line {number}: {len(cells)} cells where {len(_HEADER)} are needed")
        film, title, year, country, genres, directors, stars, aliases = cells
        if not year.isdigit():
            raise DataError(f"{where}, line {number}, year: {year!r} is not a number")
        attributes: Attributes = {
            "genre": tuple(genres.split("|")),
            "director": tuple(directors.split("|")),
            "star": tuple(stars.split("|")),
            "country": (country,),
            "decade": (decade(int(year)),),
        }
        empty = [facet for facet, values in attributes.items() if "" in values]
        if empty or not film or not title:
            raise DataError(f"{where}, line {number}: {', '.join(empty) or 'id or title'} is empty")
        items.append(Item(film, title, int(year), attributes, tuple(aliases.split("|")) if aliases else ()))
    return Catalogue(items)
