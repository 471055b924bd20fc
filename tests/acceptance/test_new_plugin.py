"""`harness new` writes packages that install, keep the protocol, pass their own tests, play, and leave no trace when they go.

Everything is real: an environment of its own, pip, the installed command. The environment borrows the packages of the running
one, so that nothing is fetched.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

KINDS = ("recommender", "simulator", "metric", "dataset")
TRY = {
    "recommender": ("--rec", "my-recommender", "--limit", "20"),
    "simulator": ("--rec", "popularity", "--sim", "my-simulator", "--limit", "20"),
    "metric": ("--rec", "popularity", "--metric", "my-metric@5", "--limit", "20"),
    "dataset": ("--rec", "popularity", "--dataset", "my-dataset"),
}


class Place:
    """A virtual environment with pip and harness, and a folder to work in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = root / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "env")], check=True, timeout=120)
        self.python = root / "env" / "bin" / "python"
        libraries = next((root / "env" / "lib").glob("python*/site-packages"))
        borrowed = sysconfig.get_paths()["purelib"]
        # `addsitedir` also reads the .pth files there, and with them an editable installation of the harness.
        (libraries / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n", encoding="utf-8")

    def run(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HARNESS_", "PYTHON", "PYTEST"))}
        env |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "XDG_CACHE_HOME": str(self.root / "cache")}
        ran = subprocess.run(
            [str(self.python), *arguments], cwd=cwd or self.work, env=env, capture_output=True, text=True, timeout=240, check=False
        )
        assert ran.returncode == code, f"{arguments}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def harness(self, *arguments: str, code: int = 0) -> str:
        return self.run("-c", "import sys; from harness.cli import main; main(sys.argv[1:])", *arguments, code=code)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """All four packages written and installed."""
    place = Place(tmp_path_factory.mktemp("place"))
    for kind in KINDS:
        said = place.harness("new", kind, f"my-{kind}")
        assert f"pip install -e ./harness-my-{kind}" in said
    folders = [f"./harness-my-{kind}" for kind in KINDS]
    place.run("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", *folders)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_keeps_the_protocol_passes_its_tests_and_plays(place: Place, kind: str) -> None:
    name = f"my-{kind}"
    report = json.loads(place.harness("check", name, "--json"))
    assert report["ok"]
    assert report["warned"] == 0, report["findings"]
    tests = place.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=place.work / f"harness-my-{kind}")
    assert re.search(r"\d passed", tests)
    assert "failed" not in tests
    shown = place.harness("show", name)
    assert "It has no options" not in shown
    out = place.work / f"run-{kind}"
    place.harness("run", *TRY[kind], "--out", str(out), "--quiet")
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["counts"]["valid"] == summary["counts"]["played"] > 0
    assert summary["counts"]["recommender_faults"] == 0
    if kind == "metric":
        assert 0 < summary["metrics"]["my-metric@5"]["value"] < 1


@pytest.mark.slow
def test_uninstalled_packages_leave_no_trace(place: Place) -> None:
    listed = place.harness("list")
    assert all(f"my-{kind}" in listed for kind in KINDS)
    place.run("-m", "pip", "uninstall", "-q", "-y", *(f"harness-my-{kind}" for kind in KINDS))
    assert "my-" not in place.harness("list")
    assert "harness-my-" not in place.harness("plugins")
    place.harness("check", "my-recommender", code=2)
