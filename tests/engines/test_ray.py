"""The Ray engine on a real cluster of two nodes on this machine: the records are the local engine's, whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import without_seconds

from harness.api import DialogueRecord
from harness.config import Asking, Choice, RunConfig, Transport
from harness.engines.cluster import RaySettings
from harness.engines.ray import RayEngine
from harness.errors import PluginError
from harness.experiment import Result, Silent, execute
from harness.registry import Registry
from harness.store import read_lines, read_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT, TRIALS = 60, 2
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


class Place:
    """The cluster, and what its workers leave behind."""

    def __init__(self, cluster: Any, second: Any, pids: Path) -> None:
        self.address: str = cluster.address
        self.pids = pids
        self._second = second

    def alive(self) -> list[int]:
        """Processes that have prepared the recommender and live, without those of this process."""
        numbers = [int(path.name) for path in self.pids.iterdir() if int(path.name) != os.getpid()]
        return [number for number in numbers if psutil.pid_exists(number) and not zombie(number)]

    def kill_node(self) -> None:
        (raylet,) = self._second.all_processes["raylet"]
        os.kill(raylet.process.pid, signal.SIGKILL)


def zombie(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Two nodes with two cores each, that is what Ray believes. Everything about them is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as short:  # for Ray's sockets
        yield from started(Path(short))


def started(folder: Path) -> Iterator[Place]:
    site = folder / "site"
    info = site / "playground-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: playground\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[harness]\nplayground = playground\n")
    shutil.copy(Path(__file__).with_name("playground.py"), site)
    (folder / "pids").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("PYTHONPATH", str(site))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.syspath_prepend(str(site))
        patch.chdir(folder)
        import ray
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 2, "num_gpus": 0, "object_store_memory": 80 << 20, "include_dashboard": False}
        cluster = Cluster(True, head_node_args={**node, "_system_config": HEALTH})
        try:
            second = cluster.add_node(**node)
            ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
            yield Place(cluster, second, folder / "pids")
        finally:
            ray.shutdown()
            cluster.shutdown()
    _, left = psutil.wait_procs([process for process in psutil.process_iter() if of(folder, process)], timeout=30)
    assert not left


def of(folder: Path, process: psutil.Process, variable: str = "RAY_TMPDIR") -> bool:
    """Whether a process was started for the cluster in that folder, and lives."""
    try:
        ours = process.environ().get(variable) == str(folder)
    except psutil.Error:
        return False
    return ours and process.pid != os.getpid() and not zombie(process.pid)


def config(place: Place, **options: Any) -> RunConfig:
    return RunConfig(
        recommender=Choice("steady", {"pids": str(place.pids), "delay": 0.005, **options.pop("rec", {})}),
        simulator=Choice("seeker"),
        dataset=Choice("grid", {"count": COUNT}),
        turns=3,
        **{"trials": TRIALS, "transport": Transport(concurrency=4), **options},
    )


class Told(Silent):
    """Does something when so many dialogues are written; again and again while it gives False."""

    def __init__(self, after: int = 0, act: Callable[[], object] = lambda: None) -> None:
        self.lines: list[str] = []
        self._left, self._act = after, act

    def update(self, record: DialogueRecord) -> None:
        self._left -= 1
        if self._left == 0 and self._act() is False:
            self._left = 5

    def say(self, text: str) -> None:
        self.lines.append(text)


def play(config: RunConfig, folder: Path, workers: int = 0, told: Told | None = None) -> Result:
    """On the cluster with that many workers, or here."""
    engine = RayEngine(RaySettings(workers=workers)) if workers else None
    return execute(Registry(), config, folder, progress=told or Told(), engine=engine)


def exact(folder: Path) -> list[bytes]:
    """All records but their timings; each dialogue must be there once, besides cancelled ones."""
    finished = Counter((record.scenario, record.trial) for record in read_lines(folder) if record.complete)
    assert set(finished.values()) == {1}
    return without_seconds(read_records(folder))


@pytest.fixture(scope="module")
def expected(place: Place, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What the local engine records."""
    folder = tmp_path_factory.mktemp("local")
    play(config(place), folder)
    records = exact(folder)
    assert len(records) == COUNT * TRIALS
    return records


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("workers", [2, 4])
def test_the_records_are_the_local_engines(place: Place, expected: list[bytes], tmp_path: Path, workers: int) -> None:
    there = set(place.alive())
    used: set[int] = set()
    result = play(config(place), tmp_path, workers, Told(COUNT, lambda: used.update(place.alive())))
    assert exact(tmp_path) == expected
    assert (result.outcome.played, result.outcome.stopped) == (COUNT * TRIALS, None)
    assert 0 < len(used - there) <= workers
    assert result.summary is not None
    assert result.summary["counts"]["played"] == COUNT * TRIALS


def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(
    place: Place, expected: list[bytes], tmp_path: Path
) -> None:
    there = set(place.alive())

    def kill() -> None:
        os.kill(min(set(place.alive()) - there), signal.SIGKILL)

    told = Told(25, kill)
    play(config(place), tmp_path, 2, told)
    assert exact(tmp_path) == expected
    assert [line for line in told.lines if line.startswith("a worker is lost")], told.lines


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)], ids=["here, then there", "there, then here"])
def test_a_run_is_resumed_on_the_other_engine(
    place: Place, expected: list[bytes], tmp_path: Path, first: int, second: int
) -> None:
    began = play(config(place), tmp_path, first, Told(30, interrupt))
    assert began.outcome.interrupted
    assert 30 <= began.outcome.played < COUNT * TRIALS
    assert any(record.stop == "cancelled" for record in read_lines(tmp_path))
    ended = play(config(place), tmp_path, second)
    assert exact(tmp_path) == expected
    assert ended.outcome.kept == began.outcome.played


def test_a_killed_driver_takes_its_workers_along_and_its_run_is_resumed(
    place: Place, expected: list[bytes], tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    play(config(place), tmp_path, 0, Told(1, interrupt))  # leaves a configuration that the command can resume
    there = set(place.alive())
    command = [sys.executable, "-m", "harness", "resume", str(tmp_path), "--engine", "ray", "--ray-address", place.address]
    driver = subprocess.Popen([*command, "--ray-workers", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while sum(1 for _ in read_lines(tmp_path)) < 40 and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    driver.kill()
    _, errors = driver.communicate()
    assert driver.returncode == -signal.SIGKILL, errors
    assert manifest.exists()
    until = time.monotonic() + 60
    while set(place.alive()) - there and time.monotonic() < until:
        time.sleep(0.1)
    assert not set(place.alive()) - there
    play(config(place), tmp_path, 1)
    assert exact(tmp_path) == expected


def test_a_dialogue_that_ends_its_worker_is_named_and_the_others_are_kept(
    place: Place, expected: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = config(place, rec={"deadly": [7], "delay": 0.0}, trials=1, transport=Transport(concurrency=1))
    with pytest.raises(PluginError, match="ended their worker's process whenever they were played: s7") as caught:
        play(deadly, tmp_path, 2)
    assert "s8" not in str(caught.value)
    kept = exact(tmp_path)
    assert len(kept) == COUNT - 1
    assert set(kept) < set(expected)
    monkeypatch.setenv("HARNESS_SPARED", "1")  # the component is mended
    play(deadly, tmp_path)
    ended = exact(tmp_path)
    assert len(ended) == COUNT
    assert set(ended) < set(expected)


def test_limits_and_the_cache_hold_over_all_workers(place: Place, tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"text": "One two three four."}\n{"text": "Five six."}\n')

    def asking(**limits: Any) -> RunConfig:
        return config(
            place,
            rec={"ask": True, "pids": "", "delay": 0.0},
            rec_llm=Choice(f"scripted:{script}"),
            asking=Asking(cache="read-write", cache_file=str(tmp_path / "cache.sqlite"), **limits),
        )

    def tokens(folder: Path) -> int:
        spent = [turn.recommender_usage for record in read_lines(folder) for turn in record.turns]
        return sum(usage.prompt_tokens + usage.completion_tokens for usage in spent if usage is not None)

    stopped = play(asking(max_tokens=200), tmp_path / "run", 2)
    assert stopped.outcome.stopped is not None
    assert "--max-tokens 200" in stopped.outcome.stopped
    assert 0 < tokens(tmp_path / "run") <= 200
    play(asking(), tmp_path / "run", 1)
    assert len(exact(tmp_path / "run")) == COUNT * TRIALS
    spent = tokens(tmp_path / "run")
    play(asking(max_tokens=0), tmp_path / "again", 0)  # the cache knows every answer
    assert tokens(tmp_path / "again") == 0
    texts = [
        sorted([record.scenario, record.trial, *(turn.text for turn in record.turns)] for record in read_records(folder))
        for folder in (tmp_path / "run", tmp_path / "again")
    ]
    assert texts[0] == texts[1]
    assert spent > 0


def test_a_lost_node_costs_nothing_but_time(place: Place, expected: list[bytes], tmp_path: Path) -> None:
    """Runs last: the node stays away. Its workers find no room any more, so the other two play the rest."""
    there = set(place.alive())

    def kill_when_all_play() -> bool:
        ready = len(set(place.alive()) - there) == 4
        if ready:
            place.kill_node()
        return ready

    told = Told(25, kill_when_all_play)
    play(config(place, rec={"delay": 0.15}), tmp_path, 4, told)
    assert exact(tmp_path) == expected
    assert [line for line in told.lines if line.startswith("a worker is lost")], told.lines


def test_a_cluster_of_its_own_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "run", "--rec", "popularity", "--limit", "20", "--out", str(tmp_path / "run")]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE" and not k.startswith("RAY_")}
        ran = subprocess.run(
            [*command, "--engine", "ray", "--ray-workers", "1", "--json"],
            env={**env, "TMPDIR": short}, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["counts"]["played"] == 20
        assert ran.stderr == ""
        assert list(Path(short).iterdir()) == []
        started = [process for process in psutil.process_iter() if of(Path(short), process, "TMPDIR")]
        assert not psutil.wait_procs(started, timeout=30)[1]
