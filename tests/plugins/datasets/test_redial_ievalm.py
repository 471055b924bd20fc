from __future__ import annotations

import json
import os
from functools import cache, partial
from pathlib import Path

import pytest
from tiny_redial import RECOMMENDER, SEEKER, dialogue, film, simple, write_info, write_jsonl, write_redial

from harness.api import Conversation
from harness.errors import DataError
from harness.scenarios import novel
from harness_plugins.datasets.ievalm_records import place_names
from harness_plugins.datasets.redial import Options as RawOptions
from harness_plugins.datasets.redial import Redial
from harness_plugins.datasets.redial_ievalm import Options, RedialIevalm

TIN, COMET, PAPER = "The Tin Lighthouse (1987)", "Who Stole the Comet? (2001)", "Paper Kingdoms (2012)"


@pytest.fixture(autouse=True)
def no_data_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def record(dialogue_id, turn, context, entity, rec, resp="Well.", **changes):
    row = {"dialog_id": dialogue_id, "turn_id": turn, "context": context, "entity": entity, "rec": rec, "resp": resp}
    return row | {"template": []} | changes


VALID = [record("20", 1, ["Hi"], [], [COMET])]
TEST = [
    record("500", 0, [""], [], [TIN]),
    record("500", 2, ["", f"Try {TIN} !", f"Seen. {PAPER} was {TIN}-like"], [TIN, "drama", PAPER, TIN], [COMET, PAPER]),
    record("501", 1, ["comedy, not the comet one"], ["comedy", COMET], [TIN], resp=TIN),
]


def write(folder: Path, valid=VALID, test=TEST, train=None, info=None) -> Path:
    write_info(folder, info)
    write_jsonl(folder / "valid_data_processed.jsonl", valid)
    write_jsonl(folder / "test_data_processed.jsonl", test)
    if train is not None:
        write_jsonl(folder / "train_data_processed.jsonl", train)
    return folder


def load(folder, split="test", **options):
    return RedialIevalm(Options(path=str(folder), **options)).load(split)


def notes(split):
    return " | ".join(split.notes)


def test_rows_roles_targets_and_links(tmp_path):
    loaded = load(write(tmp_path / "redial_ievalm"))
    first, second, third = loaded.scenarios
    assert [(s.id, s.source) for s in loaded.scenarios] == [("500:0", "500"), ("500:2", "500"), ("501:1", "501")]
    assert first.context == ()  # the recommender wrote first
    assert [(m.role, m.items) for m in second.context] == [("recommender", ("101",)), ("seeker", ("104", "101"))]
    assert second.need.targets == ("102", "104")  # 104 and 105 bear one name: one item
    # Linked, but its title stands nowhere in the text: the last seeker message has it.
    assert [(m.role, m.items) for m in third.context] == [("seeker", ("102",))]
    assert second.need.liked_attributes == {
        "genre": ("comedy", "sea", "drama"),
        "director": ("Cy Reed",),
        "star": ("Ben Oak", "Dee Fern", "Eve Hill"),
    }
    assert [i.id for i in loaded.catalogue] == ["101", "102", "104"]
    assert (loaded.catalogue[2].title, loaded.catalogue[2].year) == ("Paper Kingdoms", 2012)
    assert len(load(tmp_path / "redial_ievalm", "validation").scenarios) == 1
    assert "3 rows of 2 dialogues; the published file has 3,341: this is another row set" in notes(loaded)


def test_mentioned_items_are_exactly_the_linked_ones(tmp_path):
    loaded = load(write(tmp_path / "redial_ievalm"))
    assert [set(Conversation(s.context).mentioned) for s in loaded.scenarios] == [set(), {"101", "104"}, {"102"}]


def test_a_longer_title_keeps_its_words():
    names = ["Comet", "Comet 3", "Eve"]
    assert place_names("I never saw Comet 3", names) == ["Comet 3"]
    assert place_names("Comet, then Comet 3!", names) == ["Comet", "Comet 3"]
    assert place_names("Comet 30 and Eve", names) == ["Comet", "Eve"]
    assert place_names("", names) == []


def test_questionnaires_come_from_the_raw_data(tmp_path):
    folder = write(tmp_path / "redial_ievalm")
    assert load(folder).scenarios[1].need.liked_items == ()
    assert "isn't there" in notes(load(folder))
    write_redial(tmp_path / "redial")  # beside it: holds conversation 500
    joined = load(folder)
    assert joined.scenarios[1].need.liked_items == ("101",)
    assert joined.scenarios[2].need.liked_items == ()
    assert "2 of 3 rows" in notes(joined)
    assert load(folder, labels="recommender").scenarios[1].need.liked_items == ("101", "102")
    assert load(folder, labels="none").scenarios[1].need.liked_items == ()
    elsewhere = write_redial(tmp_path / "other", test=[dialogue("501", [(SEEKER, "@104")], seeker={"104": (1, 1)})])
    assert load(folder, redial=str(elsewhere)).scenarios[2].need.liked_items == ("104",)


def test_training_from_the_raw_data_leaves_out_the_held_out_dialogues(tmp_path):
    folder = write(
        tmp_path / "redial_ievalm", valid=[record("20", 1, ["Hi"], [], [COMET]), record("3", 1, ["Hi"], [], [COMET])]
    )
    outside = dialogue("40", [(SEEKER, "@106 was fine"), (RECOMMENDER, "@105 and @106")])
    write_redial(tmp_path / "redial", train=[simple(str(n)) for n in range(25)] + [outside])
    loaded = load(folder)
    assert [d.id for d in loaded.training] == [*(str(n) for n in range(25) if n not in (3, 20)), "40"]
    assert "24 raw redial dialogues, 2 left out" in notes(loaded)
    last = loaded.training[-1].messages
    assert (last[0].text, last[0].items) == ("Quiet Harbours (2003) was fine", ())  # 106 is no candidate here
    assert last[1].items == ("104",)
    rows = load(folder, "train")
    assert len(rows.scenarios) == 24
    assert rows.scenarios[-1].need.targets == ("104",)
    assert list(load(folder, train="none").training) == []
    with pytest.raises(DataError, match="train_data_processed"):
        load(folder, train="processed")
    with pytest.raises(DataError, match="no training records"):
        load(folder, "train", train="none")


def test_training_from_processed_records(tmp_path):
    train = [
        record("7", 1, [f"I like {TIN}"], [TIN], [COMET], resp=f"{COMET} then"),
        record("8", 0, [""], [], [PAPER], resp=PAPER),
        record("7", 3, [f"I like {TIN}", f"{COMET} then", "More?"], [TIN, COMET], [PAPER], resp=f"{PAPER} too"),
    ]
    folder = write(tmp_path / "redial_ievalm", train=train)
    loaded = load(folder, "train")
    assert [s.id for s in loaded.scenarios] == ["7:1", "8:0", "7:3"]
    seven, eight = loaded.training
    assert [(m.role, m.items) for m in seven.messages] == [
        ("seeker", ("101",)),
        ("recommender", ("102",)),
        ("seeker", ()),
        ("recommender", ("104",)),
    ]
    assert [(m.role, m.text, m.items) for m in eight.messages] == [("recommender", PAPER, ("104",))]
    write_redial(tmp_path / "redial")
    assert len(load(folder, train="redial").training) == 29  # 30 without the validation dialogue 20
    with pytest.raises(DataError, match="give its folder"):
        load(write(tmp_path / "alone" / "redial_ievalm"), train="redial")


def test_a_dialogue_in_two_files_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"test_data_processed\.jsonl: dialogue '20' is also in valid_data_processed"):
        load(write(tmp_path / "a", test=[*TEST, record("20", 5, ["x"], [], [TIN])]))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (record("1", 1, ["x"], [], ["No Such Film"]), "field 'rec': 'No Such Film' is no item"),
        (record("1", 1, ["x"], [], []), "field 'rec': expected at least one"),
        (record("1", 1, "x", [], [TIN]), "field 'context'"),
        (record("1", 1, ["x", None], [], [TIN]), "field 'context', element 1"),
        (record("1", "1", ["x"], [], [TIN]), "field 'turn_id': expected an integer"),
        (record(1, 1, ["x"], [], [TIN]), "field 'dialog_id': expected a string"),
        (record("500", 0, ["x"], [], [TIN]), "stands already in line 1"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path, row, says):
    with pytest.raises(DataError, match=says) as caught:
        load(write(tmp_path / "data", test=[*TEST, row]))
    assert str(caught.value).startswith(str(tmp_path / "data" / "test_data_processed.jsonl:4: "))


def test_errors_of_the_metadata(tmp_path):
    for info, says in (
        ([], "expected an object that maps"),
        ({"1": "x"}, "movie '1': expected an object"),
        ({"1": film(3)}, "movie '1': field 'name': expected a string"),
        ({"1": film("A") | {"genre": "drama"}}, "movie '1': field 'genre': expected a list"),
        ({"1": film("A") | {"star": ["x", 3]}}, r"movie '1': field 'star\[1\]': expected a string"),
    ):
        with pytest.raises(DataError, match=says):
            load(write(tmp_path / "data", info=info))
    with pytest.raises(DataError, match=r"holds no id2info\.json"):
        load(write_redial(tmp_path / "raw"))


def test_the_catalogue_is_the_published_candidate_list(tmp_path):
    folder = write(tmp_path / "data")
    (folder / "entity2id.json").write_text(json.dumps({TIN: 0, "drama": 1, COMET: 2, PAPER: 3}))
    (folder / "item_ids.json").write_text("[0, 2, 3]")
    assert len(load(folder).catalogue) == 3
    (folder / "item_ids.json").write_text("[0, 1, 3]")
    with pytest.raises(DataError, match=r"2 differ, such as 'Who Stole the Comet\? \(2001\)'"):
        load(folder)


REAL = Path(os.environ.get("HARNESS_DATA", "/nowhere")) / "redial_ievalm"


@pytest.fixture(scope="module")
def real():
    """`load` for the real files, which are read once."""
    return cache(partial(load, REAL))


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="needs redial_ievalm in $HARNESS_DATA")
def test_real_test_rows_and_the_repetition_shortcut(real):
    """The counts are those of the published files as counted from their raw records."""
    rows = [json.loads(line) for line in (REAL / "test_data_processed.jsonl").open(encoding="utf-8")]
    items = {film["name"] for film in json.loads((REAL / "id2info.json").read_text()).values()}
    loaded = real()
    names = {i.id: i.title if i.year is None else f"{i.title} ({i.year})" for i in loaded.catalogue}
    assert len(loaded.scenarios) == len(rows) == 2846
    assert len(loaded.catalogue) == 6576
    repeated = first = ten = labels = 0
    for row, scenario in zip(rows, loaded.scenarios, strict=True):
        mentioned = Conversation(scenario.context).mentioned
        assert {names[i] for i in mentioned} == set(row["entity"]) & items
        assert [names[i] for i in scenario.need.targets] == row["rec"]
        assert [m.text for m in scenario.context] == [text for text in row["context"] if text]
        ranked = list(reversed(mentioned))
        repeated += bool(set(mentioned) & set(scenario.need.targets))
        labels += len(scenario.need.targets)
        first += len(set(ranked[:1]) & set(scenario.need.targets))
        ten += len(set(ranked[:10]) & set(scenario.need.targets))
    assert (repeated, labels) == (362, 3838)
    for scenario in novel(loaded.scenarios):  # there, repeating what was mentioned scores exactly 0
        assert not set(Conversation(scenario.context).mentioned) & set(scenario.need.targets)
    assert first / labels == pytest.approx(0.05, abs=0.005)
    assert ten / labels == pytest.approx(0.10, abs=0.01)


@pytest.mark.realdata
@pytest.mark.skipif(not (REAL.is_dir() and (REAL.parent / "redial").is_dir()), reason="needs both forms in $HARNESS_DATA")
def test_roles_and_targets_agree_with_the_raw_dialogues(real):
    """iEvaLM's records and our own cutting of the raw files are two independent derivations of the same turns."""
    raw = {s.id: s for s in Redial(RawOptions(path=str(REAL.parent / "redial"))).load("test").scenarios}
    loaded = real()
    same_targets = 0
    for scenario in loaded.scenarios:
        other = raw[scenario.id]
        assert [m.role for m in scenario.context] == [m.role for m in other.context]
        same_targets += set(scenario.need.targets) == set(other.need.targets)
    assert same_targets / len(loaded.scenarios) > 0.995
    assert not {d.id for d in loaded.training} & {s.source for s in loaded.scenarios}
