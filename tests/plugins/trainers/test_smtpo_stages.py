"""The frame of SMTPO's training: stages in order, each once; what goes on, what is refused. Stages here write a text file."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec
import pytest

from harness.api import Catalogue, Item, Message, Need, Scenario, Split, TrainerSetup, TrainingDialogue
from harness.artifactfiles import create
from harness.artifacts import find, read
from harness.errors import DataError, HarnessError, UsageError
from harness_plugins.trainers.smtpo import presets
from harness_plugins.trainers.smtpo.context import STAGES, StageContext
from harness_plugins.trainers.smtpo.failures import finite, plain_errors
from harness_plugins.trainers.smtpo.trainer import SmtpoTrainer


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    layers: int = 2
    width: int = 64


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: Model = Model(layers=3)
    steps: Annotated[int, msgspec.Meta(ge=1)] = 5
    learning_rate: float = 1e-3
    batch_size: int = 8


Stages = dict[str, Callable[[StageContext, Any, Path], None]]


def write(context: StageContext, settings: Settings, out: Path, text: str = "") -> None:
    """A stage that is made from all the earlier ones."""
    earlier = STAGES[: STAGES.index(context.stage)]
    said = [(context.artifact(stage) / "said.txt").read_text() for stage in earlier]
    context.log(step=settings.steps)
    card = context.card(
        f"smtpo-{context.stage}",
        summary=context.stage,
        curves={"validation": context.read_log()},
        trained_against=("rule",) if context.stage == "rl" else (),
    )
    with create(out, card) as folder:
        (folder / "said.txt").write_text(f"{text or context.stage}:{context.seed}" + "".join(f"<{one}>" for one in said))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stages:
    """Stage -> what is run for it; all are there, and a test may replace or remove some."""
    found: Stages = dict.fromkeys(STAGES, write)
    for stage in STAGES:
        module = ModuleType(f"harness_plugins.trainers.smtpo.{stage}_of_a_test")
        module.Settings = Settings
        module.run = lambda context, settings, out, stage=stage: found[stage](context, settings, out)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(presets, "MODULES", {stage: f"{stage}_of_a_test" for stage in STAGES})
    for name in presets.names():  # the shipped tables are for the real settings
        (tmp_path / f"{name}.toml").write_text("[sft]\nsteps = 20\n")
    return found


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """`train(stage="sft", seed=1, ...)` into one folder, which it gives back."""

    def run(**changes: Any) -> Path:
        SmtpoTrainer().train(setup(tmp_path, **changes), tmp_path / "out")
        return tmp_path / "out"

    (tmp_path / "out").mkdir()
    return run


def setup(folder: Path, **changes: Any) -> TrainerSetup:
    items = Catalogue([Item("a", "Alien", 1979, {"genre": ("horror",)}), Item("b", "Heat", 1995)])
    asked = Message("seeker", "something dark")
    split = Split(
        "train",
        [Scenario("s", "d", (asked,), Need(("a",)))],
        (TrainingDialogue("d", (asked, Message("recommender", "Alien", items=("a",)))),),
        items,
    )
    base = TrainerSetup(split, split, seed=0, preset=str(folder / "tiny.toml"), dataset="d", dataset_hash="0" * 64)
    return msgspec.structs.replace(base, **changes)


@pytest.mark.usefixtures("stages")
def test_all_stages_are_run_in_order_and_bound(train: Callable[..., Path]) -> None:
    out = train(seed=3)
    assert (
        find(str(out), "rl", kind="smtpo-rl").file("said.txt").read_text().startswith("rl:3<simulator:3><retriever:3<simulator")
    )
    card = find(str(out)).card
    assert (card.kind, card.parts, card.trained_on, card.trained_against) == ("bundle", STAGES, ("d",), ("rule",))
    part = read(out / "sft").card
    assert (part.settings["steps"], part.seeds, part.data.hash if part.data else "") == (20, (3,), "0" * 64)
    assert part.curves == {"validation": [{"step": 20}]}
    assert not any((out / ".work").iterdir())


def test_finished_stages_are_skipped_and_a_broken_off_one_goes_on(stages: Stages, train: Callable[..., Path]) -> None:
    def broken_off(context: StageContext, settings: Any, out: Path) -> None:
        checkpoint = context.work / "step"
        if not checkpoint.exists():
            checkpoint.write_text("17")
            raise KeyboardInterrupt
        write(context, settings, out, f"from step {checkpoint.read_text()}")

    stages["sft"] = broken_off
    with pytest.raises(KeyboardInterrupt):
        train()
    stages["simulator"] = stages["retriever"] = lambda *_: pytest.fail("it was finished")
    out = train()
    assert (out / "sft" / "said.txt").read_text().startswith("from step 17")
    assert find(str(out)).card.parts == STAGES


@pytest.mark.usefixtures("stages")
def test_what_is_there_is_bound_after_each_stage(train: Callable[..., Path]) -> None:
    for count, stage in enumerate(STAGES, 1):
        assert find(str(train(stage=stage))).card.parts == STAGES[:count]


@pytest.mark.usefixtures("stages")
def test_a_stage_without_an_earlier_one_says_what_to_train(train: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match=r"stage retriever needs the artefact of stage simulator: .*--stage simulator.*--from"):
        train(stage="retriever")


@pytest.mark.usefixtures("stages")
def test_parts_of_another_artefact_are_used_where_this_folder_has_none(train: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    SmtpoTrainer().train(setup(tmp_path, seed=5), tmp_path / "other")
    out = train(stage="sft", base=tmp_path / "other")
    assert (out / "sft" / "said.txt").read_text() == "sft:0<simulator:5><retriever:5<simulator:5>>"
    assert find(str(out)).card.parts == ("sft",)
    train(stage="simulator", seed=6)
    with pytest.raises(UsageError, match="sft was made from another simulator than"):
        train(stage="sft", base=tmp_path / "other")
    asked = SmtpoTrainer().plan(setup(tmp_path, stage="sft", base=tmp_path / "other"))
    assert asked["sft"]["from"] == read(tmp_path / "other").revision()["files"]


@pytest.mark.usefixtures("stages")
def test_fresh_makes_a_stage_anew_and_tells_of_what_was_made_from_it(train: Callable[..., Path]) -> None:
    said: list[str] = []

    class Progress:
        def say(self, text: str) -> None:
            said.append(text)

    train()
    out = train(stage="sft", seed=9, resume=False, progress=Progress())
    assert (out / "sft" / "said.txt").read_text().startswith("sft:9")
    assert find(str(out), "sft").card.seeds == (9,)
    assert any("rl was made from another sft" in text for text in said)
    with pytest.raises(UsageError, match=r"rl was made from another sft than .*--stage rl --fresh"):
        train(stage="rl")
    train(stage="rl", resume=False)


@pytest.mark.usefixtures("stages")
def test_a_finished_stage_that_was_harmed_is_told(train: Callable[..., Path]) -> None:
    out = train(stage="simulator")
    (out / "simulator" / "said.txt").write_text("tampered")
    with pytest.raises(DataError, match=r"said\.txt is not what was written"):
        train()


@pytest.mark.usefixtures("stages")
def test_something_else_in_a_stages_place_is_left_alone(train: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out" / "sft").mkdir()
    (tmp_path / "out" / "sft" / "thesis.tex").write_text("dear")
    for resume in (True, False):
        with pytest.raises(UsageError, match="holds something else than an artefact"):
            train(resume=resume)
    assert (tmp_path / "out" / "sft" / "thesis.tex").read_text() == "dear"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stage": "retreiver"}, r"no stage 'retreiver'; did you mean retriever\?"),
        ({"preset": "small1"}, r"unknown preset 'small1'; did you mean small\?"),
        ({"options": {"rl.step": "3"}}, r"stage rl has no option 'step'; did you mean steps\?"),
        ({"options": {"rl.steps": "three"}}, "stage rl: option steps=three: .*it takes int"),
        ({"options": {"rl.steps": "0"}}, "stage rl: option steps=0"),
        ({"options": {"rl.model.layer": "3"}}, r"stage rl, model has no option 'layer'; did you mean layers\?"),
        ({"options": {"rl.model": "3"}}, r"stage rl: model has settings of its own: model\.NAME"),
        ({"options": {"rl.steps.x": "3"}}, "stage rl has no option 'steps.x'"),
        ({"options": {"lr.steps": "3"}}, r"no stage 'lr'; did you mean rl\?"),
        ({"options": {"steps": "3"}}, r"write it as --opt STAGE\.KEY=VALUE"),
        ({"options": {"rl.steps": "3"}, "stage": "sft"}, "stage rl is not trained by this command"),
        ({"preset": "nowhere.toml"}, r"preset nowhere\.toml: "),
    ],
)
@pytest.mark.usefixtures("stages")
def test_what_is_not_understood_is_one_error_with_the_nearest(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        SmtpoTrainer().plan(setup(tmp_path, **changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("[sft]\nstep = 3", r"table sft has no option 'step'; did you mean steps\?"),
        ('[sft]\nsteps = "3"', "table sft: Expected `int`, got `str`"),
        ('[sft.model]\nwidth = "3"', "table sft: Expected `int`, got `str`"),
        ("[sfft]\nsteps = 3", r"no stage 'sfft'; did you mean sft\?"),
        ("steps = 3", "there is no stage 'steps'"),
        ("[sft", "preset "),
    ],
)
@pytest.mark.usefixtures("stages")
def test_a_preset_is_read_strictly(tmp_path: Path, table: str, told: str) -> None:
    (tmp_path / "mine.toml").write_text(table)
    with pytest.raises(UsageError, match=told):
        SmtpoTrainer().plan(setup(tmp_path, preset=str(tmp_path / "mine.toml")))


@pytest.mark.usefixtures("stages")
def test_options_win_over_the_preset_and_that_over_the_defaults(tmp_path: Path) -> None:
    asked = SmtpoTrainer().plan(setup(tmp_path, options={"rl.steps": "7"}))
    assert [asked[stage]["steps"] for stage in STAGES] == [5, 5, 20, 7]


@pytest.mark.usefixtures("stages")
def test_settings_inside_settings_keep_their_own_defaults(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[sft]\nsteps = 9\n[rl.model]\nwidth = 32\n")
    asked = SmtpoTrainer().plan(setup(tmp_path, preset=str(tmp_path / "mine.toml"), options={"rl.model.layers": "7"}))
    assert (asked["sft"]["model.layers"], asked["sft"]["model.width"], asked["sft"]["steps"]) == (3, 64, 9)
    assert (asked["rl"]["model.layers"], asked["rl"]["model.width"], asked["rl"]["steps"]) == (7, 32, 5)


def test_a_stage_that_is_not_installed_is_told(stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "MODULES", {**presets.MODULES, "rl": "rl_of_nowhere"})
    with pytest.raises(UsageError, match="stage rl is not part of this installation"):
        SmtpoTrainer().plan(setup(tmp_path))
    assert list(SmtpoTrainer().plan(setup(tmp_path, stage="sft"))) == ["sft"]


def test_data_without_attributes_or_dialogues_is_one_clear_error(stages: Stages, tmp_path: Path) -> None:
    whole = setup(tmp_path).train
    bare = msgspec.structs.replace(whole, catalogue=Catalogue([Item("a", "Alien")]))
    mute = msgspec.structs.replace(whole, scenarios=[msgspec.structs.replace(s, context=()) for s in whole.scenarios])
    for split, told in ((bare, "no item of d has attributes"), (mute, "no scenario of d's train split has a dialogue")):
        with pytest.raises(DataError, match=told):
            SmtpoTrainer().train(setup(tmp_path, train=split), tmp_path / "out")


def test_running_out_of_memory_and_diverging_are_one_error_each_with_what_to_change() -> None:
    import torch

    def too_big() -> None:
        torch.empty(1 << 60)

    def diverge() -> None:
        finite(float("nan"), "loss", 12)

    names = ("steps", "learning_rate", "batch_size")
    with (
        pytest.raises(UsageError, match=r"stage sft ran out of memory .*lower --opt sft\.batch_size=") as memory,
        plain_errors("sft", names),
    ):
        too_big()
    with (
        pytest.raises(
            HarnessError, match=r"stage sft diverged: the loss is nan at step 12; .*--opt sft\.learning_rate="
        ) as nan,
        plain_errors("sft", names),
    ):
        diverge()
    assert "\n" not in f"{memory.value}{nan.value}"
    with pytest.raises(RuntimeError, match="sizes do not match"), plain_errors("sft"):
        raise RuntimeError("sizes do not match")
    with pytest.raises(UsageError, match="lower the batch"), plain_errors("sft"):
        raise MemoryError


def test_a_torn_line_of_a_log_is_left_out(tmp_path: Path) -> None:
    split = setup(tmp_path).train
    context = StageContext(
        stage="rl", train=split, validation=split, dataset="d", work=tmp_path, log_file=tmp_path / "rl.jsonl"
    )
    for step in (1, 2):
        context.log(step=step)
    whole = context.log_file.read_bytes()
    for cut in itertools.chain(range(len(whole) - 5, len(whole)), (0,)):
        context.log_file.write_bytes(whole[:cut])
        assert context.read_log() in ([{"step": 1}], [{"step": 1}, {"step": 2}], [])
        context.log(step=9)
        assert context.read_log()[-1] == {"step": 9}
