from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_redial import RECOMMENDER, SEEKER, dialogue, simple, write_info, write_redial

from harness.api import Catalogue, Item, Message, Need, Scenario, Split, TrainingDialogue
from harness.errors import DataError, UsageError
from harness_plugins.datasets.jsonl.dataset import Jsonl, Options
from harness_plugins.datasets.redial import Options as RedialOptions
from harness_plugins.datasets.redial import Redial

HEADER = {"format": "crs-harness", "version": 1}
SPLITS = ("train", "validation", "test")


def write(file: Path, *lines) -> Path:
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return file


def load(path, split="test"):
    return Jsonl(Options(path=str(path))).load(split)


def item(id="a", title="Alpha", **more):  # noqa: A002
    return {"type": "item", "id": id, "title": title} | more


def talk(id="d", split="test", **more):  # noqa: A002
    messages = [
        {"role": "seeker", "text": "hi"},
        {"role": "recommender", "text": "Alpha", "items": ["a"], "recommended": True},
    ]
    return {"type": "dialogue", "id": id, "split": split, "messages": messages} | more


def problems(tmp_path, *lines):
    file = write(tmp_path / "x.jsonl", *lines)
    return [p.removeprefix(f"{file}:").removeprefix(f"{file}") for p in Jsonl().validate(file)]


# ------------------------------------------------------------------------------------------------------ the documentation


def documented():
    text = (Path(__file__).parents[3] / "docs" / "data-format.md").read_text(encoding="utf-8")
    return re.search(r"```jsonl\n(.*?)```", text, re.DOTALL)[1], text


def test_the_documented_example_means_what_the_page_says(tmp_path):
    file = tmp_path / "books.jsonl"
    file.write_text(documented()[0], encoding="utf-8")
    dataset = Jsonl(Options(path=str(file)))
    assert dataset.validate(file) == []
    assert (dataset.card.name, dataset.card.licence) == ("harbour-books", "CC0-1.0")
    test = dataset.load("test")
    assert [i.id for i in test.catalogue] == ["b1", "b2", "b3", "b4"]
    assert test.catalogue[3] == Item(
        "b4", "A Quiet Engine", None, {"genre": ("science",)}, ("Quiet Engine",), "Steam, and who tamed it."
    )
    assert list(test.scenarios) == [
        Scenario(
            "e1:1",
            "e1",
            (Message("seeker", "A mystery, please. Nothing with engines."),),
            Need(("b2",), ("b2",), ("b4",), ("b3",), {"genre": ("mystery",), "author": ("Ben Oak",)}, {"genre": ("science",)}),
        )
    ]
    assert [(d.id, d.liked, len(d.messages)) for d in test.training] == [("t1", ("b1", "b3"), 3)]
    assert [s.id for s in dataset.load("train").scenarios] == ["t1:1"]
    assert [(s.id, s.context) for s in dataset.load("validation").scenarios] == [("v1:0", ())]


def test_the_documented_need_and_all_documented_fields(tmp_path):
    example, text = documented()
    block = re.search(r"```json\n(.*?)```", text, re.DOTALL)[1]
    file = tmp_path / "books.jsonl"
    file.write_text(example + block.replace("\n", " ") + "\n", encoding="utf-8")
    case = load(file).scenarios[-1]
    assert (case.id, case.need) == ("e2:1", Need(("b4",), liked_attributes={"genre": ("science",)}))
    from harness_plugins.datasets.jsonl import schema

    for kind in (schema.Header, schema.ItemLine, schema.DialogueLine, schema.MessageLine, schema.NeedLine):
        for name in (f.name for f in msgspec.structs.fields(kind)):
            assert f"`{name}`" in text, name


# -------------------------------------------------------------------------------------------------------------- meaning


def test_explicit_needs(tmp_path):
    file = write(
        tmp_path / "x.jsonl",
        HEADER,
        talk(
            messages=[{"role": "seeker", "text": "hi", "items": ["b"]}],
            source="person 4",
            liked=["b"],
            disliked=["a"],
            needs=[
                {"turn": 0, "targets": ["a"]},
                {
                    "turn": 1,
                    "targets": ["a"],
                    "id": "mine",
                    "liked": [],
                    "disliked": ["b"],
                    "seen": ["a"],
                    "private": {"x": [1]},
                },
                {"turn": 1, "targets": ["b"], "id": "other", "liked_attributes": {"g": ["z"]}, "disliked_attributes": {}},
            ],
        ),
        item("a", attributes={"g": ["u"]}),
        item("b", "Beta", attributes={"g": ["v"]}),
    )
    context = (Message("seeker", "hi", ("b",)),)
    assert list(load(file).scenarios) == [
        Scenario("d:0", "person 4", (), Need(("a",), ("b",), (), (), {"g": ("u",)}, {})),
        Scenario("mine", "person 4", context, Need(("a",), (), ("b",), ("a",), {"g": ("u",)}, {"g": ("v",)}), {"x": [1]}),
        Scenario("other", "person 4", context, Need(("b",), ("b",), ("a",), (), {"g": ("z",)}, {})),
    ]


def test_need_facets_limit_what_is_derived(tmp_path):
    film = item(attributes={"genre": ["g"], "country": ["c"]})
    file = write(tmp_path / "x.jsonl", HEADER | {"need_facets": ["country"]}, film, talk())
    assert load(file).scenarios[0].need.liked_attributes == {"country": ("c",)}
    file = write(tmp_path / "y.jsonl", HEADER, film, talk())
    assert load(file).scenarios[0].need.liked_attributes == {"genre": ("g",), "country": ("c",)}


def test_a_train_dialogue_may_stay_out_of_the_training(tmp_path):
    file = write(tmp_path / "x.jsonl", HEADER, item(), talk("one", "train", training=False), talk("two", "train"))
    loaded = load(file, "train")
    assert [d.id for d in loaded.training] == ["two"]
    assert [s.id for s in loaded.scenarios] == ["one:1", "two:1"]


def test_folder_gzip_and_byte_order_mark(tmp_path):
    single = write(tmp_path / "x.jsonl", HEADER, item(), talk())
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "catalogue.jsonl", HEADER | {"name": "mine"}, item())
    (folder / "dialogues.jsonl.gz").write_bytes(
        gzip.compress("\ufeff".encode() + b"".join(json.dumps(line).encode() + b"\r\n" for line in (HEADER, talk())))
    )
    assert list(load(folder).scenarios) == list(load(single).scenarios)
    assert Jsonl(Options(path=str(folder))).card.name == "mine"
    (folder / "dialogues.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"no dialogues\.jsonl"):
        load(folder)


def test_no_path_and_no_file(tmp_path):
    with pytest.raises(UsageError, match="path=FILE"):
        Jsonl(Options()).load("test")
    assert Jsonl().card.name == "jsonl"
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "none.jsonl")
    assert "no such file" in Jsonl().validate(tmp_path / "none.jsonl")[0]


# ----------------------------------------------------------------------------------------------------------- validation


def test_all_problems_are_listed_with_place_field_and_fix(tmp_path):
    found = problems(
        tmp_path,
        HEADER,
        item(yaer=1999, year="1999"),
        item("b", 3),
        item("a", " "),
        item("c", "Gamma", attributes={"genre": []}),
        talk(
            liked=["Alpha", "zz"],
            messages=[
                {"role": "user", "text": "x"},
                {"role": "seeker", "txt": "y", "items": "a"},
            ],
        ),
        "{not json",
        '"text"',
        {"type": "film"},
        talk("e", colour="red", needs=[{"turn": "1", "targets": ["a"]}]),
    )
    assert found == [
        "2: field 'yaer': unknown field; did you mean 'year'?",
        "2: field 'year': expected an integer or null, got a string",
        "3: field 'title': expected a string, got an integer; write it in quotes",
        "6: field 'messages[0].role': expected 'seeker' or 'recommender', found \"user\"",
        "6: field 'messages[1].txt': unknown field; did you mean 'text'?",
        "6: field 'messages[1].text': is missing; message lines need it",
        "6: field 'messages[1].items': expected a list, got a string",
        "7: not valid JSON (JSON is malformed: object keys must be strings (byte 1)); each line is one whole JSON object",
        '8: expected a JSON object in one line, found "text"',
        """9: field 'type': every line after the first needs "type": "item" or "type": "dialogue", found "film\"""",
        "10: field 'colour': unknown field; known ones are id, split, messages, source, training, liked, disliked, seen, needs",
        "10: field 'needs[0].turn': expected an integer, got a string",
        "4: field 'title': is empty; give the item a title",
        "5: field 'attributes.genre': is empty; leave out facets and values that aren't known",
    ]


def test_meaning_is_checked_against_the_catalogue(tmp_path):
    found = problems(
        tmp_path,
        HEADER,
        item(),
        item("a", "Again"),
        talk(
            liked=["Alpha"],
            seen=["zz"],
            messages=[
                {"role": "seeker", "text": "x", "items": ["zz"], "recommended": True},
                {"role": "recommender", "text": "x", "recommended": True},
                {"role": "recommender", "text": "x", "items": ["a"], "recommended": []},
                {"role": "recommender", "text": "x", "ranked": ["a", "zz"], "rejected": ["zz"], "recommended": ["zz"]},
            ],
        ),
        talk(split="validation"),
        talk("e", "test", training=False, needs=[{"turn": 3, "targets": []}, {"turn": -1, "targets": ["zz"]}]),
        talk("f", messages=[], needs=[{"turn": 0, "targets": ["a"]}, {"turn": 0, "targets": ["a"]}]),
        talk("g", messages=[], needs=[{"turn": 0, "targets": ["a"], "id": "f:0", "liked_attributes": {"x": [""]}}]),
    )
    assert found == [
        f"3: field 'id': 'a' stands already in {tmp_path / 'x.jsonl'}:2; ids must be unique",
        "4: field 'liked[0]': 'Alpha' is no item of the catalogue: that is a title; its id is 'a'",
        "4: field 'seen[0]': 'zz' is no item of the catalogue: add it as an item line",
        "4: field 'messages[0].items[0]': 'zz' is no item of the catalogue: add it as an item line",
        "4: field 'messages[0].recommended': only a recommender's message can recommend",
        "4: field 'messages[1].items': is empty, but recommended is true: list the recommended items",
        "4: field 'messages[2].recommended': is empty; list the recommended items or leave it out",
        "4: field 'messages[3].ranked[1]': 'zz' is no item of the catalogue: add it as an item line",
        "4: field 'messages[3].rejected[0]': 'zz' is no item of the catalogue: add it as an item line",
        "4: field 'messages[3].recommended[0]': 'zz' is no item of the catalogue: add it as an item line",
        f"5: field 'id': 'd' stands already in {tmp_path / 'x.jsonl'}:4; ids must be unique",
        f"5: field 'needs': the test case id 'd:1' stands already in {tmp_path / 'x.jsonl'}:4",
        "6: field 'training': only dialogues of the train split are training dialogues; leave it out",
        "6: field 'messages[1].recommended': give test cases either here or in 'needs', not both",
        "6: field 'needs[0].turn': is 3; the dialogue has 2 messages, so 0 to 2 fit",
        "6: field 'needs[0].targets': is empty; a test case needs at least one target item",
        "6: field 'needs[1].turn': is -1; the dialogue has 2 messages, so 0 to 2 fit",
        "6: field 'needs[1].targets[0]': 'zz' is no item of the catalogue: add it as an item line",
        "7: field 'needs': two test cases of this dialogue have one id; give them different ids",
        "8: field 'needs[0].liked_attributes.x': is empty; leave out facets and values that aren't known",
        f"8: field 'needs': the test case id 'f:0' stands already in {tmp_path / 'x.jsonl'}:7",
    ]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], " is empty; the first line must be"),
        ([item()], "1: field 'format': the first line must be"),
        (["id,title"], "1: not valid JSON"),
        (
            [{"format": "crs-harness", "version": 2}],
            "1: field 'version': this program reads version 1, the file says 2; update",
        ),
        ([{"format": "crs-harness"}], "1: field 'version': this program reads version 1, the file says None"),
        ([HEADER | {"license": "MIT"}], "1: field 'license': unknown field; did you mean 'licence'?"),
        ([HEADER | {"notes": {"tset": []}}], "1: field 'notes"),
        ([HEADER], " holds no items"),
        ([HEADER, item(), talk(messages=[])], " the test dialogues hold no test case"),
        ([HEADER | {"counts": {"items": 2, "dialogues": 0}}, item()], " holds 1 item lines, its header says 2: cut off"),
    ],
)
def test_headers_and_whole_files(tmp_path, lines, says):
    assert problems(tmp_path, *lines)[0].startswith(says)


def test_foreign_text_is_one_problem_and_bad_bytes_have_a_line(tmp_path):
    assert len(problems(tmp_path, *["a,b,c"] * 50)) == 1
    file = tmp_path / "x.jsonl"
    file.write_bytes(json.dumps(HEADER).encode() + b"\n" + json.dumps(item()).encode() + b'\n{"type":"item","id":"\xff"}\n')
    assert Jsonl().validate(file) == [f"{file}:3: not UTF-8 text (invalid start byte); save the file as UTF-8"]


def test_at_most_a_hundred_problems_and_the_loader_shows_ten(tmp_path):
    file = write(tmp_path / "x.jsonl", HEADER, *(item(str(n), "") for n in range(300)))
    assert len(Jsonl().validate(file)) == 100
    with pytest.raises(DataError) as caught:
        load(file)
    assert str(caught.value).count("is empty") == 10
    assert "and 90 more; harness data validate" in str(caught.value)


def test_a_lost_item_line_causes_no_second_complaint(tmp_path):
    assert len(problems(tmp_path, HEADER, item() | {"oops": 1}, talk())) == 1


# ------------------------------------------------------------------------------------------------------------ round trips


def assert_equal(got: Split, want: Split) -> None:
    assert list(got.scenarios) == list(want.scenarios)
    assert list(got.training) == list(want.training)
    assert tuple(got.catalogue) == tuple(want.catalogue)
    assert got.notes == want.notes
    # Simulators may draw from attributes in their order.
    for a, b in zip(got.scenarios, want.scenarios, strict=True):
        assert list(a.need.liked_attributes.items()) == list(b.need.liked_attributes.items())


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out"])
def test_redial_comes_back_equal(tmp_path, name):
    write_info(tmp_path / "redial_ievalm")
    records = [
        dialogue(
            str(n),
            [(SEEKER, "@104 was good"), (RECOMMENDER, "@101 ?"), (SEEKER, "no"), (RECOMMENDER, "@102 or @104"), (SEEKER, "hm")],
            seeker={"101": (0, 0), "102": (0, 1), "104": (1, 1)},
        )
        for n in range(100, 120)
    ]
    redial = Redial(RedialOptions(path=str(write_redial(tmp_path / "redial", [*records, simple("1")]))))
    splits = {split: redial.load(split) for split in SPLITS}
    assert splits["validation"].scenarios
    out = tmp_path / "converted" / name
    Jsonl().write(splits, out, redial.card)
    assert Jsonl().validate(out) == []
    for split in SPLITS:
        assert_equal(load(out, split), splits[split])
    assert Jsonl(Options(path=str(out))).card.licence == "CC BY 4.0"
    assert [p.name for p in out.parent.iterdir()] == [name]
    # The train dialogues carry their own test cases: nothing is written twice.
    text = (
        gzip.decompress(out.read_bytes()).decode()
        if name.endswith("gz")
        else "".join(p.read_text() for p in ([out] if out.is_file() else out.iterdir()))
    )
    assert text.count('"split":"train"') == len(splits["train"].training)


words = st.text('abc é\n"\\', max_size=6)
ids = st.sampled_from(["i0", "i1", "i2", "i3"])
id_lists = st.lists(ids, unique=True, max_size=3).map(tuple)
facets = st.dictionaries(
    st.sampled_from(["genre", "star"]), st.lists(st.sampled_from("xyz"), min_size=1, max_size=2).map(tuple)
)
messages = st.lists(
    st.builds(Message, st.sampled_from(["seeker", "recommender"]), words, id_lists, id_lists, id_lists), max_size=4
).map(tuple)
needs = st.builds(
    Need, st.lists(ids, unique=True, min_size=1, max_size=2).map(tuple), id_lists, id_lists, id_lists, facets, facets
)


@st.composite
def any_splits(draw):
    """Splits less regular than real ones: contexts that don't continue each other, labels that change, ids that clash."""
    catalogue = Catalogue(
        Item(
            f"i{n}",
            f"Title {n}",
            draw(st.none() | st.integers(1900, 2030)),
            draw(facets),
            draw(st.lists(words).map(tuple)),
            draw(words),
        )
        for n in range(4)
    )
    names = [f"t{n}" for n in range(draw(st.integers(0, 3)))]
    training = tuple(TrainingDialogue(n, draw(messages), draw(id_lists), draw(id_lists), draw(id_lists)) for n in names)
    bodies = {d.id: d.messages for d in training}
    splits = {}
    for split in draw(st.lists(st.sampled_from(SPLITS), unique=True, min_size=1)):
        scenarios = []
        for n in range(draw(st.integers(0, 4))):
            source = draw(st.sampled_from([*names, "s1", "s2"]))
            body = bodies[source] if source in bodies and draw(st.booleans()) else draw(messages)
            context = body[: draw(st.integers(0, len(body)))]
            case = draw(st.sampled_from([f"{split}{n}", f"{split}-{source}:{n}"]))
            private = draw(st.dictionaries(words, st.integers() | words | st.lists(st.booleans()), max_size=1))
            scenarios.append(Scenario(case, source, context, draw(needs), private))
        splits[split] = Split(split, scenarios, training, catalogue, tuple(draw(st.lists(words, max_size=1))))
    return splits


@settings(max_examples=60, deadline=None)
@given(any_splits())
def test_any_splits_come_back_equal(tmp_path_factory, splits):
    out = tmp_path_factory.mktemp("round") / "x.jsonl"
    Jsonl().write(splits, out)
    for name, split in splits.items():
        assert_equal(load(out, name), split)


def test_equal_data_gives_equal_bytes(tmp_path):
    source = write(tmp_path / "x.jsonl", HEADER, item(), talk(), talk("t", "train"))
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        Jsonl().write({s: load(source, s) for s in SPLITS}, tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def tiny_split(name="test", **changes):
    fields = {
        "scenarios": [Scenario("c", "s", (), Need(("a",)))],
        "training": (),
        "catalogue": Catalogue([Item("a", "Alpha")]),
    } | changes
    return Split(name, **fields)


@pytest.mark.parametrize(
    ("splits", "out", "says"),
    [
        ({"test": tiny_split()}, "taken.jsonl", "exists already"),
        ({"test": tiny_split()}, "x.csv", "ends in .jsonl"),
        ({}, "x.jsonl", "no split"),
        ({"dev": tiny_split("dev")}, "x.jsonl", "no split called 'dev'"),
        (
            {"test": tiny_split(), "validation": tiny_split(catalogue=Catalogue([Item("a", "B")]))},
            "x.jsonl",
            "different catalogues",
        ),
        (
            {"test": tiny_split(), "validation": tiny_split(training=[TrainingDialogue("t", ())])},
            "x.jsonl",
            "different training",
        ),
        ({"test": tiny_split(scenarios=[Scenario("c", "s", (), Need(("zz",)))])}, "x.jsonl", "'zz' of its need"),
        ({"test": tiny_split(scenarios=[Scenario("c", "s", (), Need(("a",)))] * 2)}, "x.jsonl", "one id"),
        ({"test": tiny_split(catalogue=Catalogue([Item("a", "")]))}, "x.jsonl", "title"),
        ({"test": tiny_split(catalogue=Catalogue([Item("a", "\ud800")]))}, "x.jsonl", "surrogate"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, splits, out, says):
    (tmp_path / "taken.jsonl").write_text("mine")
    with pytest.raises((UsageError, DataError), match=says):
        Jsonl().write(splits, tmp_path / out)
    assert [p.name for p in tmp_path.iterdir()] == ["taken.jsonl"]
    assert (tmp_path / "taken.jsonl").read_text() == "mine"
