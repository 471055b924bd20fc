"""Imports: what other tools recorded becomes something that is scored, and says what it is."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import records

from harness.cli import main
from harness.config import Choice
from harness.errors import ConfigMismatch, DataError, UsageError
from harness.exchange.export import export
from harness.exchange.importing import Source, import_dialogues
from harness.exchange.items import Linker, numbered
from harness.leaderboard.prepare import About, prepare
from harness.registry import Registry
from harness.report.html import report_page
from harness.results import score_folder
from harness.store import read_manifest

HITS = {"Alien (1979)": 7, "Heat (1995)": 3, "Fargo (1996)": 12, "Big Fish (2003)": 40}


def saved(place: Path, content: Any) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return place


def values(folder: Path, metric: str) -> dict[str, Any]:
    rows = map(json.loads, (folder / "scores.jsonl").read_text().splitlines())
    return {row["scenario"]: row["values"][metric] for row in rows}


# ------------------------------------------------------------------------------------------------------------------- ievalm


def simulated(dialog: Any, turn: int, rec: list[str], *lists: list[int], success: bool, answers: str = "No.") -> dict[str, Any]:
    """What script/chat.py of iEvaLM saves: the last message spells out the list."""
    names = {entity: name for name, entity in HITS.items()}
    said: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "What do you like?"}]
    for number, items in enumerate(lists, 1):
        last = number == len(lists)
        spelled = "".join(f"{n}: {names.get(item, f'Film {item} (2000)')}\n" for n, item in enumerate(items, 1))
        text = f"I would recommend the following items: {spelled}:How is this?" if last else "Tell me more."
        said += [
            {"role": "assistant", "content": text, "entity": [], "rec_items": items, "rec_success": last and success},
            {"role": "user", "content": answers, "entity": []},
        ]
    case = {"dialog_id": dialog, "turn_id": turn, "context": ["Hi", "What do you like?"], "entity": [], "rec": rec, "resp": "?"}
    return {**case, "simulator_dialog": {**case, "context": said}, "persuasiveness_score": "1"}


def cases() -> dict[str, dict[str, Any]]:
    filler = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109]
    return {
        # found at turn 2, third in the list of 10
        "1_2": simulated("1", 2, ["Alien (1979)"], filler, [100, 101, 7, *filler[3:]], success=True),
        # both labels, first and second, at turn 1
        "1_4": simulated("1", 4, ["Heat (1995)", "Fargo (1996)"], [12, 3, *filler[:8]], success=True),
        # never, in three turns; the seeker gives the title away
        "9_1": simulated(9, 1, ["Big Fish (2003)"], filler, filler, filler, success=False, answers="I want Big Fish."),
    }


def said(case: dict[str, Any]) -> list[Any]:
    return case["simulator_dialog"]["context"]


def save_cases(root: Path) -> Path:
    folder = root / "save_5" / "chat" / "kbrd" / "redial_eval"
    for name, case in cases().items():
        saved(folder / f"{name}.json", case)
    return folder


def test_ievalm_is_read_as_published_micro_at_the_turn_of_success(registry: Registry, tmp_path: Path) -> None:
    (done,) = import_dialogues(registry, Source(tool="ievalm", paths=[save_cases(tmp_path)]), tmp_path / "kbrd")
    assert (done.system, done.dialogues, done.turns) == ("kbrd", 3, 6)
    assert not [note for note in done.notes if "rec_success" in note]
    summary = score_folder(registry, done.folder)
    metrics = summary["metrics"]
    # By hand: four labels, at ranks 3, 1, 2 and nowhere.
    assert metrics["recall@1"]["micro"]["value"] == pytest.approx(1 / 4)
    assert metrics["recall@10"]["micro"]["value"] == pytest.approx(3 / 4)
    assert metrics["mrr@10"]["value"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert metrics["ndcg@10"]["value"] == pytest.approx((1 / math.log2(4) + 1 + 0) / 3)
    assert metrics["sr"]["value"] == pytest.approx(2 / 3)
    assert metrics["at"]["value"] == pytest.approx((2 + 1 + 4) / 3)
    assert [line["average"] for line in summary["headline"] if line["name"] == "recall@10"] == ["micro"]
    # Its filter cleans only its own copy: the recommender read the title, so it is a leak here, once per dialogue.
    leaks = {record.scenario: [turn.leaks for turn in record.turns] for record in records(done.folder)}
    assert leaks["9:1"] == [("Big Fish (2003)",), (), ()]
    assert leaks["1:2"] == [(), ()]


def test_names_come_from_the_dialogues_or_from_entity2id(registry: Registry, tmp_path: Path) -> None:
    """A list that no message spells out has no names; entity2id.json has them all."""
    case = simulated("1", 2, ["Alien (1979)"], [7, 100], success=True)
    case["simulator_dialog"]["context"][2]["content"] = "How about Alien?"
    file = saved(tmp_path / "ask" / "kbrd" / "x" / "1_2.json", case)
    (blind,) = import_dialogues(registry, Source(tool="ievalm", paths=[file]), tmp_path / "blind")
    assert any("1 of 1 dialogues rec_success says something else" in note and "--entities" in note for note in blind.notes)
    entities = saved(tmp_path / "entity2id.json", {**HITS, "Film": 100})
    (seeing,) = import_dialogues(registry, Source(tool="ievalm", paths=[file], entities=entities), tmp_path / "seeing")
    assert not [note for note in seeing.notes if "rec_success" in note]
    assert records(seeing.folder)[0].turns[0].items == ("Alien (1979)", "Film")


def test_ievalm_items_are_looked_up_in_a_catalogue(registry: Registry, tmp_path: Path) -> None:
    entities = saved(tmp_path / "entity2id.json", {**HITS, **{f"No such film {n} (2000)": n for n in range(100, 110)}})
    source = Source(tool="ievalm", paths=[save_cases(tmp_path)], entities=entities, dataset=Choice("cinema"))
    (done,) = import_dialogues(registry, source, tmp_path / "kbrd")
    summary = score_folder(registry, done.folder)
    assert summary["metrics"]["recall@10"]["micro"]["value"] == pytest.approx(3 / 4)
    assert summary["metrics"]["ooc"]["value"] == pytest.approx((0.95 + 0.8 + 1.0) / 3)
    assert summary["run"]["dataset"] == "cinema"


@pytest.mark.realdata
def test_published_items_find_themselves_and_recall_is_the_published_one(
    registry: Registry, tmp_path: Path, real: Path
) -> None:
    """All 6,576 items by their names; and R@k as iEvaLM's Rec_eval.py counts it: per label, in the last list."""
    data = real / "redial_ievalm"
    entity2id = json.loads((data / "entity2id.json").read_text(encoding="utf-8"))
    items = json.loads((data / "item_ids.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (data / "test_data_processed.jsonl").read_text(encoding="utf-8").splitlines()[:60]]
    draw = random.Random(5)
    counted: list[tuple[bool, bool]] = []
    for row in rows:
        labels = [entity2id[name] for name in row["rec"]]
        lists = []
        for _ in range(3):
            lists.append(draw.sample(items, 50))
            if draw.random() < 0.3:
                lists[-1][draw.randrange(50)] = draw.choice(labels)
            if set(lists[-1]) & set(labels):
                break
        success = bool(set(lists[-1]) & set(labels))
        case = simulated(row["dialog_id"], row["turn_id"], row["rec"], *lists, success=success)
        saved(tmp_path / "cases" / f"{row['dialog_id']}_{row['turn_id']}.json", case)
        counted += [(label in lists[-1][:10], label in lists[-1][:50]) for label in labels]
    source = Source(
        tool="ievalm", paths=[tmp_path / "cases"], dataset=Choice("redial-ievalm"), entities=data / "entity2id.json", system="x"
    )
    (done,) = import_dialogues(registry, source, tmp_path / "out")
    assert not [note for note in done.notes if "rec_success" in note]
    metrics = score_folder(registry, done.folder)["metrics"]
    assert metrics["recall@10"]["micro"]["value"] == pytest.approx(sum(ten for ten, _ in counted) / len(counted))
    assert metrics["recall@50"]["micro"]["value"] == pytest.approx(sum(fifty for _, fifty in counted) / len(counted))
    assert metrics["ooc"]["value"] == 0
    split = catalogue_of(registry, "redial-ievalm")
    linker, names = Linker(split), {entity: name for name, entity in entity2id.items()}
    assert len({linker.name(names[item]) for item in items} & set(split.ids)) == len(items) == 6576


def test_attribute_questions_are_turns_without_a_list(registry: Registry, tmp_path: Path) -> None:
    """script/ask.py: questions carry `option` and no list."""
    case = simulated("1", 2, ["Alien (1979)"], [7, 100], success=True)
    asked = [{"role": "assistant", "content": "Which genre do you like?", "option": "A"}, {"role": "user", "content": "horror"}]
    context = case["simulator_dialog"]["context"]
    case["simulator_dialog"]["context"] = [*context[:2], *asked, *context[2:]]
    file = saved(tmp_path / "x.json", case)
    (done,) = import_dialogues(registry, Source(tool="ievalm", paths=[file]), tmp_path / "out")
    (record,) = records(done.folder)
    assert [(turn.text[:5], turn.items[:1]) for turn in record.turns] == [("Which", ()), ("I wou", ("Alien (1979)",))]
    assert score_folder(registry, done.folder)["metrics"]["at"]["value"] == 2.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda case: case.pop("rec"), "field 'rec' is missing"),
        (lambda case: case.update(rec=[]), "no target"),
        (lambda case: case.update(rec=[None]), "found null"),
        (lambda case: case.update(dialog_id=None), "field 'dialog_id'"),
        (lambda case: case.pop("simulator_dialog"), "field 'simulator_dialog' is missing"),
        (lambda case: case["simulator_dialog"].update(context=[]), "no message has 'rec_items'"),
        (lambda case: said(case)[2].update(rec_items="7"), "message 2: field 'rec_items': expected a list"),
        (lambda case: said(case)[2].update(rec_items=[7.5]), "found a number"),
        (lambda case: said(case)[3].update(role="system"), "expected user or assistant, found 'system'"),
        (lambda case: said(case)[3].pop("content"), "message 3: field 'content' is missing"),
        (lambda case: said(case).insert(3, "?"), "message 3: expected an object"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_case_is_told_with_its_place(registry: Registry, tmp_path: Path, change: Any, told: str) -> None:
    case = cases()["9_1"]
    change(case)
    file = saved(tmp_path / "9_1.json", case)
    with pytest.raises(DataError, match=told) as error:
        import_dialogues(registry, Source(tool="ievalm", paths=[file]), tmp_path / "out")
    assert str(file) in str(error.value)
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------------------- dialoguekit


def test_an_export_comes_back_with_the_same_scores(registry: Registry, run: Path, tmp_path: Path) -> None:
    file = export(registry, run, "dialoguekit", tmp_path / "x.json").path
    source = Source(tool="dialoguekit", paths=[file], dataset=Choice("cinema"))
    (done,) = import_dialogues(registry, source, tmp_path / "again")
    again = score_folder(registry, done.folder)
    original = json.loads((run / "summary.json").read_text())
    for name in (
        "ndcg@10",
        "recall@5",
        "mrr@10",
        "sr",
        "at",
        "interaction-gain",
        "repetition",
        "ooc",
        "validity",
        "distinct-2",
    ):
        assert again["metrics"][name]["value"] == original["metrics"][name]["value"], name
        assert again["metrics"][name]["ci"] == original["metrics"][name]["ci"], name
    for before, after in zip(sorted(records(run), key=lambda r: (r.scenario, r.trial)),
                             sorted(records(done.folder), key=lambda r: (r.scenario, r.trial)), strict=True):  # fmt: skip
        assert (before.stop, before.targets, before.source) == (after.stop, after.targets, after.source)
        for mine, theirs in zip(before.turns, after.turns, strict=True):
            for field in ("text", "items", "user_text", "action", "accepted", "rejected", "leaks"):
                assert getattr(mine, field) == getattr(theirs, field)


def moviebot(**changes: Any) -> list[dict[str, Any]]:
    """As DialogueKit's own example files are: acts with slots, two messages of the agent in a row, a name in quotes."""
    said = [
        {"participant": "USER", "utterance": "hello\n", "dialogue_acts": [{"intent": "DISCLOSE", "slot_values": []}]},
        {"participant": "AGENT", "utterance": "Hi.", "utterance ID": "x_1"},
        {"participant": "AGENT", "utterance": "Which genres?", "dialogue_acts": [{"intent": "ELICIT"}]},
        {"participant": "USER", "utterance": "action"},
        {"participant": "USER", "utterance": "and crime"},
        {
            "participant": "AGENT",
            "utterance": "There is a film named Heat.",
            "dialogue_acts": [{"intent": "REVEAL", "slot_values": [["TITLE", "Heat", 23, 27], ["GENRE", "crime", 0, 0]]}],
        },
        {"participant": "AGENT", "utterance": "Or Alien (1979)?"},
        {"participant": "USER", "utterance": "/exit"},
    ]
    entry: dict[str, Any] = {
        "conversation ID": '"39GH"',
        "conversation": said,
        "agent": {"id": "MovieBot"},
        "user": {"id": "U"},
    }
    return [entry | changes]


def test_dialoguekit_utterances_become_turns(registry: Registry, tmp_path: Path) -> None:
    file = saved(tmp_path / "x.json", moviebot())
    source = Source(tool="dialoguekit", paths=[file], dataset=Choice("cinema"))
    (done,) = import_dialogues(registry, source, tmp_path / "bot")
    (record,) = records(done.folder)
    assert (record.scenario, done.system) == ("39GH", "MovieBot")
    assert [turn.text for turn in record.turns] == ["Hi.\nWhich genres?", "There is a film named Heat.\nOr Alien (1979)?"]
    assert [turn.user_text for turn in record.turns] == ["action\nand crime", "/exit"]
    linker = Linker(catalogue_of(registry, "cinema"))
    assert record.turns[1].items == (linker.link("Heat (1995)"), linker.link("Alien (1979)"))
    scenario = json.loads((done.folder / "scenarios.jsonl").read_text())
    assert scenario["context"] == [{"role": "seeker", "text": "hello"}]
    summary = score_folder(registry, done.folder)
    assert summary["metrics"]["turns"]["value"] == 2
    assert "ndcg@10" not in summary["metrics"]  # nobody knows what was looked for
    assert "leak-rate" not in summary["metrics"]


def catalogue_of(registry: Registry, name: str) -> Any:
    from harness.assembly import load_split, resolve

    part = resolve(registry, "dataset", Choice(name))
    return load_split(part, part.create(), "test").catalogue


def test_both_spellings_of_dialoguekits_keys_and_equal_names(registry: Registry, tmp_path: Path) -> None:
    new = moviebot()[0]
    new["conversation_id"] = new.pop("conversation ID")
    many = {"agent": {"id": "MovieBot", "type": "BOT"}, "user": "U", "dialogues": [{k: new[k] for k in ("conversation",)}]}
    file = saved(tmp_path / "x.json", [*moviebot(), new, many])
    (done,) = import_dialogues(registry, Source(tool="dialoguekit", paths=[file]), tmp_path / "bot")
    names = [record.scenario for record in records(done.folder)]
    assert names[:2] == ["39GH", "39GH#2"]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[{]", "x.json:1: this is no JSON"),
        ('[\n{"conversation":\n NaN}]', "x.json:3: this is no JSON"),
        ("[" * 5000, "this is no JSON"),
        ("[1]", "dialogue 1: expected an object"),
        ("[{}]", "field 'conversation' is missing"),
        (moviebot(conversation=[{"participant": "SYSTEM", "utterance": ""}]), "field 'participant': expected AGENT or USER"),
        (moviebot(conversation=[{"participant": "USER"}]), "utterance 0: field 'utterance' is missing"),
        (moviebot(agent={"id": 3}), "agent: field 'id': expected a text, found a whole number"),
        (moviebot(metadata={"harness": {"scenario": 1}}), "metadata: field 'harness'"),
    ],
)  # fmt: skip
def test_a_broken_dialoguekit_file_is_refused_with_the_place(
    registry: Registry, tmp_path: Path, content: Any, told: str
) -> None:
    file = saved(tmp_path / "x.json", content)
    with pytest.raises(DataError, match=told.replace("[", r"\[")):
        import_dialogues(registry, Source(tool="dialoguekit", paths=[file]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dialoguekit_reads_an_export_and_what_it_writes_again_is_read(
    registry: Registry, hostile: Path, tmp_path: Path
) -> None:
    reader = pytest.importorskip("dialoguekit.utils.dialogue_reader", reason="dialoguekit is not installed")
    file = export(registry, hostile, "dialoguekit", tmp_path / "x.json").path
    read = reader.json_to_dialogues(str(file))
    exported = json.loads(file.read_text(encoding="utf-8"))
    assert [dialogue.conversation_id for dialogue in read] == [entry["conversation_id"] for entry in exported]
    sides = {role: exported[0][role] for role in ("agent", "user")}
    again = saved(tmp_path / "again.json", [dialogue.to_dict() | sides for dialogue in read])
    done = [
        import_dialogues(registry, Source(tool="dialoguekit", paths=[path]), tmp_path / path.stem)[0] for path in (file, again)
    ]
    assert records(done[0].folder) == records(done[1].folder)


def test_a_file_s_names_are_text_and_lead_nowhere(registry: Registry, tmp_path: Path) -> None:
    names = ["../../evil\x1b[31m", "..", "", "a/b"]
    file = saved(tmp_path / "x.json", [moviebot(agent={"id": name})[0] for name in names])
    done = import_dialogues(registry, Source(tool="dialoguekit", paths=[file]), tmp_path / "out")
    assert [one.system for one in done] == ["../../evil[31m", "..", "unknown", "a/b"]
    assert {one.folder.parent for one in done} == {tmp_path / "out"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.json"]


def test_a_doctored_export_can_t_blow_up_the_trials(registry: Registry, tmp_path: Path) -> None:
    ours = {"scenario": "s", "source": "d", "trial": 10**9, "stop": "max_turns", "targets": ["x"]}
    file = saved(tmp_path / "x.json", moviebot(metadata={"harness": ours}))
    with pytest.raises(DataError, match="trial"):
        import_dialogues(registry, Source(tool="dialoguekit", paths=[file]), tmp_path / "out")


def test_bytes_that_are_no_text_are_refused(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes('[{"conversation ID": "caf\xe9"}]'.encode("latin-1"))
    with pytest.raises(DataError, match="this is no JSON"):
        import_dialogues(registry, Source(tool="dialoguekit", paths=[file]), tmp_path / "out")


# ----------------------------------------------------------------------------------------------------------------- crsarena


def arena(system: str, user: str, **changes: Any) -> dict[str, Any]:
    said = [
        {"participant": "USER", "utterance": "Something funny?", "utterance ID": "0"},
        {
            "participant": "AGENT",
            "utterance": "I would recommend: \n1: Fargo (1996)  \n2: Heat (1995)  \n",
            "utterance ID": "1",
        },
        {"participant": "USER", "utterance": "Seen them.", "utterance ID": "2"},
        {"participant": "AGENT", "utterance": "Items: 1: Heat (1995) 2: No Such Film (2001) ", "utterance ID": "3"},
    ]
    return {
        "conversation ID": f"{system}_{user}",
        "agent": {"id": system, "type": "AGENT"},
        "user": {"id": user, "type": "USER"},
        "conversation": said,
        "metadata": {"sentiment": "frustrated"},
    } | changes


def test_crsarena_gives_a_folder_per_system_with_the_users_as_sources(registry: Registry, tmp_path: Path) -> None:
    entries = [arena("kbrd_redial", "u1"), arena("barcor_redial", "u1"), arena("kbrd_redial", "u2")]
    file = saved(tmp_path / "crs_arena_dial_open.json", entries)
    source = Source(tool="crsarena", paths=[file], dataset=Choice("cinema"))
    done = import_dialogues(registry, source, tmp_path / "arena")
    assert [(one.system, one.dialogues) for one in done] == [("kbrd_redial", 2), ("barcor_redial", 1)]
    summary = score_folder(registry, done[0].folder)
    assert summary["counts"]["sources"] == 2
    # Turn 2 repeats one of two items, one of the two is in no catalogue.
    assert summary["metrics"]["repetition"]["value"] == pytest.approx(0.5)
    assert summary["metrics"]["ooc"]["value"] == pytest.approx((0 + 0.5) / 2)
    assert summary["headline"][0]["name"] == "turns"
    labels = [json.loads(line)["private"] for line in (done[0].folder / "scenarios.jsonl").read_text().splitlines()]
    assert labels == [{"sentiment": "frustrated"}] * 2
    (only,) = import_dialogues(registry, Source(tool="crsarena", paths=[file], only=["barcor_redial"]), tmp_path / "only")
    assert only.folder == tmp_path / "only"
    with pytest.raises(UsageError, match="kbrd_redial, barcor_redial"):
        import_dialogues(registry, Source(tool="crsarena", paths=[file], only=["x"]), tmp_path / "none")


def test_numbered_lists_are_found_on_lines_and_in_a_row() -> None:
    assert numbered("Try: 1: Bambi (2013) 2: 2 Guns (2013) 3: Why Him? (2016) ") == [
        "Bambi (2013)", "2 Guns (2013)", "Why Him? (2016)",
    ]  # fmt: skip
    assert numbered("Sure.\n1. Heat (1995)\n2. Alien (1979)\nHave you seen them?") == ["Heat (1995)", "Alien (1979)"]
    assert numbered("It came out in 2. May, the 1st one") == []
    assert numbered("") == []


@pytest.mark.realdata
def test_the_released_dialogues_with_people_are_scored(registry: Registry, tmp_path: Path, real: Path) -> None:
    """467 dialogues and 2,235 replies of nine systems, as its description says."""
    file = real / "crsarena_eval" / "crs_arena_eval.json"
    done = import_dialogues(registry, Source(tool="crsarena", paths=[file]), tmp_path / "arena")
    assert (len(done), sum(one.dialogues for one in done), sum(one.turns for one in done)) == (9, 467, 2235)
    for one in done:
        summary = score_folder(registry, one.folder)
        assert summary["counts"]["valid"] == one.dialogues
        assert summary["metrics"]["reply-words"]["n"] == one.dialogues


# ------------------------------------------------------------------------------------------------------------ what it is not


@pytest.fixture
def imported(registry: Registry, tmp_path: Path) -> Path:
    (done,) = import_dialogues(registry, Source(tool="ievalm", paths=[save_cases(tmp_path)]), tmp_path / "kbrd")
    score_folder(registry, done.folder)
    return done.folder


def test_an_import_says_so_and_no_leaderboard_takes_it(registry: Registry, imported: Path, tmp_path: Path) -> None:
    manifest, summary = read_manifest(imported), json.loads((imported / "summary.json").read_text())
    assert manifest["kind"] == "imported"
    run = summary["run"]
    assert {run[key] for key in ("knowledge", "protocol", "preset", "variant", "split", "seed", "recommender_version")} == {
        "unknown"
    }
    assert "No leaderboard" in summary["warnings"][0]
    with pytest.raises(UsageError, match="can't be submitted"):
        prepare(registry, imported, About(name="x", authors=["y"]), tmp_path / "out")
    assert "imported: kbrd" in report_page(registry, [imported])


def test_imports_of_the_same_cases_are_compared_pair_by_pair_and_with_nothing_else(
    registry: Registry, imported: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = cases()
    worse["1_4"] = simulated("1", 4, ["Heat (1995)", "Fargo (1996)"], *[list(range(100, 110))] * 3, success=False)
    for name, case in worse.items():
        saved(tmp_path / "other" / f"{name}.json", case)
    source = Source(tool="ievalm", paths=[tmp_path / "other"], system="unicrs")
    (other,) = import_dialogues(registry, source, tmp_path / "unicrs")
    score_folder(registry, other.folder)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(imported), str(other.folder), "--metric", "sr", "--json"])
    assert not ended.value.code
    (pair,) = json.loads(capsys.readouterr().out)
    assert pair["difference"] == pytest.approx(1 / 3)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(imported), str(run)])
    assert ended.value.code == 2
    assert "differ in dataset" in capsys.readouterr().err


def test_a_changed_import_or_catalogue_is_noticed(registry: Registry, imported: Path) -> None:
    path = imported / "scenarios.jsonl"
    path.write_text(path.read_text().replace("Big Fish", "Small Fish"))
    with pytest.raises(ConfigMismatch, match="no longer what was imported"):
        score_folder(registry, imported)


def test_force_replaces_an_import_and_nothing_else(registry: Registry, imported: Path, run: Path, tmp_path: Path) -> None:
    source = Source(tool="ievalm", paths=[tmp_path / "save_5" / "chat" / "kbrd" / "redial_eval"])
    with pytest.raises(UsageError, match="--force"):
        import_dialogues(registry, source, imported)
    import_dialogues(registry, source, imported, force=True)
    with pytest.raises(UsageError, match="doesn't replace it"):
        import_dialogues(registry, source, run, force=True)
