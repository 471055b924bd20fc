from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from harness.api import Catalogue, Item
from harness.errors import DataError
from harness_plugins.datasets.movielens import Film, MovieLens, Options, find_movielens, join, read_films, read_ratings, users

REAL = os.environ.get("HARNESS_DATA")

FILES = {
    "movies.csv": 'movieId,title,genres\r\n1,"Matrix, The (1999)",Action|Sci-Fi|Thriller\r\n2,Nameless,(no genres listed)\r\n'
    '5,"Postman, The (Postino, Il) (1994)",Drama|Drama\r\n',
    "links.csv": "movieId,imdbId,tmdbId\r\n1,0133093,603\r\n2,,\r\n5,0110877,\r\n",
    "tags.csv": "userId,movieId,tag,timestamp\r\n9,1,mind  bending,1\r\n8,1,mind bending,2\r\n8,1,philosophy,3\r\n",
    "ratings.csv": "userId,movieId,rating,timestamp\r\n7,1,5.0,1\r\n7,5,2.0,1\r\n7,2,3.0,1\r\n8,5,0.5,1\r\n9,77,4.0,1\r\n",
}


def write(folder: Path, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(changes.get(name.removesuffix(".csv"), content).encode())
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def test_films(tmp_path):
    assert read_films(write(tmp_path)) == [
        Film("1", "The Matrix", 1999, (), ("action", "sci-fi", "thriller"), "tt0133093", ("mind bending", "philosophy")),
        Film("2", "Nameless", None),
        Film("5", "The Postman", 1994, ("Il Postino",), ("drama",), "tt0110877"),
    ]


def test_a_zip_reads_like_a_folder(tmp_path):
    archive = tmp_path / "ml-latest-small.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in FILES.items():
            opened.writestr(f"ml-latest-small/{name}", content)
    folder = write(tmp_path / "plain")
    assert read_films(archive) == read_films(tmp_path) == read_films(folder)
    assert list(read_ratings(archive)) == list(read_ratings(folder))


def test_only_movies_csv_is_needed(tmp_path):
    folder = write(tmp_path)
    for name in ("links.csv", "tags.csv", "ratings.csv"):
        (folder / name).unlink()
    assert [(film.imdb_id, film.tags) for film in read_films(folder)] == [("", ())] * 3
    assert list(read_ratings(folder)) == []


def test_users_become_training_dialogues_without_messages(tmp_path):
    split = MovieLens(Options(path=str(write(tmp_path)))).load("train")
    assert split.scenarios == ()
    first, second = split.training
    assert (first.messages, first.liked, first.disliked, first.seen) == ((), ("1",), ("5",), ("1", "5", "2"))
    assert (second.id, second.liked, second.disliked) == ("user-8", (), ("5",))
    assert split.catalogue.get("1").attributes == {"genre": ("action", "sci-fi", "thriller")}
    assert split.catalogue.get("2").attributes == {}
    assert split.catalogue.get("1").text == "mind bending, philosophy"
    strict = MovieLens(Options(path=str(tmp_path), like_from=3, dislike_to=0.5)).load("test")
    assert (strict.training[0].liked, strict.training[0].disliked) == (("1", "2"), ())


def test_ratings_carry_over_to_another_catalogue(tmp_path):
    (dialogue,) = users(read_ratings(write(tmp_path)), {"1": "matrix"})
    assert (dialogue.liked, dialogue.seen) == (("matrix",), ("matrix",))


def test_join_by_imdb_id_then_by_title_or_alias_and_year(tmp_path):
    films = read_films(write(tmp_path))
    catalogue = Catalogue(
        [
            Item("a", "Another title", 2010),  # by the given IMDb id, whatever the title
            Item("b", "Matrix", 1999, aliases=("tt133093",)),  # an alias that is an IMDb id without its zeros
            Item("c", "the matrix", 1999),
            Item("d", "Il postino", 1994, attributes={"genre": ("romance",)}),  # keeps its genre
            Item("e", "The Matrix", 2003),  # another year
            Item("f", "Nameless", 2016),  # the only film of that title has no year
            Item("g", "Il Postino"),
        ]
    )
    joined = join(catalogue, films, {"a": "tt0133093", "c": "tt9999999"})
    assert joined.films == {"a": "1", "b": "1", "c": "1", "d": "5", "f": "2", "g": "5"}
    assert (joined.by_imdb, joined.by_title, joined.genres_added) == (2, 4, 4)
    assert joined.catalogue.ids == catalogue.ids
    assert joined.catalogue.get("d").attributes == {"genre": ("romance",)}
    assert joined.catalogue.get("g").attributes == {"genre": ("drama",)}
    assert joined.catalogue.get("e") == catalogue.get("e")
    assert "6 of 7 items matched (2 by IMDb id, 4 by title and year), 4 got genres" in joined.note


def test_found_beside_another_data_set(tmp_path):
    place = tmp_path / "inspired2"
    place.mkdir()
    assert find_movielens(place) is None
    folder = write(tmp_path / "movielens_small")
    assert find_movielens(place) == folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("movies", "movieId,title\n1,x\n", r"movies\.csv:1: column 'genres' is missing"),
        ("movies", "movieId,title,genres\n1,A,x\n1,B,y\n", r"movies\.csv:3: column 'movieId': 1 stands twice"),
        ("movies", "movieId,title,genres\n1,,x\n", r"movies\.csv:2: columns movieId and title must not be empty"),
        ("links", "movieId,imdbId,tmdbId\n1,abc,\n", r"links\.csv:2: column 'imdbId': expected digits, found 'abc'"),
        ("ratings", "userId,movieId,rating,timestamp\n1,1,6,0\n", r"ratings\.csv:2: column 'rating': expected a number"),
        ("ratings", "userId,movieId,rating,timestamp\n1,1,nan,0\n", r"ratings\.csv:2: column 'rating': expected a number"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, name, content, message):
    folder = write(tmp_path, **{name: content})
    with pytest.raises(DataError, match=message):
        MovieLens(Options(path=str(folder))).load("test")


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="HARNESS_DATA is not set")
class TestRealFiles:
    root = Path(REAL or ".")

    def test_counts(self):
        split = MovieLens(Options(path=str(self.root / "movielens_small"))).load("test")
        assert len(split.catalogue) == 9742
        assert sum("genre" not in item.attributes for item in split.catalogue) == 34
        # 13 titles have no year of the form (1999); one of them has a range.
        assert sum(item.year is None for item in split.catalogue) == 12
        assert len(split.training) == 610
        assert sum(len(user.seen) for user in split.training) == 100_836

    def test_join_to_redial_by_imdb_id_and_by_title(self):
        films = read_films(self.root / "movielens_small")
        info = json.loads((self.root / "redial_ievalm" / "id2info.json").read_text(encoding="utf-8"))
        catalogue = Catalogue(Item(key, f"No film {key}") for key in info)
        joined = join(catalogue, films, {key: entry["imdb_id"] for key, entry in info.items()})
        assert (joined.by_imdb, joined.by_title) == (4231, 0)

    def test_join_to_redial_by_title(self):
        from harness_plugins.datasets.titles import split_year

        titles: dict[str, str] = {}
        for name in ("train_data_partial.jsonl", "test_data.jsonl"):
            with (self.root / "redial" / name).open(encoding="utf-8") as lines:
                for line in lines:
                    titles.update(json.loads(line)["movieMentions"] or {})
        catalogue = Catalogue(Item(key, *split_year(title or key)) for key, title in titles.items())
        films = read_films(self.root / "movielens_small")
        assert len(catalogue) == 4601
        # 2,820 by main title and year alone; "&" for "and" and alternative titles add some, titles without a year the rest.
        with_year = Catalogue(item for item in catalogue if item.year is not None)
        dated = [film for film in films if film.year is not None]
        assert 2820 <= join(with_year, dated).by_title <= 2860
        assert join(catalogue, films).by_title == 3053
