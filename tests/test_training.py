"""One training: what the trainer is handed, what is noted, and what is refused. The trainers here are written for it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from support import world

from harness import hookimpl
from harness.api import Component, Message, TrainerSetup
from harness.config import Choice
from harness.errors import ConfigMismatch, DataError, PluginError, StoreError, UsageError
from harness.registry import Registry
from harness.training import FAILURE, MANIFEST, TrainConfig, read_manifest, train


class Rows:
    def __init__(self, options: None) -> None: ...

    def load(self, split: str) -> Any:
        assert split in ("train", "validation"), "the test split is nobody's business here"
        return msgspec.structs.replace(world({"train": 6, "validation": 4}[split]), name=split)


class Plain:
    """A trainer without a plan."""

    setups: list[TrainerSetup]

    def __init__(self, options: None) -> None: ...

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        self.setups.append(setup)
        (output_dir / "made").write_text(setup.stage)


class Staged(Plain):
    """A trainer whose stages have settings."""

    def plan(self, setup: TrainerSetup) -> dict[str, dict[str, Any]]:
        stages = [setup.stage] if setup.stage else ["one", "two"]
        return {stage: {"steps": int(setup.options.get(f"{stage}.steps", 5))} for stage in stages}


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    module = ModuleType("parts_of_a_training")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Plain, "setups", [], raising=False)
    vars(module).update(Rows=Rows, Plain=Plain, Staged=Staged)
    return vars(module)


@pytest.fixture
def registry(parts: dict[str, Any]) -> Registry:
    plugin = ModuleType("plugin_of_a_training")
    plugin.harness_datasets = hookimpl(lambda: [Component("d", "parts_of_a_training:Rows")])
    plugin.harness_trainers = hookimpl(
        lambda: [Component(name, f"parts_of_a_training:{name.title()}") for name in ("plain", "staged")]
    )
    made = Registry(discover=False)
    assert made.register("p", lambda: plugin, "some-dist", "2").error is None
    return made


def asked(**changes: Any) -> TrainConfig:
    return msgspec.structs.replace(TrainConfig(trainer="staged", dataset=Choice("d")), **changes)


def test_the_trainer_sees_train_and_validation_cut_to_the_limit(registry: Registry, tmp_path: Path) -> None:
    train(registry, asked(limit=3, seed=7, preset="p", stage="one"), tmp_path / "out")
    (setup,) = Plain.setups
    assert (len(setup.train.scenarios), len(setup.train.training), len(setup.validation.scenarios)) == (3, 1, 3)
    assert (setup.seed, setup.preset, setup.stage, setup.dataset, setup.resume) == (7, "p", "one", "d", True)
    with pytest.raises(UsageError, match="may not see the test split"):
        setup.resources.split("test")
    assert len(setup.resources.split("validation").scenarios) == 3


def test_targets_that_the_context_names_are_nothing_to_learn_from(
    registry: Registry, parts: dict[str, Any], tmp_path: Path
) -> None:
    def load(self: Any, split: str) -> Any:
        loaded = world(3)
        first = msgspec.structs.replace(loaded.scenarios[0], context=(Message("seeker", "m0?", items=("m0",)),))
        return msgspec.structs.replace(loaded, scenarios=[first, *loaded.scenarios[1:]])

    parts["Rows"] = type("Rows", (Rows,), {"load": load})
    train(registry, asked(), tmp_path / "novel")
    train(registry, asked(variant="all"), tmp_path / "all")
    assert [len(setup.train.scenarios) for setup in Plain.setups] == [2, 3]


def test_the_same_goes_on_and_another_configuration_is_refused_field_by_field(registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(registry, asked(stage="one"), out)
    train(registry, asked(stage="one"), out)
    train(registry, asked(), out)  # one as before, two beside
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.stages == {"one": {"steps": 5}, "two": {"steps": 5}}
    before = (out / MANIFEST).read_bytes()
    with pytest.raises(ConfigMismatch) as refused:
        train(registry, asked(seed=1, stage="two", options={"two.steps": "9"}), out)
    assert refused.value.exit_code == 3
    assert "seed: 0 -> 1" in str(refused.value)
    assert "two.steps: 5 -> 9" in str(refused.value)
    with pytest.raises(ConfigMismatch, match=r"data_hash: .* -> "):
        train(registry, asked(limit=2), out)
    assert (out / MANIFEST).read_bytes() == before
    assert len(Plain.setups) == 3


def test_fresh_forgets_what_is_trained_anew_and_nothing_else(registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(registry, asked(), out)
    train(registry, asked(stage="two", options={"two.steps": "9"}), out, resume=False)
    assert Plain.setups[-1].resume is False
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.stages == {"one": {"steps": 5}, "two": {"steps": 9}}
    with pytest.raises(ConfigMismatch, match="seed: 0 -> 1"):  # stage one is of the other seed
        train(registry, asked(stage="two", seed=1), out, resume=False)
    train(registry, asked(seed=1), out, resume=False)


def test_a_trainer_without_a_plan_is_held_to_all_that_was_asked(registry: Registry, tmp_path: Path) -> None:
    train(registry, asked(trainer="plain", options={"a.b": "1"}), tmp_path / "out")
    with pytest.raises(ConfigMismatch, match=r"options: .*1.* -> .*2"):
        train(registry, asked(trainer="plain", options={"a.b": "2"}), tmp_path / "out")


def test_a_folder_with_something_else_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(UsageError, match="holds something else than a training"):
        train(registry, asked(), tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        train(registry, asked(), tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    train(registry, asked(), tmp_path / "empty")


def test_a_damaged_manifest_is_told(registry: Registry, tmp_path: Path) -> None:
    for content in (b"{", b'{"format": 1}', b"\xff"):
        (tmp_path / MANIFEST).write_bytes(content)
        with pytest.raises(StoreError, match=r"train\.json is damaged"):
            train(registry, asked(), tmp_path)


def test_two_trainings_do_not_share_a_folder(registry: Registry, parts: dict[str, Any], tmp_path: Path) -> None:
    def inner(self: Any, setup: TrainerSetup, output_dir: Path) -> None:
        with pytest.raises(StoreError, match="in use by another process"):
            train(registry, asked(trainer="plain"), output_dir)

    parts["Staged"] = type("Staged", (Staged,), {"train": inner})
    train(registry, asked(), tmp_path / "out")


def test_a_trainer_that_breaks_is_named_and_its_traceback_kept(
    registry: Registry, parts: dict[str, Any], tmp_path: Path
) -> None:
    def broken(self: Any, setup: TrainerSetup, output_dir: Path) -> None:
        raise KeyError("loss")

    parts["Staged"] = type("Staged", (Staged,), {"train": broken})
    with pytest.raises(PluginError, match=r"trainer 'staged' of some-dist failed: KeyError: 'loss' .*the same command goes on"):
        train(registry, asked(), tmp_path / "out")
    assert 'raise KeyError("loss")' in (tmp_path / "out" / FAILURE).read_text()
    parts["Staged"] = Staged
    train(registry, asked(), tmp_path / "out")


@pytest.mark.parametrize(
    ("split", "empty", "told"),
    [
        ("train", {"scenarios": []}, "d has no scenario to learn from"),
        ("validation", {"scenarios": []}, "d has no scenario to choose on"),
        ("train", {"training": ()}, "d has no training dialogues"),
    ],
)
def test_empty_data_is_one_clear_error(
    registry: Registry, parts: dict[str, Any], tmp_path: Path, split: str, empty: dict[str, Any], told: str
) -> None:
    def load(self: Any, name: str) -> Any:
        return msgspec.structs.replace(world(3), **(empty if name == split else {}))

    parts["Rows"] = type("Rows", (Rows,), {"load": load})
    with pytest.raises(DataError, match=told):
        train(registry, asked(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_names_have_a_nearest(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"unknown trainer 'stagged'; did you mean staged"):
        train(registry, asked(trainer="stagged"), tmp_path / "out")
    with pytest.raises(UsageError, match="no --sim"):
        train(registry, asked(simulator_llm=Choice("scripted:x")), tmp_path / "out")
    with pytest.raises(UsageError, match="unknown artefact 'nothing'"):
        train(registry, asked(base="nothing"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_further_processes_of_one_training_write_nothing(
    registry: Registry, parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts["Staged"] = type("Staged", (Staged,), {"train": lambda self, setup, out: self.setups.append(setup)})
    monkeypatch.setenv("RANK", "1")
    train(registry, asked(), tmp_path / "out")
    assert len(Plain.setups) == 1
    assert not (tmp_path / "out").exists()
