from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.errors import DataError
from harness_plugins.datasets.opendialkg_books import OpenDialKGBooks, Options

REAL = os.environ.get("HARNESS_DATA")


def message(role, text, *items):
    return {"role": role, "text": text, "entity": list(items), "text_template": text, "item": list(items)}


def dialogue(n):
    return [
        message("user", f"Number {n}: books like Alpha?", "Alpha"),
        message("assistant", "Who wrote it?"),
        message("user", "Ann Lee"),
        message("assistant", "Then Alpha or Beta", "Beta", "Alpha", "Beta"),
    ]


def write(folder: Path, dialogues) -> Path:
    lines = "".join(json.dumps(d) + "\n" for d in dialogues)
    (folder / "dialog_Books.jsonl").write_text(lines, encoding="utf-8")
    works = {
        "7": {"name": "Alpha", "year": "1999", "writer": ["Ann Lee"], "genre": ["Drama"], "actor": ["Bo Ray"]},
        "8": {"name": "Beta", "year": "1850", "writer": ["Cy Dee"]},
        "9": {"name": "Not in any book dialogue"},
    }
    (folder / "id2info.json").write_text(json.dumps(works), encoding="utf-8")
    return folder


def load(folder: Path, split: str = "test"):
    return OpenDialKGBooks(Options(path=str(folder))).load(split)


def test_splits_cover_each_dialogue_once(tmp_path):
    folder = write(tmp_path, [dialogue(n) for n in range(60)] + [dialogue(0)])
    splits = {name: load(folder, name) for name in ("train", "validation", "test")}
    sources = [{row.source for row in split.scenarios} for split in splits.values()]
    assert sum(map(len, sources)) == len(set().union(*sources)) == 61
    assert {d.id for d in splits["test"].training} == sources[0]
    # The same words twice fall on the same side.
    assert any({"book-1", "book-61"} <= side for side in sources)


def test_rows_and_works(tmp_path):
    folder = write(tmp_path, [dialogue(n) for n in range(20)])
    split = load(folder, "train")
    row = split.scenarios[0]
    assert [m.role for m in row.context] == ["seeker", "recommender", "seeker"]
    assert row.context[0].items == ("7",)
    assert row.need.targets == ("8", "7")
    assert row.need.liked_attributes == {"writer": ("Cy Dee", "Ann Lee"), "genre": ("Drama",)}
    alpha, beta = split.catalogue
    # Alpha is also a film: its cast and year aren't the book's.
    assert (alpha.year, alpha.attributes) == (None, {"genre": ("Drama",), "writer": ("Ann Lee",)})
    assert beta.year == 1850


def test_without_metadata_works_have_titles_only(tmp_path):
    folder = write(tmp_path, [dialogue(1)])
    (folder / "id2info.json").unlink()
    split = load(folder, "train")
    assert [(item.id, item.attributes) for item in split.catalogue] == [("Alpha", {}), ("Beta", {})]
    assert "id2info.json is missing: the works have titles only, no attributes" in split.notes


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"role": "user"}', r"jsonl:2: expected a list of messages, found dict"),
        ("[", r"jsonl:2: not valid JSON"),
        ("[]", r"jsonl:2: expected a list of messages"),
        ("[3]", r"jsonl:2: message 0: expected an object, found int"),
        ('[{"role": "bot", "text": "x", "item": []}]', r"jsonl:2: message 0: field 'role': expected 'user' or 'assistant'"),
        ('[{"role": "user", "text": "x"}]', r"jsonl:2: message 0: field 'item' is missing"),
    ],
)
def test_errors_name_line_and_message(tmp_path, line, text):
    folder = write(tmp_path, [dialogue(1)])
    with (folder / "dialog_Books.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=text):
        load(folder)


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="HARNESS_DATA is not set")
def test_real_counts():
    splits = {name: load(Path(REAL) / "opendialkg", name) for name in ("train", "validation", "test")}
    sources = [{row.source for row in split.scenarios} for split in splits.values()]
    assert sum(map(len, sources)) == 1901  # every dialogue recommends something
    assert sum(len(split.scenarios) for split in splits.values()) == 2838
    assert len(splits["test"].catalogue) == 1146
    assert sum(len(d.messages) for d in splits["test"].training) / len(splits["test"].training) == pytest.approx(7.2, abs=0.1)
