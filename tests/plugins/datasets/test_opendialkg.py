from __future__ import annotations

import json
import os
from functools import cache, partial
from pathlib import Path

import pytest

from harness.api import Conversation
from harness.errors import DataError, UsageError
from harness_plugins.datasets.opendialkg import OpenDialKG, Options
from harness_plugins.datasets.opendialkg_processed import link

REAL = os.environ.get("HARNESS_DATA")

WORKS = {
    "0": {"name": "Alpha", "year": "1999", "genre": ["Drama", "Drama", "Crime"], "director": ["Ann Lee"], "actor": ["Bo Ray"]},
    "1": {"name": "Alpha Two", "genre": ["Comedy"], "language": ["English"]},
    "2": {"name": "Beta (Horror Film)", "writer": ["Cy Dee"]},
    "3": {"name": "Iliad, The", "year": "-720"},
    "4": {"name": "Unused"},
}
ROWS = {
    "train": [
        # Dialogue 9: two records, the second continues the first.
        {"dialog_id": 9, "turn_id": 3, "context": ["Hi, I like Alpha.", "Then Alpha Two!", "More like Alpha Two?"],
         "entity": ["Alpha", "Alpha Two", "Alpha", "Alpha Two"], "rec": ["Iliad, The"], "resp": "Read it."},
        {"dialog_id": 9, "turn_id": 1, "context": ["Hi, I like Alpha."], "entity": ["Alpha"], "rec": ["Alpha Two"],
         "resp": "Then Alpha Two!"},
        {"dialog_id": 5, "turn_id": 1, "context": ["Something new?"], "entity": [], "rec": ["Alpha"], "resp": "Alpha."},
        {"dialog_id": 6, "turn_id": 1, "context": ["Old?"], "entity": [], "rec": ["Iliad, The"], "resp": "Iliad."},
    ],
    "valid": [
        {"dialog_id": 6, "turn_id": 3, "context": ["Old?", "Iliad.", "More?"], "entity": [], "rec": ["Alpha"], "resp": "Alpha."}
    ],
    "test": [
        {"dialog_id": 5, "turn_id": 3, "context": ["Something new?", "Alpha.", "Another one?"], "entity": ["Alpha"],
         "rec": ["Beta (Horror Film)", "Alpha", "Alpha"], "resp": "Beta."},
        {"dialog_id": 7, "turn_id": 2, "context": ["", "Anything by Ann Lee?"], "entity": ["Ann Lee"], "rec": ["Alpha"],
         "resp": "Alpha"},
    ],
}  # fmt: skip


def write(folder: Path, rows=ROWS, works=WORKS) -> Path:
    folder.mkdir(exist_ok=True)
    for split, records in rows.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{split}_data_processed.jsonl").write_text(lines, encoding="utf-8")
    (folder / "id2info.json").write_text(json.dumps(works), encoding="utf-8")
    names = {work["name"]: n for n, work in enumerate(works.values())}
    (folder / "entity2id.json").write_text(json.dumps(names | {"Ann Lee": 100}), encoding="utf-8")
    # Neither the unused work nor "Beta", which is a target all the same, is among the candidates.
    (folder / "item_ids.json").write_text("[0, 1, 3]", encoding="utf-8")
    return folder


def load(folder: Path, split: str = "test", **options):
    return OpenDialKG(Options(path=str(folder), **options)).load(split)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def test_rows_contexts_and_needs(tmp_path):
    split = load(write(tmp_path))
    first, second = split.scenarios
    assert (first.id, first.source) == ("5:3", "5")
    assert [(m.role, m.text, m.items) for m in first.context] == [
        ("seeker", "Something new?", ()),
        ("recommender", "Alpha.", ("0",)),
        ("seeker", "Another one?", ()),
    ]
    assert first.need.targets == ("2", "0")
    assert first.need.liked_attributes == {
        "genre": ("Drama", "Crime"),
        "director": ("Ann Lee",),
        "actor": ("Bo Ray",),
        "writer": ("Cy Dee",),
    }
    # The blank opening is nobody's; the director is no item.
    assert [(m.role, m.text, m.items) for m in second.context] == [("seeker", "Anything by Ann Lee?", ())]
    assert any("in 1 rows a target is already mentioned" in note for note in split.notes)


def test_catalogue_is_the_candidates_and_the_targets(tmp_path):
    folder = write(tmp_path)
    catalogue = load(folder).catalogue
    assert [item.title for item in catalogue] == ["Alpha", "Alpha Two", "Beta (Horror Film)", "Iliad, The"]
    alpha, _, beta, iliad = catalogue
    assert (alpha.year, alpha.attributes["genre"]) == (1999, ("Drama", "Crime"))
    assert (beta.aliases, beta.year) == (("Beta",), None)
    assert (iliad.aliases, iliad.year, iliad.attributes) == (("The Iliad",), -720, {})
    assert len(load(folder, catalogue="id2info").catalogue) == 5
    (folder / "item_ids.json").unlink()
    assert len(load(folder).catalogue) == 5


def test_training_turns_of_dialogues_with_test_or_validation_rows_are_dropped(tmp_path):
    folder = write(tmp_path)
    split = load(folder)
    assert [dialogue.id for dialogue in split.training] == ["9"]
    assert any("2 of 4 training turns" in note and "left out" in note for note in split.notes)
    kept = load(folder, drop_train_overlap=False)
    assert [dialogue.id for dialogue in kept.training] == ["9", "5", "6"]
    assert any("2 of 4 training turns" in note and "KEPT" in note for note in kept.notes)
    assert [row.id for row in load(folder, "train").scenarios] == ["9:3", "9:1"]
    assert [row.id for row in load(folder, "validation").scenarios] == ["6:3"]


def test_records_of_a_dialogue_become_one_training_dialogue(tmp_path):
    (dialogue,) = load(write(tmp_path)).training
    assert [(m.role, m.text, m.items) for m in dialogue.messages] == [
        ("seeker", "Hi, I like Alpha.", ("0",)),
        ("recommender", "Then Alpha Two!", ("1", "0")),
        ("seeker", "More like Alpha Two?", ("1",)),
        ("recommender", "Read it.", ("3",)),
    ]


def test_link_loses_nothing_and_follows_the_order():
    ids = {"Heat": "h", "Heat 2": "h2", "Cats": "c"}
    context = ["Heat?", "heat 2, or Cats", "No Cats"]
    assert link(context, ["Heat", "Heat", "Heat 2", "Cats", "Cats"], ids) == [["h"], ["h", "h2", "c"], ["c"]]
    # Out of order: back to an utterance with the name; in no utterance: the last one.
    assert link(context, ["Cats", "Cats", "Heat 2"], ids) == [[], ["c", "h2"], ["c"]]
    assert link(["nothing here", "nor here"], ["Cats", "Oslo"], ids) == [[], ["c"]]
    assert link([], ["Cats"], ids) == []


def test_only_the_asked_split_must_exist(tmp_path):
    folder = write(tmp_path)
    (folder / "train_data_processed.jsonl").unlink()
    split = load(folder)
    assert (len(split.scenarios), len(split.training)) == (2, 0)
    assert "train_data_processed.jsonl is missing" in split.notes
    with pytest.raises(DataError, match=r"holds no train_data_processed\.jsonl"):
        load(folder, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dialog_id": None}, r"test_data_processed\.jsonl:1: field 'dialog_id': expected an integer or a string, found None"),
        ({"turn_id": "x"}, r"jsonl:1: field 'turn_id': expected an integer"),
        ({"context": "Hi"}, r"jsonl:1: field 'context' expected a list of strings"),
        ({"entity": [1]}, r"jsonl:1: field 'entity', element 0: expected a string, found 1"),
        ({"rec": []}, r"jsonl:1: field 'rec': expected at least one name"),
        ({"rec": ["Gamma"]}, r"jsonl:1: field 'rec': 'Gamma' is not in id2info\.json"),
        ({"dialog_id": 7, "turn_id": 2}, r"jsonl:2: dialogue 7, turn 2 already stands in line 1"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path, change, message):
    first, second = ROWS["test"]
    folder = write(tmp_path, ROWS | {"test": [first | change, second]})
    with pytest.raises(DataError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("works", "message"),
    [
        ({"0": {"year": "1999"}}, r"id2info\.json: item '0': field 'name' is missing"),
        ({"0": {"name": "Alpha", "year": "soon"}}, r"item '0': field 'year': expected a year in digits, found 'soon'"),
        ({"0": {"name": "Alpha", "genre": "Drama"}}, r"item '0': field 'genre': expected a list"),
        ({"0": {"name": "Alpha", "genre": [3]}}, r"item '0': field 'genre': expected strings, found 3"),
        ({"0": {"name": "Alpha"}, "1": {"name": "Alpha"}}, r"item '1': the name 'Alpha' already belongs to item '0'"),
        ({"0": ["Alpha"]}, r"item '0': expected an object"),
    ],
)
def test_metadata_errors_name_the_item(tmp_path, works, message):
    folder = write(tmp_path)
    (folder / "id2info.json").write_text(json.dumps(works), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load(folder)


def test_candidates_must_be_named(tmp_path):
    folder = write(tmp_path)
    (folder / "item_ids.json").write_text("[0, 77]", encoding="utf-8")
    with pytest.raises(DataError, match=r"item_ids\.json: entity number 77 is not in entity2id\.json"):
        load(folder)


def test_missing_folder_says_how_to_get_it_and_unknown_splits_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"github\.com/facebookresearch/opendialkg"):
        OpenDialKG().load("test")
    with pytest.raises(UsageError, match="no split called 'valid'"):
        load(write(tmp_path), "valid")


@pytest.fixture(scope="module")
def real():
    """`load` for the real files, which are read once."""
    return cache(partial(load, Path(REAL or ".") / "opendialkg"))


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="HARNESS_DATA is not set")
class TestRealFiles:
    folder = Path(REAL or ".") / "opendialkg"

    @pytest.mark.parametrize(
        ("name", "rows", "dialogues", "repeated"),
        [("train", 4207, 3076, 1506), ("validation", 1174, 1111, 444), ("test", 1085, 1013, 395)],
    )
    def test_counts(self, real, name, rows, dialogues, repeated):
        split = real(name)
        assert len(split.scenarios) == rows
        assert len({scenario.source for scenario in split.scenarios}) == dialogues
        assert len(split.training) == 3076
        assert len(split.catalogue) == 2967
        mentioned = [set(s.need.targets) & set(Conversation(s.context).mentioned) for s in split.scenarios]
        assert sum(map(bool, mentioned)) == repeated

    def test_all_training_turns(self, real):
        split = real("train", drop_train_overlap=False, catalogue="id2info")
        assert (len(split.scenarios), len(split.training), len(split.catalogue)) == (5490, 4054, 3672)

    def test_mentioned_items_are_the_record_s_item_entities(self, real):
        split = real()
        ids = {item.title: item.id for item in split.catalogue}
        with (self.folder / "test_data_processed.jsonl").open(encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        for scenario, record in zip(split.scenarios, records, strict=True):
            named = tuple(dict.fromkeys(ids[e] for e in record["entity"] if e in ids))
            assert Conversation(scenario.context).mentioned == named
            assert [m.text for m in scenario.context] == record["context"]
            assert scenario.context[-1].role == "seeker"

    def test_repeating_what_was_mentioned_hits_a_third(self, real):
        """The floor that every published single-turn score must be read against: most recent mention first."""
        hits = {1: 0, 10: 0}
        labels = 0
        for scenario in real().scenarios:
            flat = [item for message in scenario.context for item in message.items]
            ranked = list(dict.fromkeys(reversed(flat)))
            labels += len(scenario.need.targets)
            for k in hits:
                hits[k] += len(set(ranked[:k]) & set(scenario.need.targets))
        assert labels == 1153
        assert hits[1] / labels == pytest.approx(0.33, abs=0.005)
        assert hits[10] / labels == pytest.approx(0.345, abs=0.005)

    def test_a_third_of_the_rows_are_about_books(self, real):
        assert any(note.startswith("394 of the rows are about books") for note in real().notes)
