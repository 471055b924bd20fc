"""Two runs in a world of hostile texts, even the folders' names."""

from __future__ import annotations

from pathlib import Path

import hostile_world
import pytest

from harness import experiment
from harness.config import Choice, RunConfig
from harness.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    made = Registry()
    assert made.register("hostile", lambda: hostile_world, "hostile").error is None
    return made


@pytest.fixture(scope="session")
def folders(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The runs of `hostile` and `later`."""
    root = tmp_path_factory.mktemp("runs")
    made = []
    for name in ("hostile", "later"):
        config = RunConfig(
            recommender=Choice(name), simulator=Choice("mixed"), dataset=Choice("hostile-world"), turns=3, k=5, success_k=5
        )
        result = experiment.execute(registry, config, root / f"{name}<i>")
        assert result.summary is not None
        made.append(result.folder)
    return made
