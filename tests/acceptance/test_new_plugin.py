"""`harness new` writes packages that install, keep the protocol, pass their own tests, play, and leave no trace when they go.

Everything is real: an environment of its own, pip, the installed command.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from places import Place

KINDS = ("recommender", "simulator", "metric", "dataset")
TRY = {
    "recommender": ("--rec", "my-recommender", "--limit", "20"),
    "simulator": ("--rec", "popularity", "--sim", "my-simulator", "--limit", "20"),
    "metric": ("--rec", "popularity", "--metric", "my-metric@5", "--limit", "20"),
    "dataset": ("--rec", "popularity", "--dataset", "my-dataset"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """All four packages written and installed."""
    place = Place(tmp_path_factory.mktemp("place"))
    for kind in KINDS:
        said = place.run("harness", "new", kind, f"my-{kind}")
        assert f"pip install -e ./harness-my-{kind}" in said
    place.run("pip", "install", "-q", *(f"./harness-my-{kind}" for kind in KINDS))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_keeps_the_protocol_passes_its_tests_and_plays(place: Place, kind: str) -> None:
    name = f"my-{kind}"
    report = json.loads(place.run("harness", "check", name, "--json"))
    assert report["ok"]
    assert report["warned"] == 0, report["findings"]
    tests = place.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=place.work / f"harness-my-{kind}")
    assert re.search(r"\d passed", tests)
    assert "It has no options" not in place.run("harness", "show", name)
    out = place.work / f"run-{kind}"
    place.run("harness", "run", *TRY[kind], "--out", str(out), "--quiet")
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["counts"]["valid"] == summary["counts"]["played"] > 0
    assert summary["counts"]["recommender_faults"] == 0
    if kind == "metric":
        assert 0 < summary["metrics"]["my-metric@5"]["value"] < 1


@pytest.mark.slow
def test_uninstalled_packages_leave_no_trace(place: Place) -> None:
    listed = place.run("harness", "list")
    assert all(f"my-{kind}" in listed for kind in KINDS)
    place.run("pip", "uninstall", "-q", "-y", *(f"harness-my-{kind}" for kind in KINDS))
    assert "my-" not in place.run("harness", "list")
    assert "harness-my-" not in place.run("harness", "plugins")
    place.run("harness", "check", "my-recommender", code=2)


def test_the_written_package_is_clean_code(tmp_path: Path) -> None:
    """By the linter's own defaults and the package's own settings, whatever the name's length."""
    from harness.registry import Registry
    from harness.scaffold import SCAFFOLDS, check_name, write_package

    ruff = pytest.importorskip("ruff")
    import subprocess

    registry = Registry()
    for kind in SCAFFOLDS:
        write_package(check_name(kind, "mine", registry), tmp_path / kind)
        for command in (["check", "--select", "E,F,W,I,B,UP,SIM,C4,PT"], ["format", "--check"]):
            ran = subprocess.run(
                [ruff.find_ruff_bin(), *command, "--no-cache", "."], cwd=tmp_path / kind, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, ran.stdout
