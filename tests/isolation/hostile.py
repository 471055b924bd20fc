"""The hostile package: installed as pip would leave it, and its modules by themselves, for what is honest in them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("hostile_crs")


def install(site: Path) -> Path:
    """The package and its metadata."""
    shutil.copytree(SOURCE, site / "hostile_crs", ignore=shutil.ignore_patterns("__pycache__"))
    metadata = site / "hostile_crs-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile-crs\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[harness]\nhostile = hostile_crs\n")
    return site


def module(name: str) -> Any:
    """One of its modules, loaded from the source and under another name."""
    spec = importlib.util.spec_from_file_location(f"hostile_copy_{name}", SOURCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
