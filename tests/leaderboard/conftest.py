"""One small run of each of two floors on cinema, with a control, and honest submissions made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assembly import assemble
from harness.config import Choice, RunConfig
from harness.experiment import control, execute
from harness.leaderboard.boards import new_board
from harness.leaderboard.prepare import About, prepare
from harness.leaderboard.replay import Loader
from harness.registry import Registry

SCENARIOS = 20


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="session")
def loader(registry: Registry) -> Loader:
    return Loader(registry)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> dict[str, Path]:
    """Run directories by recommender: 20 scenarios of cinema in two trials, with the control exclude-only inside."""
    root = tmp_path_factory.mktemp("runs")
    like = None
    for name in ("popularity", "random"):
        config = RunConfig(
            recommender=Choice(name), simulator=Choice("rule"), dataset=Choice("cinema"), limit=SCENARIOS, trials=2
        )
        result = execute(registry, config, root / name, assembly=assemble(registry, config, like=like))
        control(registry, result, "exclude-only")
        like = result.assembly
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory, registry: Registry, runs: dict[str, Path]) -> dict[str, Path]:
    """Submissions of `popularity`, by form."""
    out = tmp_path_factory.mktemp("submissions")
    about = About(name="Most wanted 1.0", authors=["Ada Moss", "Ben Oak"], code_url="https://example.org/most-wanted")
    return {form: prepare(registry, runs["popularity"], about, out / form, form=form) for form in ("transcripts", "ranks")}


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory, runs: dict[str, Path]) -> dict[str, Path]:
    """A board for each form."""
    root = tmp_path_factory.mktemp("boards")
    for form in ("transcripts", "ranks"):
        new_board(root / form, runs["popularity"], title=f"A board of {form}", form=form)
    return {form: root / form for form in ("transcripts", "ranks")}
