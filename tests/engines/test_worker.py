"""What a worker does with its orders, without a cluster: it is an ordinary object."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import without_seconds

from harness import __version__, runner
from harness.api import DialogueRecord
from harness.assembly import Assembly, assemble, prepare
from harness.config import Choice, RunConfig, Transport
from harness.engines.messages import Failure, Order, Report, Start, Started
from harness.engines.worker import Worker, failure_of
from harness.errors import BudgetExceeded, ConfigMismatch, LlmError, PluginError
from harness.registry import Registry


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker settles in its process: it changes folder and environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("HARNESS_PLUGINS", "HARNESS_DISABLE_PLUGINS", "HARNESS_DATA", "HARNESS_ARTIFACTS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    config = RunConfig(
        recommender=Choice("popularity"), simulator=Choice("rule"), dataset=Choice("cinema"), limit=12,
        transport=Transport(concurrency=4),
    )  # fmt: skip
    return assemble(Registry(), config)


def started(assembly: Assembly, **changes: Any) -> tuple[Worker, Failure | None]:
    order = Start("worker-1", __version__, assembly.config, assembly.fields, str(Path.cwd()), {})
    worker = Worker()
    answer = worker.start(msgspec.msgpack.encode(msgspec.structs.replace(order, **changes)), None)
    return worker, msgspec.msgpack.decode(answer, type=Started).failure


def exchange(worker: Worker, **order: Any) -> Report:
    return msgspec.msgpack.decode(worker.exchange(msgspec.msgpack.encode(Order(**order))), type=Report)


def decoded(records: list[bytes]) -> list[DialogueRecord]:
    return [msgspec.json.decode(record, type=DialogueRecord) for record in records]


def test_it_plays_what_it_is_given_and_ends_when_told(assembly: Assembly) -> None:
    worker, failure = started(assembly)
    assert failure is None
    records: list[bytes] = []
    jobs = [(position, 0) for position in range(12)]
    records += exchange(worker, jobs=jobs[:5]).records
    records += exchange(worker, jobs=jobs[5:]).records
    while len(records) < 12:
        report = exchange(worker)
        assert not report.ended
        records += report.records
    assert exchange(worker, finish=True).ended
    assert exchange(worker).ended
    here: list[DialogueRecord] = []
    prepare(assembly)
    asyncio.run(runner.play(assembly, set(), here.append))
    assert without_seconds(decoded(records)) == without_seconds(here)


def test_a_cancelled_worker_brings_back_what_was_under_way(assembly: Assembly) -> None:
    worker, _ = started(assembly)
    report = exchange(worker, jobs=[(position, 0) for position in range(12)], stop=True)
    records = list(report.records)
    while not report.ended:
        report = exchange(worker)
        records += report.records
    assert report.failure is None
    names = [record.scenario for record in decoded(records)]
    assert len(set(names)) == len(names) <= 12


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": "0.0.1"}, f"crs-harness {__version__} is installed, the run is of 0.0.1"),
        ({"fields": {"seed": 7}}, "seed: 7 -> 0"),
    ],
)
def test_another_installation_is_refused(assembly: Assembly, changes: dict[str, Any], text: str) -> None:
    _, failure = started(assembly, **changes)
    assert failure is not None
    error = failure.error("10.0.0.3")
    assert isinstance(error, ConfigMismatch)
    assert text in str(error)
    assert str(error).startswith("on 10.0.0.3: ")


def test_a_component_that_is_missing_there_is_told_by_name(assembly: Assembly) -> None:
    config = msgspec.structs.replace(assembly.config, recommender=Choice("of-one-node-only"))
    _, failure = started(assembly, config=config)
    assert failure is not None
    with pytest.raises(PluginError, match=r"on n: unknown recommender 'of-one-node-only'"):
        raise failure.error("n")


def test_the_nodes_own_places_are_kept_and_plugins_are_the_drivers(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os

    monkeypatch.setenv("HARNESS_DATA", "/of/the/node")
    monkeypatch.setenv("HARNESS_PLUGINS", "of-the-node")
    (tmp_path / "driver").mkdir()
    environment = {"HARNESS_DATA": "/of/the/driver", "HARNESS_ARTIFACTS": str(tmp_path), "HARNESS_DISABLE_PLUGINS": "x"}
    _, failure = started(assembly, environment=environment, folder=str(tmp_path / "driver"))
    assert failure is None
    assert os.environ["HARNESS_DATA"] == "/of/the/node"
    assert os.environ["HARNESS_ARTIFACTS"] == str(tmp_path)
    assert os.environ["HARNESS_DISABLE_PLUGINS"] == "x"
    assert "HARNESS_PLUGINS" not in os.environ
    assert Path.cwd() == tmp_path / "driver"


def test_errors_cross_as_what_they_are_and_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "very-secret-value")

    class Own(LlmError):
        pass

    assert isinstance(failure_of(BudgetExceeded("--max-cost 1")).error("n"), BudgetExceeded)
    told = failure_of(Own("no answer with very-secret-value")).error("n")
    assert type(told) is LlmError
    assert str(told) == "on n: no answer with [redacted]"
    try:
        raise KeyError("very-secret-value")
    except KeyError as error:
        bug = failure_of(error).error("n")
    assert type(bug) is RuntimeError
    assert "test_worker.py" in str(bug)
    assert "very-secret" not in str(bug)
