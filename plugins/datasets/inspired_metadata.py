"""Facts about INSPIRED's films from files beside the dialogues: ReDial's id2info.json, CFCRS's knowledge graph, MovieLens and
INSPIRED's own movie_database.tsv."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Attributes
from harness.errors import DataError

from .cutting import unique
from .files import DataFile, companion_folder, find_file, read_json
from .films import read_id2info
from .movielens import find_movielens, read_films
from .tables import read_csv
from .titles import TitleIndex, parse_title, split_year

# The knowledge graph numbers its relations; these names fit the types of the entities at their ends.
CFCRS_RELATIONS = {0: ("star", "person"), 1: ("director", "person"), 2: ("genre", "genre")}


class Facts(msgspec.Struct, frozen=True):
    """What a source says of a film. `name` keeps the source's spelling, without the year."""

    name: str
    year: int | None
    attributes: Attributes
    text: str = ""
    aliases: tuple[str, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """Films of one source. `catalogued` says that its films belong to the data set's own catalogue."""

    name: str
    films: tuple[Facts, ...]
    index: TitleIndex[Facts]
    catalogued: bool = False


def _source(name: str, films: Iterable[Facts], catalogued: bool = False) -> Source:
    held = tuple(films)
    index: TitleIndex[Facts] = TitleIndex()
    for film in held:
        index.add(film.name, film.year, film)
    for film in held:
        for alias in film.aliases:
            index.add(alias, film.year, film)
    return Source(name, held, index, catalogued)


def find_sources(place: Path) -> list[Source]:
    """All sources that are there, best first."""
    sources: list[Source] = []
    for folder in ("redial_ievalm", "redial-ievalm"):
        redial = companion_folder(place, folder)
        info = find_file(redial, "id2info.json") if redial else None
        if info is not None:
            sources.append(_redial(info))
            break
    graph = companion_folder(place, "inspired_cfcrs")
    if graph is not None and (source := read_graph(graph)) is not None:
        sources.append(source)
    movielens = find_movielens(place)
    if movielens is not None:
        films = read_films(movielens)
        facts = (Facts(f.title, f.year, {"genre": f.genres} if f.genres else {}, aliases=f.aliases) for f in films)
        sources.append(_source("MovieLens (genres)", facts))
    return sources


def _redial(info: DataFile) -> Source:
    films = (Facts(*split_year(film.name), attributes=film.attributes, text=film.plot) for film in read_id2info(info).values())
    return _source("ReDial's id2info.json", films)


def read_graph(folder: Path) -> Source | None:
    """CFCRS's INSPIRED graph: entity2id.json and entity2type.json name and type the nodes; kg.json: {head: [[relation, tail]]}.

    None if a file is missing. Edges whose ends have other types than the relation wants are passed over. Raises DataError.
    """
    files = [find_file(folder, name) for name in ("entity2id.json", "entity2type.json", "kg.json")]
    if any(file is None for file in files):
        return None
    numbers, types, edges = (_object(file) for file in files if file is not None)
    names = {number: name for name, number in numbers.items() if isinstance(number, int)}
    films = []
    for name, kind in types.items():
        if kind != "movie" or name not in numbers:
            continue
        found: dict[str, list[str]] = {}
        for edge in edges.get(str(numbers[name]), ()):
            if not isinstance(edge, list) or len(edge) != 2:
                raise DataError(f"{files[2]}: node {numbers[name]}: expected [relation, tail] pairs, found {edge!r:.60}")
            facet, wanted = CFCRS_RELATIONS.get(edge[0], ("", ""))
            tail = names.get(edge[1])
            if facet and tail and types.get(tail) == wanted:
                found.setdefault(facet, []).append(tail)
        title, year = split_year(name)
        films.append(
            Facts(title, year, {facet: unique(found[facet]) for facet in ("genre", "director", "star") if facet in found})
        )
    return _source("the CFCRS knowledge graph", films, catalogued=True)


def _object(file: DataFile) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected an object, found {type(content).__name__}")
    return content


class Database(msgspec.Struct, frozen=True):
    """INSPIRED's movie_database.tsv: facts, and the film that each trailer (YouTube id) belongs to."""

    source: Source
    videos: dict[str, Facts]


def read_database(file: DataFile) -> Database:
    """Columns title and video_id; year, genre, director, actors and short_plot where they exist (lists between commas)."""
    videos: dict[str, Facts] = {}
    films: list[Facts] = []
    for _, row in read_csv(file, ("title", "video_id"), delimiter="\t"):
        title = parse_title(row["title"])
        if not title.name:
            continue
        digits = row.get("year", "").split(".")[0].strip()
        attributes: Attributes = {}
        for column, facet in (("genre", "genre"), ("director", "director"), ("actors", "star")):
            values = unique(" ".join(v.split()) for v in row.get(column, "").split(",") if v.strip() and v.strip() != "N/A")
            if values:
                attributes[facet] = tuple(v.lower() for v in values) if facet == "genre" else values
        year = int(digits) if digits.isdecimal() else title.year
        film = Facts(title.name, year, attributes, " ".join(row.get("short_plot", "").split()))
        films.append(film)
        if row["video_id"].strip():
            videos.setdefault(row["video_id"].strip(), film)
    return Database(_source(file.name, films), videos)
