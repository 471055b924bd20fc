from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import pytest

from harness.errors import DataError
from harness_plugins.datasets.inspired import Inspired, Options
from harness_plugins.datasets.inspired_files import dict_titles, read_prefixes, split_titles

REAL = os.environ.get("HARNESS_DATA")
HEADER = (
    "dialog_id utt_id speaker turn_id text text_with_placeholder movies genres people_names movie_dict genre_dict actor_dict "
    "director_dict others_dict expert_label second_label fine_label coarse_label movie_id"
).split()


def rows(dialogue, *utterances, label="accept_rating_good", listed="{'Alpha (1999)': 0}", video="vid1"):
    """(speaker, text, movies) triples as lines of the TSV."""
    for n, (speaker, text, movies) in enumerate(utterances, 1):
        fixed = {"dialog_id": dialogue, "utt_id": str(n), "speaker": speaker, "turn_id": str(n), "text": text, "movies": movies}
        fixed |= {"movie_dict": listed, "genre_dict": "{}", "fine_label": label, "movie_id": video}
        yield "\t".join(fixed.get(column, "") for column in HEADER)


R, S = "RECOMMENDER", "SEEKER"
TEST = [
    *rows(
        "t1",
        (R, "Hi.", ""),
        (R, 'Did you "like" Alpha?', " 'Alpha (1999)"),
        (S, "Yes", ""),
        (S, "Also Beta & Co, QUOTATION_MARKwowQUOTATION_MARK", "Beta & Co(2001)"),
        (R, "Then Gamma or Alpha", "Gamma (2002);  Alpha (1999); Gamma (2002)"),
        (R, "I mean it", ""),
        (S, "ok", ""),
        listed="{'Alpha (1999)': 0, 'Hidden (1950)':1}",
    ),
    *rows("t2", (S, "hello", ""), (R, "Try DELTA", "Delta (2010)"), (S, "no", ""), label="reject"),
    *rows("t3", (S, "hey", ""), (R, "Try Gamma", "Gamma (2002)"), label="accept_others"),
]
DEV = list(rows("v1", (S, "hi there", ""), (R, "Watch Alpha", "Alpha (1999)")))
TRAIN = list(rows("n1", (S, "good day", ""), (R, "Watch Beta and Co", "Beta and Co (2001)"), (S, "thanks", "")))


def write(folder: Path, names=("dev_set.tsv", "test_set.tsv"), **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"train": TRAIN, "dev": DEV, "test": TEST} | changes
    for name in names:
        lines = content[name.split("_")[0].split(".")[0]]
        (folder / name).write_text("\n".join(["\t".join(HEADER), *lines]) + "\n", encoding="utf-8")
    return folder


def load(folder: Path, split: str = "test", **options):
    return Inspired(Options(path=str(folder), **options)).load(split)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "inspired2")


def test_turns_rows_and_targets(folder):
    split = load(folder)
    assert [row.id for row in split.scenarios] == ["t1:0", "t1:2", "t2:1", "t3:1"]
    opening, second, *_ = split.scenarios
    assert opening.context == ()
    assert opening.need.targets == ("Alpha (1999)",)
    assert [(m.role, m.text, m.items) for m in second.context] == [
        ("recommender", 'Hi. Did you "like" Alpha?', ("Alpha (1999)",)),
        ("seeker", 'Yes Also Beta & Co, "wow"', ("Beta & Co (2001)",)),
    ]
    assert second.need.targets == ("Gamma (2002)", "Alpha (1999)")
    assert any("in 1 rows a target is already mentioned" in note for note in split.notes)
    for what, count in {"stray quotes": 1, "repeated titles": 1, "QUOTATION_MARK": 1, "utterances joined": 3}.items():
        assert any(note.startswith(f"repaired in all files: {count} x {what}") for note in split.notes)


def test_catalogue_holds_every_title_once_in_neutral_order(folder):
    catalogue = load(folder).catalogue
    assert catalogue.ids == ("Alpha (1999)", "Beta & Co (2001)", "Delta (2010)", "Gamma (2002)", "Hidden (1950)")
    assert (catalogue[0].title, catalogue[0].year) == ("Alpha", 1999)


def test_labels_count_where_one_film_only_was_offered(folder):
    split = load(folder)
    needs = {row.id: row.need for row in split.scenarios}
    assert needs["t1:2"].liked_items == ()  # accepted, but of two films
    assert needs["t2:1"].disliked_items == ()  # rejected, but a target can't be unwanted in its own row
    assert needs["t3:1"].liked_items == needs["t3:1"].disliked_items == ()  # accept_others says nothing
    assert load(folder, "validation").scenarios[0].need.liked_items == ("Alpha (1999)",)
    assert any("a like (0 dialogues)" in note and "dislike (1)" in note for note in split.notes)
    rejected = rows("n1", (S, "good day", ""), (R, "Watch Beta & Co", "Beta & Co (2001)"), label="accept_uninterested")
    (dialogue,) = load(write(folder, ("train_set.tsv",), train=rejected)).training
    assert (dialogue.liked, dialogue.disliked) == ((), ("Beta & Co (2001)",))


def test_an_unknown_label_is_counted_and_not_used(folder):
    split = load(
        write(folder, dev=list(rows("v1", (S, "hi there", ""), (R, "Alpha", "Alpha (1999)"), label="adored"))), "validation"
    )
    assert split.scenarios[0].need.liked_items == ()
    assert "repaired in all files: 1 x unknown acceptance labels passed over" in split.notes


def test_movie_database_names_the_offered_film_and_its_facts(folder):
    (folder / "movie_database.tsv").write_text(
        "title\tyear\tgenre\tdirector\tactors\tshort_plot\tvideo_id\n"
        'Gamma\t2002\tSci-Fi, Drama\tAnn Lee\tBo Ray, Cy Dee, N/A\t"A ""plot"""\tvid1\n',
        encoding="utf-8",
    )
    split = load(folder)
    assert {row.id: row.need.liked_items for row in split.scenarios}["t1:2"] == ("Gamma (2002)",)
    gamma = split.catalogue.get("Gamma (2002)")
    assert gamma.attributes == {"genre": ("sci-fi", "drama"), "director": ("Ann Lee",), "star": ("Bo Ray", "Cy Dee")}
    assert gamma.text == 'A "plot"'


def test_official_train_file_and_names(tmp_path):
    folder = write(tmp_path / "a" / "data" / "dialog_data", ("train.tsv", "dev.tsv", "test.tsv"))
    for place in (folder, tmp_path / "a"):
        split = load(place)
        assert [d.id for d in split.training] == ["n1"]
        # "and" for "&" is the same film, in the spelling that sorts first.
        assert split.training[0].messages[1].items == ("Beta & Co (2001)",)
    assert load(folder, train="none").training == []
    assert [row.id for row in load(folder, "train").scenarios] == ["n1:1"]


def test_json_form(folder):
    def utterance(role, text, *movies):
        return {"utt_id": 1, "role": role, "utterance": text, "movies": list(movies), "utterance_label": "nan"}

    content = [
        {
            "dialog": [utterance(S, "hello"), utterance(R, "Try"), utterance(R, "it", "Delta (2010)", "'Delta (2010)")],
            "movie_mentions": "{'Delta (2010)': 0,'Hidden (1950)':1}",
            "fine_label": "accept_uninterested",
        }
    ]
    (folder / "test_data.json").write_text(json.dumps(content), encoding="utf-8")
    (row,) = load(folder, form="tsv").scenarios[2:3]
    assert row.id == "t2:1"  # auto and tsv read the TSV
    (folder / "dev_data.json").write_text("[]", encoding="utf-8")
    split = load(folder, form="json")
    (row,) = split.scenarios
    assert (row.id, row.need.targets, row.need.disliked_items) == ("test-1:1", ("Delta (2010)",), ())
    assert split.catalogue.ids == ("Delta (2010)", "Hidden (1950)")


CONTEXTS = """"",full_situation,movies
3,"
System: Hello, what do you like?
User: Say ""comedies""
System: ","['Alpha', 'Alpha']"
4,"
System: Hello, what do you like?
User: Say ""comedies""
System: Alpha, surely
User: Seen it
System: ",['Twice']
9,"
System: hi there? Watch Alpha
User: no
System: ","['Nowhere', ""It's One""]"
"""


def test_training_contexts_are_put_together(folder):
    beside = folder.parent / "inspired_instructlf"
    beside.mkdir()
    (beside / "inspired_train.csv").write_text(CONTEXTS, encoding="utf-8")
    twice = rows("v2", (S, "So", ""), (R, "Old or new", "Twice (1950); Twice (2019)"))
    write(folder, dev=[*DEV, *twice])
    split = load(folder)
    first, second = split.training
    assert [(m.role, m.text, m.items) for m in first.messages] == [
        ("recommender", "Hello, what do you like?", ()),
        ("seeker", 'Say "comedies"', ()),
        ("recommender", "Alpha, surely", ("Alpha (1999)",)),
        ("seeker", "Seen it", ()),
        ("recommender", "Twice", ("Twice (2019)",)),  # the latest of two; the text is not in the file
    ]
    assert (first.id, second.id) == ("train-3", "train-9")
    assert second.messages[-1].items == ("Nowhere", "It's One")
    assert "1 titles without a year fit several films; the latest was taken" in split.notes
    assert "2 titles have no year and are in no other source" in split.notes
    assert any(note.startswith("training: 2 dialogues put together") for note in split.notes)
    assert [row.id for row in load(folder, "train").scenarios] == ["train-3:2", "train-3:4", "train-9:2"]
    with pytest.raises(DataError, match=r"train=official, but .* holds no train_set\.tsv"):
        load(folder, train="official")


def test_a_training_context_of_a_test_dialogue_is_dropped(folder):
    beside = folder.parent / "inspired_instructlf"
    beside.mkdir()
    same = "0,\"\nSystem: Watch Alpha\nUser: fine\nSystem: \",['Alpha']\n"
    (beside / "inspired_train.csv").write_text('"",full_situation,movies\n' + same, encoding="utf-8")
    opening = rows("t9", (R, "Watch  ALPHA!", "Alpha (1999)"), (S, "Fine.", ""), (R, "Alpha", ""))
    split = load(write(folder, test=opening))
    assert split.training == []
    assert "1 of its dialogues are also in validation or test and were left out" in split.notes


def test_metadata_from_the_folders_beside(folder):
    redial, graph, movielens = (folder.parent / name for name in ("redial_ievalm", "inspired_cfcrs", "movielens_small"))
    for place in (redial, graph, movielens):
        place.mkdir()
    info = {"1": {"name": "Alpha  (1999)", "genre": ["drama"], "director": [], "star": ["Bo Ray"], "plot": "Things happen."}}
    (redial / "id2info.json").write_text(json.dumps(info), encoding="utf-8")
    numbers = {"Alpha (1999)": 0, "Ann Lee": 1, "comedy": 2, "Only There (2020)": 3, "Bo Ray": 4}
    types = {"Alpha (1999)": "movie", "Ann Lee": "person", "comedy": "genre", "Only There (2020)": "movie", "Bo Ray": "person"}
    # 2 is the relation to a genre: an edge of it to a person is passed over.
    edges = {"0": [[2, 2], [1, 1], [1, 1]], "3": [[0, 4], [2, 4], [7, 1]]}
    for name, content in {"entity2id": numbers, "entity2type": types, "kg": edges}.items():
        (graph / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (movielens / "movies.csv").write_text("movieId,title,genres\n1,Gamma (2002),Crime\n2,Alpha (1999),War\n", encoding="utf-8")
    split = load(folder)
    alpha = split.catalogue.get("Alpha (1999)")
    assert alpha.attributes == {"genre": ("drama",), "star": ("Bo Ray",), "director": ("Ann Lee",)}
    assert alpha.text == "Things happen."
    assert split.catalogue.get("Only There (2020)").attributes == {"star": ("Bo Ray",)}
    assert split.catalogue.get("Gamma (2002)").attributes == {"genre": ("crime",)}
    needs = {row.id: row.need for row in split.scenarios}
    assert needs["t1:2"].liked_attributes == {"genre": ("crime", "drama"), "star": ("Bo Ray",), "director": ("Ann Lee",)}
    assert "Only There (2020)" not in load(folder, metadata=False).catalogue


def test_titles_and_literals():
    repairs: Counter[str] = Counter()
    assert split_titles("A (2016);  B(1995);A  (2016); ", repairs) == ["A (2016)", "B(1995)"]
    assert split_titles("I, Robot (2004), Heat (1995)", repairs) == ["I, Robot (2004)", "Heat (1995)"]
    assert repairs["repeated titles in one cell"] == 1
    assert dict_titles("""{"Ocean's Eleven (2001)": 0,'B (1995)':1}""", "x") == ("Ocean's Eleven (2001)", "B (1995)")
    assert dict_titles("  ", "x") == ()


@pytest.mark.parametrize(
    "cell",
    [
        "{'A': 0",
        "__import__('os').system('true')",
        "['A']",
        "{1: 2}",
        "(" * 5000,
        "{" * 200,
        "'" + "a" * 200_000 + "'",
        "{[]: 1}",
    ],
)
def test_cells_are_read_as_literals_and_never_run(cell):
    with pytest.raises(DataError, match=r"^f:2: "):
        dict_titles(cell, "f:2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speaker": "BOT"}, r"test_set\.tsv:2: field 'speaker': expected RECOMMENDER or SEEKER, found 'BOT'"),
        ({"movie_dict": "{'A': "}, r"test_set\.tsv:2: column 'movie_dict': expected a Python dict literal"),
        ({"dialog_id": " "}, r"test_set\.tsv:2: column 'dialog_id' is empty"),
        ({"text": "a\tb"}, r"test_set\.tsv:2: expected 19 cells"),
    ],
)
def test_errors_name_line_and_column(folder, change, message):
    cells = dict(zip(HEADER, next(rows("t1", (S, "hi", ""))).split("\t"), strict=True)) | change
    write(folder, test=["\t".join(cells.values())])
    with pytest.raises(DataError, match=message):
        load(folder)


def test_a_dialogue_in_two_files_and_a_missing_file_are_refused(folder):
    with pytest.raises(DataError, match="dialogue 't1' stands in the validation and in the test file"):
        load(write(folder, dev=[*DEV, *TEST]))
    (folder / "test_set.tsv").unlink()
    with pytest.raises(DataError, match=r"holds no test dialogues \(test_set\.tsv or test\.tsv or test_data\.json\)"):
        load(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('1,"\nSystem: Hello",[]', r"csv:3: column 'full_situation': expected a text that ends with 'System: '"),
        ('1,"\nSystem: ","[1]"', r"csv:3: column 'movies': expected a list of strings"),
        ('1,"\nSystem: ",Alpha', r"csv:3: column 'movies': expected a Python list literal, found 'Alpha'"),
    ],
)
def test_context_errors_name_line_and_column(tmp_path, row, message):
    file = tmp_path / "a.csv"
    file.write_text(f'"",full_situation,movies\n{row}\n', encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_prefixes(file, "x")


@pytest.fixture(scope="module")
def real():
    """`load` for the real files, which are read once."""
    return cache(partial(load, Path(REAL or ".") / "inspired2"))


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="HARNESS_DATA is not set")
class TestRealFiles:
    @pytest.mark.parametrize(("form", "repeated"), [("tsv", 14), ("json", 13)])
    def test_test_rows(self, real, form, repeated):
        # One cell of the TSV names a film more than the JSON does.
        split = real(form=form)
        assert len(split.scenarios) == 117
        assert len({row.source for row in split.scenarios}) <= 39
        assert any(f"in {repeated} rows a target" in note for note in split.notes)

    def test_validation_and_training(self, real):
        split = real("validation")
        assert len(split.scenarios) == 309
        assert len(split.training) == 696
        assert real("train").scenarios[0].id == "train-0:2"
        assert len(real("train").scenarios) == 1447  # one per row of the context file
        assert "0 of its dialogues are also in validation or test and were left out" in split.notes

    def test_turns_alternate(self, real):
        for split in ("validation", "test", "train"):
            for dialogue in {row.source: row for row in real(split).scenarios}.values():
                roles = [message.role for message in dialogue.context]
                assert all(a != b for a, b in pairwise(roles))

    def test_metadata_join(self, real):
        catalogue = real().catalogue
        assert len(catalogue) == 1503
        known = {facet: sum(facet in item.attributes for item in catalogue) for facet in ("genre", "director", "star")}
        assert min(known.values()) > 0.8 * len(catalogue)
        alone = real(train="none", metadata=False).catalogue
        # 518 spellings of titles in the two files, and the titles that only the dialogues' film lists hold.
        assert 512 <= len(alone) <= 560
