"""The documentation holds what it says: its examples run, its tables agree with the code, its links lead somewhere."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import api, artifacts, experiment, hookspecs, testing, training
from harness.config import Choice, RunConfig
from harness.registry import Registry
from harness.testing import datasets, declarations, metrics, recommenders, simulators, trainers

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "plugins.md"
README = ROOT / "README.md"
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "leaderboards").glob("*.md")))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """A module that can be imported, to run a page's examples in."""
    made = types.ModuleType("examples_of_a_page")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def registry_of(module: types.ModuleType) -> Registry:
    registry = Registry()
    plugin = registry.register("examples", lambda: module, "examples")
    assert plugin.error is None
    return registry


# ----------------------------------------------------------------------------------------------------------------- examples


def test_the_readme_has_a_recommender_in_15_lines_that_plays(module: types.ModuleType, tmp_path: Path) -> None:
    (code,) = blocks(README, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    exec(compile(code, str(README), "exec"), module.__dict__)
    report = testing.check_recommender(lambda: module.Newest(None), name="newest")
    report.raise_if_failed()
    assert not report.of("warned")
    config = RunConfig(recommender=Choice("newest"), simulator=Choice("rule"), dataset=Choice("cinema"), limit=5)
    result = experiment.execute(registry_of(module), config, tmp_path / "run")
    assert result.summary is not None
    assert result.summary["counts"]["valid"] == 5
    assert result.summary["counts"]["recommender_faults"] == 0


def test_the_examples_of_the_plugin_guide_run_and_keep_the_protocol(
    module: types.ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for code in blocks(GUIDE, "python"):
        exec(compile(code, str(GUIDE), "exec"), module.__dict__)
    module.test_it_keeps_the_protocol()
    module.test_it_recommends_from_the_decade(testing.small_world())
    for make in (lambda: module.Batched(None), lambda: module.Chatty(None), lambda: module.ByDecade(module.Options())):
        testing.check_recommender(make).raise_if_failed()
    testing.check_simulator(lambda: module.OneWish(None)).raise_if_failed()
    testing.check_metric(lambda: module.Decades(module.MetricOptions())).raise_if_failed()
    testing.check_dataset(lambda: module.ThreeBooks(None), name="three-books").raise_if_failed()
    testing.check_trainer(lambda: module.CountMentions(None)).raise_if_failed()
    # All of them in one run, watched by the page's observers.
    config = RunConfig(
        recommender=Choice("newest"),
        simulator=Choice("one-wish"),
        dataset=Choice("three-books"),
        variant="all",
        k=2,
        success_k=2,
    )
    result = experiment.execute(registry_of(module), config, tmp_path / "run", metrics=("decades@2",))
    assert result.summary is not None
    assert result.summary["metrics"]["decades@2"]["value"] == pytest.approx(1.0)
    assert sum(module.stops.values()) == 1
    assert "newest" in capsys.readouterr().out
    asked = training.TrainConfig(trainer="count-mentions", dataset=Choice("three-books"), variant="all")
    training.train(registry_of(module), asked, tmp_path / "made")
    counts = artifacts.find(str(tmp_path / "made" / "count"), kind="mention-counts").file("counts.json")
    assert json.loads(counts.read_text()) == {"b1": 2.0, "b2": 1.0, "b3": 1.0}


# -------------------------------------------------------------------------------------------------------- tables and signatures


def test_every_hook_stands_in_the_guide_with_its_signature() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(harness_\w+\(.*?\) -> .*?)` \|", text, re.MULTILINE))
    hooks = {name: f for name, f in vars(hookspecs).items() if name.startswith("harness_") and inspect.isfunction(f)}
    assert documented == {f"{name}{inspect.signature(f)}".replace("'", "") for name, f in hooks.items()}


@pytest.mark.parametrize(
    "struct",
    [
        api.Component, api.RecommenderSetup, api.SimulatorSetup, api.MetricSetup, api.TrainerSetup, api.Conversation,
        api.Message, api.Recommendation, api.Feedback, api.Knowledge, api.Usage, api.Split, api.Scenario, api.Need,
        api.TrainingDialogue,
        api.ArtifactFolder, api.DatasetCard, api.RemoteFile, api.Item, api.TurnView, api.DialogueView, api.RunView,
    ],
    ids=lambda struct: struct.__name__,
)  # fmt: skip
def test_every_field_that_a_plugin_meets_is_named_in_the_guide(struct: Any) -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`", GUIDE.read_text(encoding="utf-8")))))
    assert not set(struct.__struct_fields__) - named


def test_the_guide_lists_every_clause_of_the_kit() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \| (.*?) \|$", text.partition("## The conformance kit")[2], re.MULTILINE)
    kit = [c for kind in (declarations, recommenders, simulators, metrics, datasets, trainers) for c in kind.CLAUSES]
    assert set(listed) <= {(c.name, c.says + ("" if c.must else " (a warning)")) for c in kit}
    common = {c.name for c in recommenders.CLAUSES}
    wanted = {(c.name, c.says) for c in kit if c not in simulators.CLAUSES or c.name not in common}
    assert {name for name, _ in wanted} <= {name for name, _ in listed}
    assert len(set(listed)) == len({(c.name, c.says) for c in kit})


def test_the_page_of_the_command_line_is_fresh() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate_cli.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


# -------------------------------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """As code hosts make them: lower case, words joined by "-", other signs dropped."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        page = waiting.pop()
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if path.suffix == ".md" and path.exists() and path not in reached:
                reached.add(path)
                waiting.append(path)
    assert set((ROOT / "docs").glob("*.md")) <= reached
