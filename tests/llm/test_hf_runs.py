"""Whole runs with a local model as simulator and recommender, and the same through a server of the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from tests.llm import forms_model
from tests.llm.serve_hf import serving

FILMS = ["Alien (1979)", "Heat (1995)", "The Matrix (1999)", "Toy Story (1995)", "Spirited Away (2001)", "Salt Road (1987)"]

Play = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forms_model.make(tmp_path_factory.mktemp("forms"), FILMS)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """`play(spec, *flags)`: six dialogues of three turns on invented data; their records without seconds."""
    lines: list[dict[str, Any]] = [{"format": "crs-harness", "version": 1, "name": "invented", "licence": "CC0-1.0"}]
    for number, film in enumerate(FILMS):
        title, year = film.removesuffix(")").split(" (")
        lines.append({"type": "item", "id": f"i{number}", "title": title, "year": int(year), "attributes": {"genre": ["g"]}})
    for number in range(6):
        asked = {"role": "seeker", "text": f"Something for evening {number}, with {'robots music oceans'.split()[number % 3]}."}
        given = {"role": "recommender", "text": "This one?", "items": [f"i{number % 6}"], "recommended": True}
        lines.append({"type": "dialogue", "id": f"d{number}", "split": "test", "messages": [asked, given]})
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, lines)))
    runs = iter(range(100))

    def run(spec: str, *more: str) -> dict[str, Any]:
        out = tmp_path / f"run{next(runs)}"
        flags = "run --rec llm-zeroshot --sim profile-llm --turns 3 --k 2 -q --max-fault-rate 1".split()
        with pytest.raises(SystemExit) as ended:
            main([*flags, "--dataset", "jsonl", "--dataset-opt", f"path={data}", "--out", str(out), "--llm", spec, *more])
        assert ended.value.code == 0
        records = [json.loads(line) for line in (out / "dialogues.jsonl").read_text().splitlines()]
        return {record["scenario"]: {k: v for k, v in record.items() if k != "seconds"} for record in records}

    return run


def test_dialogues_of_a_local_model_and_of_its_server_are_the_same(folder, play):
    local = play(f"hf:{folder}", "--llm-opt", "threads=1", "--concurrency", "6")
    assert len(local) == 6
    assert not any(record.get("faults") for record in local.values())
    turns = [turn for record in local.values() for turn in record["turns"]]
    assert len(turns) == 18
    assert all(turn["items"] for turn in turns)
    assert sum("user_text" in turn for turn in turns) == 12, "after the last list nobody is asked"
    assert len({(*turn["items"], turn.get("user_text")) for turn in turns}) > 3, "the model looks at its prompt"
    assert turns[0]["recommender_usage"]["calls"] == 1
    assert play(f"hf:{folder}", "--llm-opt", "threads=1", "--concurrency", "1") == local
    with serving(folder) as (address, served):
        assert play("openai:tiny", "--llm-opt", f"base_url={address}", "--concurrency", "4") == local
    assert served.requests == 30
