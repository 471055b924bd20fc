from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest
from tiny_redial import ODD, RECOMMENDER, SEEKER, dialogue, simple, write_info, write_jsonl, write_redial

from harness.errors import DataError, UsageError
from harness_plugins.datasets.redial import Options, Redial, in_validation


@pytest.fixture(autouse=True)
def no_data_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def load(folder, split="test", **options):
    return Redial(Options(path=str(folder), **options)).load(split)


def note(split, part):
    return next((n for n in split.notes if part in n), None)


def test_turns_text_and_links(tmp_path):
    loaded = load(write_redial(tmp_path / "redial"))
    (scenario,) = loaded.scenarios
    assert (scenario.id, scenario.source) == ("500:2", "500")
    opening, answer = scenario.context
    assert (opening.role, opening.text, opening.items) == ("recommender", "Hello & welcome what do you like?", ())
    assert answer.role == "seeker"
    assert answer.text == 'I saw Paper Kingdoms (2012) and "Salt & Ember"recently Quiet Harbours (2003)'
    assert answer.items == ("104", "103", "106")
    # "@105" is another id of the film "104"; "@999" is no movie and stays.
    assert scenario.need.targets == ("102", "101", "104")
    training = load(write_redial(tmp_path / "b", train=[ODD | {"conversationId": "2"}], test=[simple("1")])).training
    assert [m.role for m in training[0].messages] == ["recommender", "seeker", "recommender", "seeker"]
    assert training[0].messages[2].text == (
        "Who Stole the Comet? (2001) The Tin Lighthouse (1987) ? not @999 or "
        "The Tin Lighthouse (1987) and Paper Kingdoms (2012)"
    )
    assert training[0].messages[3].text == "AT&T &notit 3 < 4"
    assert "1 empty messages left out" in note(loaded, "while reading")
    assert "1 mentions of an unknown movie id" in note(loaded, "while reading")


def test_catalogue_titles_years_and_one_item_per_title(tmp_path):
    folder = write_redial(tmp_path / "redial")
    (folder / "movies_with_mentions.csv").write_bytes(
        b'movieId,movieName,nbMentions\r\n20,"Tide, The  (1911)",3\r\n7,No Year ,1\r\n'
    )
    loaded = load(folder)
    assert [(i.id, i.title, i.year) for i in loaded.catalogue] == [
        ("7", "No Year", None),
        ("20", "Tide, The", 1911),
        ("101", "The Tin Lighthouse", 1987),
        ("102", "Who Stole the Comet?", 2001),
        ("103", "Salt & Ember", None),
        ("104", "Paper Kingdoms", 2012),
        ("106", "Quiet Harbours", 2003),
    ]
    for split in ("train", "validation"):
        assert tuple(load(folder, split).catalogue) == tuple(loaded.catalogue)
    assert "1 movie ids merged" in note(loaded, "while reading")


def test_labels_are_the_seekers_and_the_choice_is_stated(tmp_path):
    folder = write_redial(tmp_path / "redial")
    need = load(folder).scenarios[0].need
    # 104 and 105 are one film with contradictory answers: no label. 102 is a target: never among the disliked.
    assert need.liked_items == ("101",)
    assert need.disliked_items == ()
    assert need.seen_items == ("103",)
    assert "seeker's own answers" in note(load(folder), "labels")
    assert "1 have a target that the labels say was disliked" in note(load(folder), "disliked (")
    guess = load(folder, labels="recommender")
    assert guess.scenarios[0].need.liked_items == ("101", "102")
    assert guess.scenarios[0].need.seen_items == ("101", "103")
    assert "recommender's guesses" in note(guess, "labels")
    agreed = load(folder, labels="agree").scenarios[0].need
    assert (agreed.liked_items, agreed.disliked_items, agreed.seen_items) == (("101",), (), ("103",))


def test_empty_questionnaires_and_nameless_movies(tmp_path):
    odd = dialogue("90", [(SEEKER, "@106 ?"), (RECOMMENDER, "no, @101")], mentions={"106": "Quiet Harbours (2003)", "50": None})
    loaded = load(write_redial(tmp_path / "redial", test=[odd, dialogue("91", [(SEEKER, "bye")], mentions=[])]))
    (scenario,) = loaded.scenarios  # 101 is known from the train file
    assert scenario.need.targets == ("101",)
    assert (scenario.need.liked_items, scenario.need.seen_items) == ((), ())
    assert loaded.catalogue.get("50") is None
    assert "1 movies without a name" in note(loaded, "while reading")


def test_attributes_of_the_need(tmp_path):
    write_info(tmp_path / "redial_ievalm")
    record = dialogue(
        "90", [(SEEKER, "@102, hm"), (RECOMMENDER, "@104 ?")], seeker={"101": (1, 0), "102": (1, 1), "104": (0, 2)}
    )
    folder = write_redial(tmp_path / "redial", test=[record])
    loaded = load(folder)
    need = loaded.scenarios[0].need
    assert need.liked_attributes == {"genre": ("drama",), "star": ("Eve Hill",)}  # of the target; it has no director
    # Of 101: "drama" is the target's too, "sea" and Ben Oak are shared with the liked 102.
    assert need.disliked_attributes == {"director": ("Ada Moss",)}
    item = loaded.catalogue.get("101")
    assert item.text == "A lamp goes out."
    assert "writer" not in item.attributes  # the file's empty values are missing facets
    assert "metadata: 3 of 3 items" in note(loaded, "metadata")
    assert load(folder, metadata="none").catalogue.get("101").attributes == {}
    elsewhere = write_info(tmp_path / "elsewhere", {"101": {"name": "The Tin Lighthouse (1987)", "genre": ["fog"]}})
    for given in (elsewhere, elsewhere / "id2info.json"):
        assert load(folder, metadata=str(given)).catalogue.get("101").attributes == {"genre": ("fog",)}
    with pytest.raises(DataError, match="metadata="):
        load(folder, metadata=str(tmp_path / "nowhere"))


def test_validation_is_a_tenth_by_the_hash_of_the_id(tmp_path):
    folder = write_redial(tmp_path / "redial")
    expected = {str(n) for n in range(30) if int(hashlib.sha256(str(n).encode()).hexdigest()[:16], 16) < 2**64 // 10}
    assert 0 < len(expected) < 10
    validation = load(folder, "validation")
    assert {s.source for s in validation.scenarios} == expected
    for split in ("train", "validation", "test"):
        assert {d.id for d in load(folder, split).training} == {str(n) for n in range(30)} - expected
    assert {s.source for s in load(folder, "train").scenarios} == {str(n) for n in range(30)} - expected
    assert abs(sum(in_validation(str(n)) for n in range(20_000)) / 20_000 - 0.1) < 0.01


def test_a_dialogue_in_two_files_or_twice_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"test_data\.jsonl:2: conversationId '5' stands already in .*train_data\.jsonl:6"):
        load(write_redial(tmp_path / "a", test=[ODD, simple("5")]))
    with pytest.raises(DataError, match=r"train_data\.jsonl:2: conversationId '5' stands already in .*train_data\.jsonl:1"):
        load(write_redial(tmp_path / "b", train=[simple("5"), simple("5")]))


def test_overlap_with_the_ievalm_validation_is_noted(tmp_path):
    folder = write_redial(tmp_path / "redial")
    trained = [d.id for d in load(folder).training]
    write_info(tmp_path / "redial_ievalm")
    write_jsonl(
        tmp_path / "redial_ievalm" / "valid_data_processed.jsonl", [{"dialog_id": i} for i in (*trained[:3], "no such")]
    )
    assert note(load(folder), "redial-ievalm").startswith("3 training dialogues")


def test_zip_gzip_and_partial_file_hold_the_same_data(tmp_path):
    plain = write_redial(tmp_path / "plain")
    expected = [load(plain, split) for split in ("train", "validation", "test")]
    for form in ("zip", "gz", "partial"):
        folder = tmp_path / form
        folder.mkdir()
        if form == "zip":
            with zipfile.ZipFile(folder / "redial_dataset.zip", "w") as archive:
                for name in ("train_data.jsonl", "test_data.jsonl"):
                    archive.write(plain / name, name)
        else:
            for name, new in (("train_data", "train_data_partial" if form == "partial" else "train_data"), ("test_data",) * 2):
                content = (plain / f"{name}.jsonl").read_bytes()
                if form == "gz":
                    (folder / f"{new}.jsonl.gz").write_bytes(gzip.compress(content))
                else:
                    (folder / f"{new}.jsonl").write_bytes(content)
        places = [folder, folder / "redial_dataset.zip"] if form == "zip" else [folder]
        for place in places:
            for want in expected:
                got = load(place, want.name)
                assert (got.scenarios, got.training, tuple(got.catalogue)) == (
                    want.scenarios,
                    want.training,
                    tuple(want.catalogue),
                )
    assert note(load(plain), "train_data.jsonl: 30 dialogues of the official 10,006")


def broken(change):
    record = json.loads(json.dumps(simple("77")))
    change(record)
    return record


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.pop("messages"), "field 'messages' is missing"),
        (lambda r: r.update(messages={}), "field 'messages': expected a list"),
        (lambda r: r["messages"].insert(1, "hi"), r"field 'messages\[1\]': expected an object"),
        (lambda r: r["messages"][1].update(text=None), r"messages\[1\]: field 'text': expected a string, found null"),
        (lambda r: r["messages"][0].update(senderWorkerId="7"), r"messages\[0\]: field 'senderWorkerId': expected an integer"),
        (lambda r: r.update(conversationId=77), "field 'conversationId': expected a string"),
        (lambda r: r.update(movieMentions={"101": 3}), r"field 'movieMentions\.101': expected a title or null"),
        (lambda r: r.update(movieMentions={"tt1": "x"}), "expected numbers as movie ids, found 'tt1'"),
        (lambda r: r.update(initiatorQuestions="no"), "field 'initiatorQuestions': expected an object"),
        (lambda r: r["initiatorQuestions"]["101"].update(liked=3), r"initiatorQuestions\.101: 'seen' and 'liked' must be 0"),
        (lambda r: r["initiatorQuestions"]["101"].pop("seen"), r"initiatorQuestions\.101: field 'seen' is missing"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path, change, says):
    with pytest.raises(DataError, match=says) as caught:
        load(write_redial(tmp_path / "redial", test=[ODD, broken(change)]))
    assert str(caught.value).startswith(str(tmp_path / "redial" / "test_data.jsonl:2: "))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"id,name\n1,x\n", r"csv:1: expected the columns"),
        (b"movieId,movieName,nbMentions\n1,x\n", r"csv:2: expected a movie number"),
        (b"movieId,movieName,nbMentions\n1,x,2\n1,\xff,2\n", r"csv:.*not UTF-8"),
    ],
)
def test_errors_of_the_movie_list(tmp_path, content, says):
    folder = write_redial(tmp_path / "redial")
    (folder / "movies_with_mentions.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        load(folder)


def test_strange_speakers_are_counted_not_guessed(tmp_path):
    third = dialogue("90", [(SEEKER, "a"), (99, "@106 is mine"), (RECOMMENDER, "@101")])
    alone = dialogue("91", [(SEEKER, "a"), (SEEKER, "@101")]) | {"respondentWorkerId": SEEKER}
    loaded = load(write_redial(tmp_path / "redial", test=[third, alone]))
    assert [s.id for s in loaded.scenarios] == ["90:1"]
    assert [m.text for m in loaded.scenarios[0].context] == ["a"]
    assert "1 messages of a third worker" in note(loaded, "while reading")
    assert "1 dialogues of a worker with himself" in note(loaded, "while reading")


def test_missing_files_and_unknown_splits(tmp_path):
    with pytest.raises(DataError, match=r"harness data get redial"):
        Redial(Options()).load("test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no train_data\.jsonl or train_data_partial\.jsonl"):
        load(tmp_path / "empty")
    with pytest.raises(UsageError, match="valid"):
        load(tmp_path / "empty", "valid")


REAL = Path(os.environ.get("HARNESS_DATA", "/nowhere"))


@pytest.mark.realdata
@pytest.mark.skipif(not (REAL / "redial").is_dir(), reason="needs ReDial in $HARNESS_DATA")
def test_real_redial_agrees_with_an_independent_count():
    records = [json.loads(line) for line in (REAL / "redial" / "test_data.jsonl").open(encoding="utf-8")]
    loaded = load(REAL / "redial")
    turns = 0
    for record in records:
        previous, named = None, False
        for message in [*record["messages"], None]:
            speaker = message and message["senderWorkerId"]
            if speaker != previous:
                turns += previous == record["respondentWorkerId"] and named
                previous, named = speaker, False
            named = named or bool(message and "@" in message["text"])
    assert len(loaded.scenarios) == turns
    with_rows = {s.source for s in loaded.scenarios}
    answers = [a for r in records if r["conversationId"] in with_rows for a in (r["initiatorQuestions"] or {}).values()]
    liked, disliked = (sum(a["liked"] == value for a in answers) for value in (1, 0))
    assert f"{liked:,} liked and {disliked:,} disliked items" in note(loaded, "labels")
    assert all(s.context[-1].role == "seeker" for s in loaded.scenarios if s.context)
    assert "@" not in "".join(m.text for s in loaded.scenarios for m in s.context if m.items)
