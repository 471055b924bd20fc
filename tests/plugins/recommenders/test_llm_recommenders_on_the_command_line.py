"""The recommenders that ask a model, through the command: on the bundled data, with scripted models and a local server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_world import ASKING

from benchmarks.llm_server import LlmServer, serving
from harness.api import DialogueRecord
from harness.cli import main
from harness.store import read_records


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ran]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["run", "--quiet", "--limit", "4", "--turns", "2", *arguments])
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


def script(path: Path, *lines: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return f"scripted:{path}"


def records(folder: str) -> dict[str, DialogueRecord]:
    return {record.scenario: record for record in read_records(Path(folder))}


def ranking(*identifiers: str) -> str:
    return json.dumps({"reasoning": "fits", "ranking": identifiers, "text": "These."})


# bm25 without training text is quick to prepare; the default, hybrid, is the other tests' affair.
BM25 = ("--rec-opt", "retriever=bm25", "--rec-opt", 'retriever_options={"dialogues": 0}')


def test_llm_rerank_reverses_what_it_is_told_to_reverse(harness: Callable[..., Ran], tmp_path: Path) -> None:
    model = script(tmp_path / "m.jsonl", {"match": "<candidates>", "text": ranking("C05", "C04", "C03", "C02", "C01")})
    five = ["--rec-opt", "candidates=5", "--rec-opt", "shuffle=false", "--k", "5"]
    assert harness("--rec", "llm-rerank", "--rec-llm", model, *BM25, *five, "--out", "reversed").code == 0
    assert harness("--rec", "bm25", "--rec-opt", "dialogues=0", "--k", "5", "--out", "plain").code == 0
    mine, plain = records("reversed"), records("plain")
    for scenario, record in mine.items():
        assert record.turns[0].items == plain[scenario].turns[0].items[::-1]
        assert (record.turns[0].text, record.turns[0].reasoning) == ("These.", "fits")
        usage = record.turns[0].recommender_usage
        assert usage is not None
        assert usage.calls == 1
    manifest = json.loads(Path("reversed/manifest.json").read_text(encoding="utf-8"))
    told = json.dumps(manifest)
    assert "llm-rerank.v1" in told
    assert "retriever" in told


def test_llm_zeroshots_titles_out_of_the_catalogue_are_reported(harness: Callable[..., Ran], tmp_path: Path) -> None:
    named = {"reasoning": "", "titles": ["Alien (1979)", "Never Made (2031)", "Heat (1995)", "Nor This (2030)"], "text": "x"}
    model = script(tmp_path / "m.jsonl", {"match": "<dialogue>", "text": json.dumps(named)})
    ran = harness("--rec", "llm-zeroshot", "--rec-llm", model, "--turns", "1", "--preset", "static", "--out", "run")
    assert ran.code == 0, ran.err
    summary = json.loads(Path("run/summary.json").read_text(encoding="utf-8"))
    played = [turn for record in records("run").values() for turn in record.turns]
    assert len(played) == 4
    assert {turn.unknown for turn in played} == {2}
    assert all(turn.items[1] == "ooc:Never Made (2031)" for turn in played)
    unknown = sum(turn.unknown for turn in played) / sum(len(turn.items) for turn in played)
    assert summary["metrics"]["ooc"]["value"] == pytest.approx(unknown)


def test_both_roles_talk_to_one_server_and_the_cache_answers_the_second_time(harness: Callable[..., Ran]) -> None:
    """The documented line, with a server of this machine in the place of a vLLM or an Ollama."""

    def reply(body: dict[str, Any]) -> str:
        if "<candidates>" in body["messages"][-1]["content"]:
            return ranking(*body["response_format"]["json_schema"]["schema"]["properties"]["ranking"]["items"]["enum"][::-1])
        return json.dumps({"text": "Something older, please.", "action": "continue", "accepted": [], "mentioned": []})

    with serving(LlmServer(reply=reply)) as server:
        line = ["--rec", "llm-rerank", "--sim", "profile-llm", "--llm", "openai:any", "--llm-opt", f"base_url={server.url}"]
        line += BM25
        first = harness(*line, "--cache", "read-write", "--concurrency", "4", "--out", "one")
        assert first.code == 0, first.err
        asked = server.stats.requests
        assert harness(*line, "--cache", "read-write", "--concurrency", "2", "--out", "two").code == 0
        assert server.stats.requests == asked
    one, two = records("one"), records("two")
    assert asked == sum(2 * len(record.turns) - 1 for record in one.values())
    for scenario, record in one.items():
        assert record.faults == ()
        assert record.stop == "max_turns"
        assert [turn.items for turn in record.turns] == [turn.items for turn in two[scenario].turns]
        assert len(record.turns[0].items) == 10
        for turn in two[scenario].turns:
            assert turn.recommender_usage is not None
            assert (turn.recommender_usage.calls, turn.recommender_usage.cache_hits) == (0, 1)


def test_unusable_answers_are_the_recommenders_faults(harness: Callable[..., Ran], tmp_path: Path) -> None:
    for name, options in (("llm-rerank", BM25), ("llm-zeroshot", ())):
        model = script(tmp_path / "m.jsonl", {"text": "I would rather talk about the weather."})
        assert harness("--rec", name, *options, "--rec-llm", model, "--out", name).code == 1
        for record in records(name).values():
            assert record.stop == "recommender_fault"
            assert [(fault.blame, fault.kind) for fault in record.faults] == [("recommender", "malformed")]
            assert record.faults[0].usage is not None


@pytest.mark.parametrize("name", ["llm-rerank", "llm-zeroshot"])
def test_a_missing_model_is_said_with_the_flag(harness: Callable[..., Ran], name: str) -> None:
    ran = harness("--rec", name)
    assert ran.code == 2
    assert "--rec-llm openai:MODEL" in ran.err


def test_http_without_an_address_says_what_to_give(harness: Callable[..., Ran]) -> None:
    ran = harness("--rec", "http")
    assert ran.code == 2
    assert "--rec-opt url=http://HOST:PORT" in ran.err


def test_the_page_has_lines_for_every_server_and_recommender() -> None:
    page = (Path(__file__).parents[3] / "docs" / "llm-recommenders.md").read_text(encoding="utf-8")
    for server in ("OpenAI", "vLLM", "Ollama"):
        assert re.search(rf"\*\*{server}\*\*", page)
    for name in ASKING:
        assert f"--rec {name}" in page
