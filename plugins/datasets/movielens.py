"""MovieLens ml-latest-small: film genres, tags and ratings, as a data set and as a source for other catalogues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from harness.api import Catalogue, DatasetCard, Item, RemoteFile, Split, TrainingDialogue
from harness.errors import DataError

from .cutting import check_split
from .files import companion_folder, data_folder, find_file, need_file
from .tables import read_csv
from .titles import TitleIndex, parse_title

FOLDER = "movielens_small"
NO_GENRES = "(no genres listed)"
_IMDB = re.compile(r"(?:tt)?(\d{1,9})")

CARD = DatasetCard(
    name="movielens",
    title="MovieLens ml-latest-small (September 2018)",
    licence=(
        "GroupLens terms (README.txt in the archive): research use; no commercial use without permission; no implied "
        "endorsement; acknowledge in publications; redistribution under the same terms. A development data set that may change"
    ),
    citation=(
        "F. Maxwell Harper, Joseph A. Konstan: The MovieLens Datasets: History and Context. ACM Transactions on Interactive "
        "Intelligent Systems 5, 4: 19:1-19:19, 2015. https://doi.org/10.1145/2827872"
    ),
    homepage="https://grouplens.org/datasets/movielens/",
    how_to_get=(
        "By hand: put ml-latest-small.zip from https://grouplens.org/datasets/movielens/, or movies.csv, links.csv, "
        "ratings.csv and tags.csv out of it, into a folder and give it as path=FOLDER or as $HARNESS_DATA/movielens_small; "
        "keep README.txt, which holds the terms of use"
    ),
    files=(
        RemoteFile(
            "ml-latest-small.zip",
            "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
            # As TensorFlow Datasets pins it.
            sha256="696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
            bytes=978_202,
        ),
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `movielens`."""

    path: Annotated[
        str | None, msgspec.Meta(description="folder with the CSV files, or the zip; default: $HARNESS_DATA/movielens_small")
    ] = None
    like_from: Annotated[float, msgspec.Meta(ge=0.5, le=5, description="ratings from here on (stars) count as liked")] = 4.0
    dislike_to: Annotated[float, msgspec.Meta(ge=0, le=5, description="ratings up to here (stars) count as disliked")] = 2.0


class Film(msgspec.Struct, frozen=True):
    """A line of movies.csv with its links and tags. `imdb_id` is "tt" and at least seven digits, or empty."""

    id: str
    title: str
    year: int | None
    aliases: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    imdb_id: str = ""
    tags: tuple[str, ...] = ()


class Rating(msgspec.Struct, frozen=True):
    """A line of ratings.csv; `stars` runs from 0.5 to 5 in halves."""

    user: str
    film: str
    stars: float


class Joined(msgspec.Struct, frozen=True):
    """A catalogue with MovieLens's genres, and how it was matched."""

    catalogue: Catalogue
    films: dict[str, str]
    """Item id -> MovieLens id."""
    by_imdb: int
    by_title: int
    genres_added: int
    """Matched items that had no genre before."""

    @property
    def note(self) -> str:
        """One line for `Split.notes`."""
        return (
            f"MovieLens: {len(self.films)} of {len(self.catalogue)} items matched ({self.by_imdb} by IMDb id, {self.by_title} "
            f"by title and year), {self.genres_added} got genres that they lacked"
        )


class MovieLens:
    """A catalogue of films and, for training, one dialogue without messages per user: rated films as liked, disliked, seen.

    There are no conversations, so there are no scenarios: it describes films for other data sets and tells which are liked
    together. Genres are in lower case, as in the other film data sets; tags are the items' text.
    """

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """The same for every split, but for its name. Raises DataError with file, line and column."""
        check_split(split, self.card)
        place = data_folder(self.options.path, FOLDER, self.card)
        films = read_films(place)
        catalogue = Catalogue(
            Item(
                id=film.id,
                title=film.title,
                year=film.year,
                attributes={"genre": film.genres} if film.genres else {},
                aliases=film.aliases,
                text=", ".join(film.tags),
            )
            for film in films
        )
        training = users(
            read_ratings(place),
            {film.id: film.id for film in films},
            like_from=self.options.like_from,
            dislike_to=self.options.dislike_to,
        )
        notes = (
            "no conversations: no scenarios, and training dialogues without messages (one per user)",
            f"ratings from {self.options.like_from} stars on count as liked, up to {self.options.dislike_to} as disliked",
            f"{sum(film.year is None for film in films)} films have no year, {sum(not film.genres for film in films)} no genre",
        )
        return Split(name=split, scenarios=(), training=training, catalogue=catalogue, notes=notes)


def find_movielens(place: Path) -> Path | None:
    """The MovieLens folder beside another data set's folder (or under $HARNESS_DATA, or in the cache), if there is one."""
    for folder in (FOLDER, CARD.name, "ml-latest-small"):
        found = companion_folder(place, folder)
        if found is not None and find_file(found, "movies.csv") is not None:
            return found
    return None


def read_films(place: Path) -> list[Film]:
    """movies.csv with links.csv and tags.csv, where these exist. Raises DataError with file, line and column."""
    movies = need_file(place, "movies.csv", card=CARD)
    place = place.parent if place.is_file() and place.suffix != ".zip" else place
    imdb = {row["movieId"]: _imdb(row["imdbId"], where) for where, row in _rows(place, "links.csv", ("movieId", "imdbId"))}
    tags: dict[str, dict[str, None]] = {}
    for _, row in _rows(place, "tags.csv", ("movieId", "tag")):
        tag = " ".join(row["tag"].split())
        if tag:
            tags.setdefault(row["movieId"], {})[tag] = None
    films: dict[str, Film] = {}
    for where, row in read_csv(movies, ("movieId", "title", "genres")):
        film_id = row["movieId"]
        title = parse_title(row["title"])
        if not film_id or not title.name:
            raise DataError(f"{where}: columns movieId and title must not be empty")
        if film_id in films:
            raise DataError(f"{where}: column 'movieId': {film_id} stands twice")
        listed = () if row["genres"] == NO_GENRES else row["genres"].split("|")
        films[film_id] = Film(
            id=film_id,
            title=title.name,
            year=title.year,
            aliases=title.aliases,
            genres=tuple(dict.fromkeys(genre.strip().lower() for genre in listed if genre.strip())),
            imdb_id=imdb.get(film_id, ""),
            tags=tuple(tags.get(film_id, ())),
        )
    return list(films.values())


def read_ratings(place: Path) -> Iterator[Rating]:
    """ratings.csv, if it is there. Raises DataError with file, line and column."""
    for where, row in _rows(place, "ratings.csv", ("userId", "movieId", "rating")):
        try:
            stars = float(row["rating"])
        except ValueError:
            stars = 0.0
        if not 0.5 <= stars <= 5:
            raise DataError(f"{where}: column 'rating': expected a number from 0.5 to 5, found {row['rating']!r}")
        yield Rating(row["userId"], row["movieId"], stars)


def users(
    ratings: Iterable[Rating], ids: Mapping[str, str], *, like_from: float = 4.0, dislike_to: float = 2.0
) -> list[TrainingDialogue]:
    """One training dialogue without messages per user, in order of appearance.

    `ids` maps MovieLens ids to item ids; ratings of other films are left out. With the inverse of `Joined.films` this is a
    collaborative signal for another catalogue.
    """
    rated: dict[str, dict[str, float]] = {}
    for rating in ratings:
        item = ids.get(rating.film)
        if item is not None:
            rated.setdefault(rating.user, {})[item] = rating.stars
    return [
        TrainingDialogue(
            id=f"user-{user}",
            messages=(),
            liked=tuple(item for item, value in stars.items() if value >= like_from),
            disliked=tuple(item for item, value in stars.items() if value <= dislike_to),
            seen=tuple(stars),
        )
        for user, stars in rated.items()
    ]


def join(catalogue: Catalogue, films: Iterable[Film], imdb: Mapping[str, str] | None = None) -> Joined:
    """Matches items with films and gives genres to matched items that have none; order and ids stay.

    `imdb` maps item ids to IMDb ids ("tt0114709", or just digits); an alias of that form counts too. An item whose IMDb id
    MovieLens hasn't got, or that has none, is matched by title or alias and year.
    """
    known = imdb or {}
    by_id: dict[str, Film] = {}
    by_title: TitleIndex[Film] = TitleIndex()
    for film in films:
        if film.imdb_id:
            by_id.setdefault(film.imdb_id, film)
        for title in (film.title, *film.aliases):
            by_title.add(title, film.year, film)
    items: list[Item] = []
    matched: dict[str, str] = {}
    hits = added = 0
    for item in catalogue:
        numbers = [known.get(item.id, ""), *(alias for alias in item.aliases if alias.startswith("tt"))]
        hit = next((by_id[key] for number in numbers if (key := _padded(number)) in by_id), None)
        hits += hit is not None
        for title in (item.title, *item.aliases) if hit is None else ():
            hit = hit or by_title.find(title, item.year)
        if hit is not None:
            matched[item.id] = hit.id
            if hit.genres and "genre" not in item.attributes:
                item = msgspec.structs.replace(item, attributes={**item.attributes, "genre": hit.genres})
                added += 1
        items.append(item)
    return Joined(Catalogue(items), matched, hits, len(matched) - hits, added)


def _rows(place: Path, name: str, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of an optional file."""
    file = find_file(place, name)
    return iter(()) if file is None else read_csv(file, columns)


def _imdb(cell: str, where: str) -> str:
    if not cell:
        return ""
    padded = _padded(cell)
    if not padded:
        raise DataError(f"{where}: column 'imdbId': expected digits, found {cell!r}")
    return padded


def _padded(number: str) -> str:
    """ "tt" and at least seven digits; empty for anything that is no IMDb id."""
    match = _IMDB.fullmatch(number)
    return "" if match is None else f"tt{match[1].zfill(7)}"
