from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.errors import DataError
from harness_plugins.datasets.opendialkg import OpenDialKG, Options


def chat(sender, message):
    return {"message": message, "type": "chat", "sender": sender}


def walk(sender, *triples):
    path = [0.5, [list(triple) for triple in triples], "as a sentence"]
    return {"metadata": {"path": path}, "type": "action", "sender": sender, "action_id": "kgwalk/choose_path"}


META = {"metadata": {"text": "hello partner"}, "type": "action", "sender": "user", "action_id": "meta_thread/send_meta_message"}
ALPHA, BETA = "Alpha", "Beta (Crime Fiction Film)"


def films(n):
    return [
        chat("user", f"{n}: do you like Alpha?"),
        META,
        walk("assistant", (ALPHA, "starred_actors", "Bo Ray")),
        chat("assistant", "Bo Ray is a favourite"),
        walk("user", ("Bo Ray", "~starred_actors", BETA)),
        chat("user", "I liked him in Beta"),
        walk("assistant", (BETA, "directed_by", "Ann Lee"), ("Ann Lee", "~directed_by", "Gamma Rays")),
        chat("assistant", "Then Gamma Rays, by the one who made Beta, is for you"),
        chat("assistant", "   "),
        chat("user", "Thanks"),
    ]


def sports(n):
    return [
        chat("user", f"{n}: who won?"),
        walk("assistant", ("Lakers", "Subject", "Basketball")),
        chat("assistant", "They did"),
    ]


def write(folder: Path, dialogues) -> Path:
    with (folder / "opendialkg.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Messages", "User Rating", "Assistant Rating"])
        rows.writerows([json.dumps(d), "5", "nan"] for d in dialogues)
    return folder


def load(folder: Path, split: str = "train", **options):
    return OpenDialKG(Options(path=str(folder), **options)).load(split)


def test_works_are_read_off_the_paths(tmp_path):
    split = load(write(tmp_path, [films(n) for n in range(5)]))
    assert [(item.id, item.attributes) for item in split.catalogue] == [
        (ALPHA, {"actor": ("Bo Ray",)}),
        (BETA, {"actor": ("Bo Ray",), "director": ("Ann Lee",)}),
        ("Gamma Rays", {"director": ("Ann Lee",)}),
    ]
    assert split.catalogue[1].aliases == ("Beta",)


def test_messages_rows_and_targets(tmp_path):
    split = load(write(tmp_path, [films(n) for n in range(5)]))
    dialogue = split.training[0]
    assert [(m.role, m.items) for m in dialogue.messages] == [
        ("seeker", (ALPHA,)),  # where the assistant's path starts was named before
        ("recommender", ()),  # an actor is no work
        ("seeker", (BETA,)),
        ("recommender", (BETA, "Gamma Rays")),  # the end of the path, and the start because the text names it
        ("seeker", ()),
    ]
    row = split.scenarios[0]
    assert (row.id, row.source, len(row.context)) == (f"{dialogue.id}:3", dialogue.id, 3)
    assert row.need.targets == (BETA, "Gamma Rays")
    assert row.need.liked_attributes == {"actor": ("Bo Ray",), "director": ("Ann Lee",)}
    assert "left out: 0 paths that no message of their sender follows, 5 blank messages" in split.notes


def test_every_dialogue_is_in_one_split_and_dialogues_without_works_in_none(tmp_path):
    folder = write(tmp_path, [*(films(n) for n in range(40)), *(sports(n) for n in range(7)), films(0), []])
    sides = [{row.source for row in load(folder, name).scenarios} for name in ("train", "validation", "test")]
    assert sum(map(len, sides)) == len(set().union(*sides)) == 41
    assert any({"csv-1", "csv-48"} <= side for side in sides)
    assert any(note.startswith("8 of 49 dialogues name no work") for note in load(folder).notes)


def test_triples_file_adds_works_and_facts(tmp_path):
    talk = [
        chat("user", "1: a drama?"),
        walk("assistant", ("Drama", "~has_genre", "Delta")),
        chat("assistant", "Watch Delta"),
        walk("user", ("Delta", "release_year", 1983)),
        chat("user", "When was it made?"),
    ]
    folder = write(tmp_path, [talk])
    assert len(load(folder).catalogue) == 0
    facts = ["Delta\twritten_by\tCy Dee", "Delta\trelease_year\t1984", "Delta\trelease_year\tunknown", "broken line"]
    (folder / "opendialkg_triples.txt").write_text("\n".join([*facts, "Epsilon\twritten_by\tCy Dee", ""]), encoding="utf-8")
    (delta,) = load(folder).catalogue
    assert (delta.id, delta.year) == ("Delta", 1983)  # the earliest that is given
    assert delta.attributes == {"writer": ("Cy Dee",), "genre": ("Drama",)}
    rows = [row for name in ("train", "validation", "test") for row in load(folder, name).scenarios]
    assert [row.need.targets for row in rows] == [("Delta",)]


def test_id2info_names_the_works_if_it_is_there(tmp_path):
    folder = write(tmp_path, [films(n) for n in range(5)])
    (folder / "id2info.json").write_text('{"4": {"name": "Gamma Rays"}}', encoding="utf-8")
    split = load(folder, form="csv")
    assert split.catalogue.ids == ("4",)
    assert split.scenarios[0].need.targets == ("4",)


def test_a_path_that_starts_the_dialogue_or_ends_without_a_message(tmp_path):
    talk = [
        walk("assistant", (ALPHA, "directed_by", "Ann Lee")),
        chat("assistant", "Have you seen it?"),
        chat("user", "no"),
        walk("user", (ALPHA, "directed_by", "Ann Lee")),
    ]
    split = load(write(tmp_path, [talk]))
    assert not split.scenarios
    assert "left out: 1 paths that no message of their sender follows, 0 blank messages" in split.notes


def test_form_follows_the_files(tmp_path):
    folder = write(tmp_path, [films(n) for n in range(5)])
    assert load(folder).notes[0].startswith("official CSV")
    assert load(folder / "opendialkg.csv").notes[0].startswith("official CSV")
    with pytest.raises(DataError, match=r"holds no train_data_processed\.jsonl"):
        load(folder, form="processed")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("[{", r"opendialkg\.csv:2: column 'Messages' is not valid JSON"),
        ("{}", r"csv:2: column 'Messages': expected a JSON list, found dict"),
        ("[1]", r"csv:2: message 0: expected an object, found int"),
        (
            '[{"type": "chat", "sender": "bot", "message": "x"}]',
            r"csv:2: message 0: field 'sender': expected 'user' or 'assistant'",
        ),
        ('[{"type": "wave", "sender": "user"}]', r"csv:2: message 0: field 'type': expected 'chat' or 'action', found 'wave'"),
        ('[{"type": "chat", "sender": "user"}]', r"csv:2: message 0: field 'message' is missing"),
        ('[{"type": "action", "sender": "user", "metadata": {"path": [0, [["a", "b"]], ""]}}]', r"field 'metadata\.path'"),
        ('[{"type": "action", "sender": "user"}]', r"csv:2: message 0: field 'metadata' is missing"),
    ],
)
def test_errors_name_line_message_and_field(tmp_path, cell, message):
    folder = write(tmp_path, [])
    with (folder / "opendialkg.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow([cell, "", ""])
    with pytest.raises(DataError, match=message):
        load(folder)


def test_header_is_checked(tmp_path):
    (tmp_path / "opendialkg.csv").write_text("messages,rating\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"opendialkg\.csv:1: column 'Messages' is missing"):
        load(tmp_path)
