"""The example package: installed beside a harness that was built and installed too, run by its own README, and gone again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from places import ROOT, Place

EXAMPLE = ROOT / "examples" / "harness-clarify"
COMPONENTS = {"clarify": "recommender", "impatient": "simulator", "heeds": "metric"}
FEWER = 12


def traces(place: Place) -> list[str]:
    """Files of the environment that have anything to do with the package; its name is in the records that pip keeps, too."""
    named = [path for path in place.libraries.rglob("*") if "clarify" in path.name]
    points = [p for p in place.libraries.glob("*.pth") if "clarify" in p.read_text(encoding="utf-8")]
    return [str(path) for path in (*named, *points, *(p for p in place.bin.iterdir() if "clarify" in p.name))]


@pytest.mark.slow
def test_a_package_of_somebody_else_from_installation_to_removal(tmp_path: Path) -> None:
    place = Place(tmp_path, build=True)
    home = Path(place.run("python", "-c", "import harness; print(harness.__file__)").strip())
    assert home.is_relative_to(place.libraries), "it is not the checkout that is tried"
    assert traces(place) == []
    before = place.run("harness", "list")

    # Every command of its README, in its folder.
    package = place.work / "harness-clarify"
    shutil.copytree(EXAMPLE, package, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (commands,) = re.findall(
        r"^```bash\n(.*?)^```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = [re.sub(r"--limit \d+", f"--limit {FEWER}", line) for line in commands.splitlines()]
    assert len(lines) == 5
    said = [place.bash(f"cd harness-clarify; {line}") for line in lines]
    assert re.search(r"\d+ passed, \d+ skipped", said[1])
    assert "failed" not in said[1]
    assert " 0 warned, 0 failed" in said[2]
    for run in ("asking", "not-asking"):
        summary = json.loads((package / "runs" / run / "summary.json").read_bytes())
        assert summary["counts"]["valid"] == summary["counts"]["played"] == FEWER
        assert summary["counts"]["recommender_faults"] == summary["counts"]["simulator_faults"] == 0
        assert 0 < summary["metrics"]["heeds@5"]["value"] <= 1
        assert summary["run"]["recommender"] == "clarify"
        assert summary["run"]["simulator"] == "impatient"
    assert "d_z" in place.run("harness", "compare", "runs/asking", "runs/not-asking", cwd=package)

    # Away with it, and once more as a wheel, which leaves copies in the environment.
    place.run("pip", "uninstall", "-q", "-y", "harness-clarify")
    assert traces(place) == []
    place.run("pip", "install", "-q", str(package))
    assert (place.libraries / "harness_clarify" / "recommender.py").exists()
    listed = json.loads(place.run("harness", "list", "--json"))
    found = {c["name"]: c["kind"] for c in listed if c["distribution"] == "harness-clarify"}
    assert found == COMPONENTS

    place.run("pip", "uninstall", "-q", "-y", "harness-clarify")
    assert traces(place) == []
    assert place.run("harness", "list") == before
    assert "clarify" not in place.run("harness", "plugins")
    assert "ModuleNotFoundError" in place.call("python", "-c", "import harness_clarify").stderr
    for name in COMPONENTS:
        place.run("harness", "check", name, code=2)
    # What it made stays readable: a report needs records, no plugin.
    assert "clarify" in place.run("harness", "report", "runs/asking", cwd=package)
