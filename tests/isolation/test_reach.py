"""Which files an isolated recommender may read: code and what the user names, and of a data set nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness
from harness.isolation.reach import Reach, reach, relative
from harness.isolation.settings import Isolation
from harness.registry import Registry


def may_read(found: Reach, path: Path | str) -> bool:
    return any(Path(path).resolve().is_relative_to(allowed) for allowed in found.read)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="module")
def sets(registry: Registry) -> Path:
    return Path(sys.modules[registry.load(registry.find("dataset", "redial")).__module__].__file__ or "").parent


def test_code_is_read_and_data_in_packages_is_not(registry: Registry, sets: Path) -> None:
    found = reach(registry, Isolation(), {}, {})
    assert may_read(found, harness.__file__)
    assert may_read(found, os.__file__)
    assert may_read(found, sets.parent / "recommenders" / "bm25.py")
    assert may_read(found, sets / "titles.py"), "what data sets share with recommenders"
    for inside in ("cinema", "cinema/generate.py", "jsonl", "redial.py"):
        assert (sets / inside).exists()
        assert not may_read(found, sets / inside)
    for elsewhere in (Path.home() / ".ssh", Path.cwd(), "/etc/passwd", "/proc/self/environ", "/tmp", Path(__file__)):
        assert not may_read(found, elsewhere)
    assert found.uncovered == ()


@pytest.mark.parametrize("network", [False, True])
def test_certificates_are_read_and_this_machine_s_private_keys_are_not(registry: Registry, network: bool) -> None:
    found = reach(registry, Isolation(network=network), {}, {})
    assert may_read(found, "/etc/resolv.conf") == (network and Path("/etc/resolv.conf").exists())
    assert may_read(found, "/etc/ssl/certs/some.pem") == Path("/etc/ssl/certs").is_dir()
    for keys in ("/etc/ssl/private", "/etc/pki/tls/private", "/etc/letsencrypt"):
        assert not may_read(found, f"{keys}/server.key")


def test_a_new_data_set_of_a_shared_folder_is_kept_away_by_itself(registry: Registry, sets: Path, tmp_path: Path) -> None:
    """Its data and parts too, which nobody has listed."""
    found = reach(registry, Isolation(), {}, {})
    beside = [child for child in sets.iterdir() if child.suffix != ".py" and child.name != "__pycache__"]
    assert beside
    assert not any(may_read(found, child) for child in beside)


def test_files_that_the_user_names_for_the_recommender_are_read_and_those_of_the_data_are_not(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model", "more", "data", "mine"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    options = {"path": str(tmp_path / "model"), "deep": {"files": [str(tmp_path / "more"), "no such file", 3]}}
    found = reach(registry, Isolation(read=(str(tmp_path / "data"),)), options, {"path": str(tmp_path / "mine")})
    assert may_read(found, tmp_path / "model" / "weights")
    assert may_read(found, tmp_path / "more")
    assert not may_read(found, tmp_path / "data"), "not even where it was allowed"
    assert not may_read(found, tmp_path / "mine")
    within = reach(registry, Isolation(read=(str(tmp_path),)), {}, {"path": str(tmp_path / "mine")})
    assert may_read(within, tmp_path / "model")
    assert not may_read(within, tmp_path / "mine")
    assert not may_read(within, tmp_path / "new"), "what comes later beside data that is kept away isn't allowed"


def test_data_around_the_code_can_not_be_kept_away_and_that_is_said(registry: Registry) -> None:
    root = Path(harness.__file__).parents[1]
    found = reach(registry, Isolation(), {}, {"path": str(root)})
    assert found.uncovered == (str(root.resolve()),)
    assert may_read(found, harness.__file__)


def test_options_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    assert relative({"path": "model"})
    assert not relative({"path": str(tmp_path / "model"), "name": "nothing there"})


def test_a_data_set_in_the_recommenders_own_package_is_said(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    component: Any = SimpleNamespace(target="harness:Data")
    monkeypatch.setattr(registry, "entries", lambda kind: [SimpleNamespace(component=component)])
    assert reach(registry, Isolation(), {}, {}).uncovered == (str(Path(harness.__file__).parent.resolve()),)
