"""The command line: a stranger's package is played without being imported by the harness, and settings mean what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import install

from harness.cli.settings import isolation, run_config
from harness.errors import UsageError
from harness.isolation.settings import Isolation

linux = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")


def harness(site: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HARNESS_")} | {"PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        input=typed,
        env=environment,
        cwd=site.parent,
        check=False,
    )


@linux
def test_run_resume_and_matrix_never_import_the_package(tmp_path: Path) -> None:
    site = install(tmp_path / "site")
    data = ("--dataset", "cinema", "--limit", "2", "--quiet")
    ran = harness(site, "run", "--rec", "hostile-crs:plain", "--isolate", "--max-fault-rate", "1", "--out", "run", *data)
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["isolation"]["missing"] == {}
    assert (manifest["fields"]["recommender.distribution"], manifest["fields"]["recommender.version"]) == ("hostile-crs", "1.2")
    again = harness(site, "resume", "run", "--max-fault-rate", "1", "--quiet")
    assert again.returncode == 0, again.stderr
    grid = harness(site, "matrix", "--rec", "theirs=hostile-crs:plain", "--sim", "rule", "--isolate", "--out", "grid", *data)
    assert grid.returncode == 0, grid.stderr
    assert json.loads((tmp_path / "grid" / "theirs--rule" / "manifest.json").read_text())["isolation"]["walls"]
    assert not list(site.rglob("imported-by-*"))
    harness(site, "list", "recommenders")
    assert list(site.rglob("imported-by-*")), "listing loads every plugin: the check above can fail"


@linux
def test_chat_never_imports_the_package_and_keeps_to_its_limits(tmp_path: Path) -> None:
    site = install(tmp_path / "site")
    talk = ("chat", "--rec", "hostile-crs:plain", "--isolate-memory", "512M", "--k", "1", "--out", "talk")
    ran = harness(site, *talk, typed="more like Alien\n/quit\n")
    assert ran.returncode in (0, 1), ran.stderr  # whether its ids are in the catalogue is not the point here
    assert "You talk to hostile-crs:plain" in ran.stdout
    manifest = json.loads((tmp_path / "talk" / "manifest.json").read_text())
    assert manifest["isolation"]["missing"] == {}
    assert manifest["isolation"]["memory"] == 512 << 20
    assert not list(site.rglob("imported-by-*"))


FLAGS = {"rec": "bm25", "sim": "rule"}


def test_each_setting_asks_for_isolation() -> None:
    assert run_config(FLAGS, {}).isolation is None
    assert run_config({**FLAGS, "isolate": True}, {}).isolation == Isolation()
    assert run_config({**FLAGS, "isolate-memory": "2G"}, {}).isolation == Isolation(memory=2 << 30)
    assert run_config(FLAGS, {"isolate-strict": True, "isolate-read": ["/x"]}).isolation == Isolation(strict=True, read=("/x",))
    assert run_config({**FLAGS, "isolate-restarts": 0}, {"isolate": True}).isolation == Isolation(restarts=0)


def test_what_is_recorded_is_kept_and_extended() -> None:
    recorded = Isolation(memory=1 << 30, network=True)
    assert isolation({}, recorded) == recorded
    assert isolation({"isolate-memory": "2G"}, recorded) == Isolation(memory=2 << 30, network=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("isolate-memory", "much", "write a size as 512M or 4G"),
        ("isolate-memory", "1M", "isolate-memory must be at least 64M"),
        ("isolate-restarts", "x", "isolate-restarts"),
        ("isolate-start", 0, "isolate-start must be a number of seconds above 0"),
    ],
)
def test_wrong_settings_say_how_to_write_them(name: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_config(FLAGS, {name: value})
