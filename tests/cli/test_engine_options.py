"""--engine and --ray-...: what is wrong is one line, at once, and nothing of a cluster is imported where none is asked for."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.engines import opened
from harness.engines import Local
from harness.engines.cluster import RaySettings
from harness.engines.ray import RayEngine
from harness.errors import UsageError


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--rec", "popularity", "--limit", "2", *arguments])
    return ended.value.code, capsys.readouterr().err


def test_without_the_package_one_line_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.chdir(tmp_path)
    code, errors = run(capsys, "--engine", "ray")
    assert code == 2
    assert errors == "error: --engine ray needs the package ray: pip install 'crs-harness[ray]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_an_address_where_nothing_is_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, deaf_port: int) -> None:
    pytest.importorskip("ray")
    began = time.monotonic()
    code, errors = run(capsys, "--engine", "ray", "--ray-address", f"127.0.0.1:{deaf_port}", "--out", str(tmp_path / "run"))
    assert code == 2
    assert errors.splitlines()[-1] == f"error: --ray-address 127.0.0.1:{deaf_port}: nothing answers there (Connection refused)"
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("ray://head:10001", "not through Ray's client"),
        ("head", "write HOST:PORT"),
        ("127.0.0.1:70000", "write HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_one_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, address: str, text: str
) -> None:
    pytest.importorskip("ray")
    code, errors = run(capsys, "--engine", "ray", "--ray-address", address, "--out", str(tmp_path / "run"))
    assert code == 2
    assert text in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_settings_of_a_cluster_need_the_cluster(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, errors = run(capsys, "--ray-workers", "3", "--out", str(tmp_path / "run"))
    assert (code, errors) == (2, "error: --ray-workers was given, but the engine is local: add --engine ray\n")


def test_a_file_may_say_it_and_flags_win() -> None:
    pytest.importorskip("ray")
    file = {"engine": "ray", "ray-workers": 4, "ray-gpus-per-worker": 0.5, "rec": "bm25"}
    with opened({"engine": None, "ray-workers": 2}, file) as engine:
        assert isinstance(engine, RayEngine)
        assert engine._settings == RaySettings(workers=2, gpus_per_worker=0.5)
    with opened({"engine": "local"}, file) as engine:
        assert isinstance(engine, Local)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ({"engine": "slurm"}, "engine must be local or ray"),
        ({"engine": "ray", "ray-workers": "four"}, "ray-workers"),
        ({"engine": "ray", "ray-workers": 0}, "ray-workers must be at least 1"),
        ({"engine": "ray", "ray-gpus-per-worker": 1.5}, "a fraction up to 1, or a whole number"),
        ({"engine": "ray", "ray-start": 0}, "ray-start must be a number of seconds above 0"),
    ],
)
def test_values_that_make_no_sense_are_named(file: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text), opened({}, file):
        pass


def test_a_local_run_imports_nothing_of_a_cluster(tmp_path: Path) -> None:
    program = """
import json, sys
from harness.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""
    arguments = ["run", "--rec", "popularity", "--limit", "2", "--quiet", "--out", str(tmp_path / "run")]
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    code, modules = json.loads(ran.stderr.splitlines()[-1])
    assert code == 0
    assert not [name for name in modules if name.split(".")[0] == "ray" or name.startswith("harness.engines.")]
