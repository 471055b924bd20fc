"""Whole runs through the command line against a server with faults: blame, nothing lost, cache, budget, keys."""

from __future__ import annotations

import collections
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.llm_server import Fault, LlmServer
from harness.cli import main

FILMS = ["Alien (1979)", "Heat (1995)", "The Matrix (1999)", "Toy Story (1995)", "Spirited Away (2001)"]
OTHERS = ["Salt Road (1987)", "Nine Lanterns (2004)", "Harbour Lights (2010)"]
KEY = "sk-acceptance-0123456789"


def reply(body: dict[str, Any]) -> str:
    """A recommender or a simulator, whichever the schema asks for."""
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    if "titles" in properties:
        first = body["seed"] % len(FILMS)
        return json.dumps({"reasoning": "a guess", "titles": FILMS[first:] + FILMS[:first], "text": "How about these?"})
    return json.dumps({name: _value(name, kind) for name, kind in properties.items()})


def _value(name: str, kind: dict[str, Any]) -> Any:
    if "enum" in kind:
        return "continue" if "continue" in kind["enum"] else kind["enum"][0]
    return {"string": "Something else, please.", "array": [], "boolean": False, "integer": 0}[kind["type"]]


def is_simulator(body: dict[str, Any]) -> bool:
    return "titles" not in body["response_format"]["json_schema"]["schema"]["properties"]


class Ran(NamedTuple):
    code: int
    said: str


def harness(*arguments: str) -> Ran:
    """The command in this process."""
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        main(list(arguments))
    return Ran(int(ended.value.code or 0), said.getvalue())


Play = Callable[..., Ran]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """`play(server, folder, *flags)`: 24 dialogues of three turns, 8 in flight, on invented data."""
    titles = [title.rpartition(" (") for title in FILMS + OTHERS]
    lines: list[dict[str, Any]] = [{"format": "crs-harness", "version": 1, "name": "invented", "licence": "CC0-1.0"}]
    for number, (title, _, year) in enumerate(titles):
        lines.append(
            {"type": "item", "id": f"i{number}", "title": title, "year": int(year[:-1]), "attributes": {"genre": ["g"]}}
        )
    for number in range(24):
        asked = {"role": "seeker", "text": f"Something for evening {number}, please."}
        given = {"role": "recommender", "text": "This one?", "items": [f"i{number % 8}"], "recommended": True}
        lines.append({"type": "dialogue", "id": f"d{number}", "split": "test", "messages": [asked, given], "liked": ["i7"]})
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, lines)))

    def run(server: LlmServer | None, out: Path, *more: str) -> Ran:
        address = () if server is None else ("--llm", "openai:m", "--llm-opt", f"base_url={server.url}")
        return harness(
            *"run --rec llm-zeroshot --sim profile-llm --turns 3 --concurrency 8 -q --max-fault-rate 1".split(),
            *("--dataset", "jsonl", "--dataset-opt", f"path={data}", "--out", str(out), *address, *more),
        )

    return run


def records(out: Path) -> dict[str, dict[str, Any]]:
    """The last record of each scenario, without what may differ between equal runs."""
    found = {}
    for line in (out / "dialogues.jsonl").read_text().splitlines():
        record = json.loads(line)
        del record["seconds"]
        found[record["scenario"]] = record
    return found


def without_usage(record: dict[str, Any]) -> dict[str, Any]:
    turns = [{k: v for k, v in turn.items() if not k.endswith("_usage")} for turn in record["turns"]]
    faults = [{k: v for k, v in fault.items() if k != "usage"} for fault in record.get("faults", ())]
    return {**record, "turns": turns, "faults": faults}


def test_every_fault_with_its_blame_and_nothing_lost(serve, play, tmp_path):
    """Each 5th call of a recommender and each 4th of a simulator meets a fault on its first try."""
    plain = serve(reply=reply)
    assert play(plain, tmp_path / "plain").code == 0
    kinds = [
        Fault("status", 429), Fault("status", 500), Fault("reset"), Fault("drop"), Fault("truncated"), Fault("invalid_json"),
        Fault("hang"), Fault("status", 503, retry_after="0.1"), Fault("status", 429, retry_after="0.1"),
        Fault("slow", seconds=60.0), Fault("empty_choices"), Fault("content_filter"), Fault("refusal"),
    ]  # fmt: skip
    server = serve(reply=reply, latency=0.05)
    seen: collections.Counter[str] = collections.Counter()
    given: collections.Counter[str] = collections.Counter()
    met: set[str] = set()

    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        role = "simulator" if is_simulator(body) else "recommender"
        text = json.dumps(body)
        if text in met:
            return None
        met.add(text)
        seen[role] += 1
        every = 4 if role == "simulator" else 5
        if seen[role] % every:
            return None
        fault = kinds[seen[role] // every % len(kinds)]
        if fault.kind in ("empty_choices", "content_filter", "refusal"):
            given[role] += 1
        return fault

    server.faults = faults
    done = play(server, tmp_path / "faulty", "--llm-opt", "timeout=1")
    assert done.code == 0, done.said
    faulty, whole = records(tmp_path / "faulty"), records(tmp_path / "plain")
    assert faulty.keys() == whole.keys()
    blamed = collections.Counter(fault["blame"] for record in faulty.values() for fault in record.get("faults", ()))
    assert blamed == given
    assert all(fault["kind"] == "empty" for record in faulty.values() for fault in record.get("faults", ()))
    # A recommender's fault ends its dialogue; a simulator is asked once more; the transport leaves no trace at all.
    for name, record in faulty.items():
        if not record.get("faults"):
            assert record == whole[name]
        elif record["stop"] != "recommender_fault":
            assert record["stop"] == whole[name]["stop"]
    assert sum(record["stop"] == "recommender_fault" for record in faulty.values()) == given["recommender"]
    assert server.stats.peak <= 8


def test_what_the_transport_took_is_played_on_resume(serve, play, tmp_path):
    server = serve(reply=reply)
    dead = {f"{n}" for n in range(0, 100, 3)}

    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        return Fault("status", 503) if str(body["seed"] % 100) in dead else None

    server.faults = faults
    out = tmp_path / "run"
    first = play(server, out, "--llm-opt", "max_retries=0")
    lost = {name for name, record in records(out).items() if record["stop"] == "transport"}
    assert 0 < len(lost) <= 24
    assert len(records(out)) == 24
    assert "503" in first.said
    server.faults = None
    assert play(server, out, "--llm-opt", "max_retries=0").code == 0
    plain = tmp_path / "plain"
    play(server, plain)
    assert records(out) == records(plain)


def test_a_second_run_with_the_cache_asks_nothing_and_records_the_same(serve, play, tmp_path):
    server = serve(reply=reply)

    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        server.latency = 0.5 if number <= 16 else 0.0  # long enough for everybody to come in at the start
        return Fault("content_filter") if body["seed"] % 13 == 0 else None

    server.faults = faults
    cache = ("--cache", "read-write", "--cache-file", str(tmp_path / "llm.sqlite"))
    play(server, tmp_path / "first", *cache)
    asked = server.stats.requests
    play(server, tmp_path / "second", *cache)
    assert asked > 24
    assert server.stats.peak == 8
    assert server.stats.requests == asked
    first, second = records(tmp_path / "first"), records(tmp_path / "second")
    assert {n: without_usage(r) for n, r in first.items()} == {n: without_usage(r) for n, r in second.items()}
    assert any(record.get("faults") for record in first.values())
    usages = [turn["recommender_usage"] for record in second.values() for turn in record["turns"]]
    assert all(usage["cache_hits"] == 1 and "calls" not in usage and not usage.get("cost") for usage in usages)


def test_a_spent_budget_stops_and_goes_on(serve, play, tmp_path):
    server = serve(reply=reply)
    prices = tmp_path / "prices.toml"
    prices.write_text("[m]\nprompt = 1.0\ncompletion = 2.0\n")
    out = tmp_path / "run"
    stopped = play(server, out, "--max-cost", "0.01", "--prices", str(prices))
    assert "--max-cost 0.01" in stopped.said
    spent = sum(
        usage.get("cost", 0.0)
        for line in (out / "dialogues.jsonl").read_text().splitlines()
        for turn in json.loads(line)["turns"]
        for name, usage in turn.items()
        if name.endswith("_usage") and usage
    )
    assert 0 < spent <= 0.01
    assert len(records(out)) < 24 or any(record["stop"] == "cancelled" for record in records(out).values())
    assert play(server, out, "--max-cost", "1", "--prices", str(prices)).code == 0
    plain = tmp_path / "plain"
    play(server, plain, "--prices", str(prices))
    assert {n: without_usage(r) for n, r in records(out).items()} == {n: without_usage(r) for n, r in records(plain).items()}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("status", 401, message=f"Incorrect API key: {KEY}"), "set the environment variable OPENAI_API_KEY"),
        (Fault("status", 404, message="no model m", code="model_not_found"), "check the model's name"),
    ],
)
def test_a_users_mistake_ends_the_run_at_once_without_a_traceback_or_the_key(
    serve, play, tmp_path, monkeypatch, fault, message
):
    server = serve(reply=reply, faults=lambda number, body: fault)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    done = play(server, tmp_path / "run")
    assert done.code == 2
    assert message in done.said
    assert "Traceback" not in done.said
    assert server.stats.requests <= 8
    written = [path.read_text(errors="replace") for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert all(KEY not in text for text in [done.said, *written])


def test_a_server_that_hangs_is_not_the_recommenders_fault(serve, play, tmp_path):
    server = serve(reply=reply, faults=lambda number, body: Fault("hang") if body["seed"] % 5 == 0 else None)
    play(server, tmp_path / "run", "--timeout", "2")
    stops = collections.Counter(record["stop"] for record in records(tmp_path / "run").values())
    assert stops["transport"] > 0
    assert not stops["recommender_fault"]
    assert not stops["simulator_fault"]


def test_scripts_play_a_whole_run_without_a_server(play, tmp_path):
    script = tmp_path / "demo.jsonl"
    titles = json.dumps({"reasoning": "a guess", "titles": FILMS, "text": "How about these?"})
    simulated = json.dumps({"text": "Something else, please.", "action": "continue", "mentioned": []})
    lines = [{"match": '"titles"', "role": "system", "text": titles}, {"text": simulated}]
    script.write_text("\n".join(map(json.dumps, lines)))
    assert play(None, tmp_path / "run", "--llm", f"scripted:{script}").code == 0
    assert {len(record["turns"]) for record in records(tmp_path / "run").values()} == {3}
