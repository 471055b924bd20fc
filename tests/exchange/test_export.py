"""Exports: what is in them, what is hidden in them, and that they are whole or not there."""

from __future__ import annotations

import csv
import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import HOSTILE, records, write_records
from hypothesis import given
from hypothesis import strategies as st

from harness.api import AttemptRecord, DialogueRecord, TurnRecord
from harness.errors import StoreError, UsageError
from harness.exchange.export import export
from harness.exchange.turns_csv import FORMULA, safe, unsafe
from harness.registry import Registry
from harness.report.transcripts import background
from harness.store import read_summary

FORMATS = {"inspect": "x.eval", "dialoguekit": "x.json", "csv": "x.csv", "hf": "x"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def samples_of(path: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as log:
        return [json.loads(log.read(name)) for name in log.namelist() if name.startswith("samples/")]


# ---------------------------------------------------------------------------------------------------------------------- csv


def test_csv_has_a_row_per_turn_with_what_was_recorded(registry: Registry, run: Path, tmp_path: Path) -> None:
    done = export(registry, run, "csv", tmp_path / "x.csv")
    rows = rows_of(done.path)
    played = {(record.scenario, record.trial): record for record in records(run)}
    assert len(rows) == sum(len(record.turns) for record in played.values())
    titles = background(registry, run)
    for row in rows:
        record = played[row["scenario"], int(row["trial"])]
        turn = record.turns[int(row["turn"]) - 1]
        assert (unsafe(row["recommender_text"]), row["stop"], row["action"]) == (turn.text, record.stop, turn.action or "")
        assert json.loads(row["items"]) == list(turn.items)
        assert json.loads(row["titles"]) == [titles.title(item) for item in turn.items]
        ranks = [turn.items.index(t) + 1 if t in turn.items else 0 for t in record.targets]
        assert json.loads(row["target_ranks"]) == ranks
        assert float(row["hr@10"]) == float(any(ranks))


def test_no_cell_of_a_csv_is_a_formula_and_every_text_comes_back(registry: Registry, hostile: Path, tmp_path: Path) -> None:
    rows = rows_of(export(registry, hostile, "csv", tmp_path / "x.csv").path)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(FORMULA)]
    assert {unsafe(row["recommender_text"]) for row in rows} == set(HOSTILE)
    assert {unsafe(row["reasoning"]) for row in rows} == set(HOSTILE)


@given(st.text())
def test_a_neutralised_text_is_no_formula_and_nothing_is_lost(text: str) -> None:
    assert not safe(text).startswith(FORMULA)
    assert unsafe(safe(text)) == text


def test_a_fault_before_the_first_turn_has_a_row_too(registry: Registry, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    rows = records(folder)
    fault = AttemptRecord("recommender", "exception", "=HYPERLINK(1)", 0, 1)
    rows[0] = msgspec.structs.replace(rows[0], stop="recommender_fault", turns=(), faults=(fault,))
    rows[1] = msgspec.structs.replace(rows[1], stop="cancelled", turns=())
    write_records(folder, rows)
    found = rows_of(export(registry, folder, "csv", tmp_path / "x.csv").path)
    failed = [row for row in found if row["stop"] == "recommender_fault"]
    assert [(row["turn"], json.loads(row["faults"])) for row in failed] == [("1", ["recommender exception: =HYPERLINK(1)"])]
    assert [row["status"] for row in found if row["stop"] == "cancelled"] == ["incomplete"]
    for to in ("inspect", "dialoguekit", "hf"):
        export(registry, folder, to, tmp_path / FORMATS[to])
    broken = {sample["metadata"]["stop"]: sample for sample in samples_of(tmp_path / "x.eval")}
    assert "error" not in broken["recommender_fault"]  # a miss is a score, not an error
    assert "incomplete" in broken["cancelled"]["error"]["message"]


# ------------------------------------------------------------------------------------------------------------------ inspect


def test_an_inspect_log_shows_the_public_conversation_and_hides_the_target(
    registry: Registry, run: Path, tmp_path: Path
) -> None:
    export(registry, run, "inspect", tmp_path / "x.eval")
    known = background(registry, run)
    played = {(record.scenario, record.trial): record for record in records(run)}
    samples = samples_of(tmp_path / "x.eval")
    assert len(samples) == len(played)
    for sample in samples:
        record = played[sample["metadata"]["scenario"], sample["epoch"] - 1]
        context = known.context(record.scenario)
        assert [m["content"] for m in sample["input"]] == [message.text for message in context]
        said = sample["messages"][len(context) :]
        assert sample["messages"][: len(context)] == sample["input"]
        texts = ["".join(p["text"] for p in m["content"]) if isinstance(m["content"], list) else m["content"] for m in said]
        expected = []
        for turn in record.turns:
            listed = "\n".join(f"{n}. {known.title(item)}" for n, item in enumerate(turn.items, 1))
            expected.append(f"{turn.text}\n\nRanked list:\n\n{listed}")
            expected += [] if turn.user_text is None else [turn.user_text]
        assert texts == expected
        assert sample["target"] == [known.title(target) for target in record.targets]
    summary = read_summary(run)
    with zipfile.ZipFile(tmp_path / "x.eval") as log:
        header = json.loads(log.read("header.json"))
        listed = json.loads(log.read("summaries.json"))
    means = {score["name"]: score["metrics"]["mean"]["value"] for score in header["results"]["scores"]}
    assert means == {line["name"]: line["value"] for line in summary["headline"]}
    assert [(s["id"], s["epoch"]) for s in listed] == [(s["id"], s["epoch"]) for s in samples]


def test_names_in_a_log_are_plain_and_one_run_gives_one_file(registry: Registry, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    names = ["../../../etc/passwd", "a b", "<script>", "scenario-1", "x" * 300, "ünï"]
    rows = [msgspec.structs.replace(records(run)[0], scenario=name) for name in names]
    write_records(folder, rows)
    for name in ("a.eval", "b.eval"):
        export(registry, folder, "inspect", tmp_path / name)
    assert (tmp_path / "a.eval").read_bytes() == (tmp_path / "b.eval").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.eval") as log:
        files = [name for name in log.namelist() if name.startswith("samples/")]
    assert len(set(files)) == len(names)
    assert all(name.isascii() and ".." not in name and name.count("/") == 1 and len(name) < 200 for name in files)
    assert {sample["metadata"]["scenario"] for sample in samples_of(tmp_path / "a.eval")} == set(names)


def test_inspect_reads_its_log(registry: Registry, hostile: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed: pip install 'crs-harness[inspect]'")
    path = str(export(registry, hostile, "inspect", tmp_path / "x.eval").path)
    read = log.read_eval_log(path)
    assert (read.status, read.version) == ("success", 2)
    assert len(read.samples) == len(records(hostile))
    ours = {(sample["id"], sample["epoch"]): sample for sample in samples_of(tmp_path / "x.eval")}
    for sample in read.samples:
        own = ours[sample.id, sample.epoch]
        assert sample.target == own["target"]
        assert [message.role for message in sample.messages] == [message["role"] for message in own["messages"]]
        assert {name: score.value for name, score in sample.scores.items()} == {
            name: score["value"] for name, score in own["scores"].items()
        }
    assert len(log.read_eval_log_sample_summaries(path)) == len(read.samples)
    again = str(tmp_path / "again.json")
    log.write_eval_log(read, again)
    assert [s.messages for s in log.read_eval_log(again).samples] == [s.messages for s in read.samples]


# ----------------------------------------------------------------------------------------------------------------------- hf


def test_the_parquet_file_holds_every_dialogue(registry: Registry, hostile: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(registry, hostile, "hf", tmp_path / "x")
    (file,) = (tmp_path / "x" / "data").iterdir()
    rows = parquet.read_table(file).to_pylist()
    played = {(record.scenario, record.trial): record for record in records(hostile)}
    assert len(rows) == len(played)
    for row in rows:
        record = played[row["scenario"], row["trial"]]
        assert [turn["text"] for turn in row["turns"]] == [turn.text for turn in record.turns]
        assert [turn["items"] for turn in row["turns"]] == [list(turn.items) for turn in record.turns]
        assert row["targets"] == list(record.targets)
        assert {score["metric"] for score in row["scores"]}.isdisjoint(x["metric"] for x in row["unscored"])
    card = (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert "never saw them" in card


@pytest.mark.slow
def test_datasets_loads_the_folder(registry: Registry, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    export(registry, run, "hf", tmp_path / "x")
    loaded = datasets.load_dataset(str(tmp_path / "x"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["test"]
    assert len(loaded["test"]) == len(records(run))


# ------------------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_is_overwritten_unasked_and_the_run_stays_as_it_is(
    registry: Registry, run: Path, tmp_path: Path, to: str
) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    place = tmp_path / FORMATS[to]
    export(registry, run, to, place)
    with pytest.raises(UsageError, match="--force"):
        export(registry, run, to, place)
    export(registry, run, to, place, force=True)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_force_replaces_no_file_of_a_run_and_no_foreign_folder(registry: Registry, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a file of a run"):
        export(registry, run, "csv", run / "dialogues.jsonl", force=True)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="--force doesn't replace it"):
        export(registry, run, "hf", mine, force=True)
    with pytest.raises(UsageError, match="is a folder"):
        export(registry, run, "csv", mine, force=True)
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(UsageError, match="--force doesn't replace it"):
        export(registry, run, "hf", tmp_path / "link", force=True)
    assert (mine / "thesis.tex").read_text() == "years of work"
    with pytest.raises(UsageError, match=r"\.eval"):
        export(registry, run, "inspect", tmp_path / "x.json")


@pytest.mark.parametrize("to", FORMATS)
def test_a_damaged_run_leaves_no_half_an_export(registry: Registry, run: Path, tmp_path: Path, to: str) -> None:
    folder, place = tmp_path / "run", tmp_path / "out"
    shutil.copytree(run, folder)
    place.mkdir()
    lines = (folder / "dialogues.jsonl").read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"turns":[', b'"turns":[7,', 1)
    (folder / "dialogues.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=r"dialogues\.jsonl:6"):
        export(registry, folder, to, place / FORMATS[to])
    assert list(place.iterdir()) == []


def test_a_torn_last_line_and_superseded_dialogues_are_left_out(registry: Registry, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    rows = records(folder)
    write_records(folder, [msgspec.structs.replace(rows[0], stop="transport", turns=()), *rows])
    with (folder / "dialogues.jsonl").open("ab") as file:
        file.write(b'{"scenario": "torn')
    found = export(registry, folder, "csv", tmp_path / "x.csv")
    assert found.dialogues == len(rows)
    assert {row["stop"] for row in rows_of(found.path)} == {record.stop for record in rows}


@pytest.mark.parametrize("to", FORMATS)
def test_memory_does_not_grow_with_the_run(registry: Registry, run: Path, tmp_path: Path, to: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    # Without its data, so that what is measured is the dialogues.
    manifest = json.loads((run / "manifest.json").read_bytes())
    manifest["config"]["dataset"]["name"] = "gone"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    turn = TurnRecord("said " * 1000, tuple(f"m{n}" for n in range(10)), user_text="answered " * 1000, action="continue")
    rows = [DialogueRecord(f"s{n}", f"d{n}", 0, "quit", ("m3",), (turn,) * 4) for n in range(300)]
    write_records(folder, rows)
    assert (
        folder / "dialogues.jsonl"
    ).stat().st_size > 15_000_000  # so much would be held, and more, by whoever reads it as a whole
    export(registry, run, to, tmp_path / f"warm-{FORMATS[to]}")  # imports
    tracemalloc.start()
    done = export(registry, folder, to, tmp_path / FORMATS[to])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.dialogues == len(rows)
    assert [note.partition(",")[0].partition(":")[0] for note in done.notes] == [
        "without titles and contexts",
        "without scores",
    ]
    assert peak < 12_000_000
