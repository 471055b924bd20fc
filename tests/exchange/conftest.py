"""A scored run on cinema, and the same run as a hostile model and hostile data would have left it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from harness import experiment
from harness.api import DialogueRecord
from harness.config import Choice, RunConfig
from harness.registry import Registry

HOSTILE = (
    "=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1:A9)", "\t=1", "\r=1", "'=quoted", "＝1", 'a "quoted", text\nof two lines',
    "<script>alert(1)</script> [x](javascript:1)", "---\nname: x\n---", "plain",
)  # fmt: skip


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="session")
def run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve dialogues of up to five turns, two trials."""
    config = RunConfig(recommender=Choice("popularity"), simulator=Choice("rule"), dataset=Choice("cinema"), limit=12, trials=2)
    result = experiment.execute(registry, config, tmp_path_factory.mktemp("runs") / "mine")
    assert result.summary is not None
    return result.folder


def records(folder: Path) -> list[DialogueRecord]:
    decode = msgspec.json.Decoder(DialogueRecord).decode
    return [decode(line) for line in (folder / "dialogues.jsonl").read_bytes().splitlines()]


def write_records(folder: Path, rows: list[DialogueRecord]) -> None:
    (folder / "dialogues.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


@pytest.fixture
def hostile(run: Path, tmp_path: Path) -> Path:
    """The texts of both sides and the reasoning are attacks on whatever opens an export."""
    folder = tmp_path / "hostile"
    shutil.copytree(run, folder)
    rows = []
    for number, record in enumerate(records(folder)):
        text = HOSTILE[number % len(HOSTILE)]
        turns = tuple(
            msgspec.structs.replace(turn, text=text, reasoning=text, user_text=None if turn.user_text is None else text)
            for turn in record.turns
        )
        rows.append(msgspec.structs.replace(record, turns=turns))
    write_records(folder, rows)
    return folder


@pytest.fixture
def real() -> Path:
    """The folder of the real data sets."""
    if "HARNESS_DATA" not in os.environ:
        pytest.skip("HARNESS_DATA is not set")
    return Path(os.environ["HARNESS_DATA"])
