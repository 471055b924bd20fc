"""Film titles and film metadata as the ReDial family of data sets spells them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from harness.api import Attributes, Item
from harness.errors import DataError

from .files import DataFile, field, read_json
from .titles import split_year

FACETS = ("genre", "director", "star", "writer")

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_PERCENT = re.compile(r"%([2-7][0-9A-F])")


def unescape(text: str) -> str:
    """Decodes HTML entities once. Only those with a semicolon: html.unescape alone would rewrite the "&not" in "R&notes"."""
    return _ENTITY.sub(lambda m: html.unescape(m.group()), text)


def clean_title(raw: str) -> str:
    """One spelling per film: HTML entities and the percent escapes of URLs ("What About Bob%3F") decoded, single spaces."""
    return " ".join(_PERCENT.sub(lambda m: chr(int(m.group(1), 16)), unescape(raw)).split())


def full_title(item: Item) -> str:
    """ "It (2017)", or the bare title where the year isn't known."""
    return item.title if item.year is None else f"{item.title} ({item.year})"


class FilmInfo(msgspec.Struct, frozen=True):
    """One entry of id2info.json. `name` is cleaned and keeps its year."""

    name: str
    attributes: Attributes
    plot: str = ""
    imdb_id: str = ""


def read_id2info(file: DataFile) -> dict[str, FilmInfo]:
    """ReDial movie id -> metadata. Empty values in the file become missing facets. Raises DataError (file, movie, field)."""
    content = read_json(file)
    if type(content) is not dict:
        raise DataError(f"{file}: expected an object that maps movie ids to metadata")
    films: dict[str, FilmInfo] = {}
    for key, entry in content.items():
        where = f"{file}: movie {key!r}"
        if type(entry) is not dict:
            raise DataError(f"{where}: expected an object")
        attributes = {facet: values for facet in FACETS if (values := _values(entry, facet, where))}
        name, plot = clean_title(field(entry, "name", str, where)), " ".join(field(entry, "plot", str, where, "").split())
        films[key] = FilmInfo(name, attributes, plot, field(entry, "imdb_id", str, where, ""))
    return films


def _values(entry: dict[str, Any], facet: str, where: str) -> tuple[str, ...]:
    named = field(entry, facet, list, where, [])
    for n, value in enumerate(named):
        if type(value) is not str:
            raise DataError(f"{where}: field '{facet}[{n}]': expected a string")
    return tuple(dict.fromkeys(stripped for value in named if (stripped := value.strip())))


def canonical_ids(titles: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Maps each (id, title) to the id that stands for all ids of that title: the smallest number.

    Two ids with one printed title can't be told apart by anyone who reads titles, so they are one item.
    """
    pairs = sorted(titles, key=lambda pair: id_order(pair[0]))
    first: dict[str, str] = {}
    return {item_id: first.setdefault(title, item_id) for item_id, title in pairs}


def id_order(item_id: str) -> tuple[int, str]:
    """Sort key: numeric ids by value, others after them."""
    return (int(item_id), item_id) if item_id.isdecimal() else (1 << 62, item_id)


def make_item(item_id: str, title: str, info: FilmInfo | None) -> Item:
    """A catalogue item from a cleaned title (with its year) and metadata, if there is any."""
    name, year = split_year(title)
    if info is None:
        return Item(item_id, name, year)
    return Item(item_id, name, year, info.attributes, text=info.plot)
