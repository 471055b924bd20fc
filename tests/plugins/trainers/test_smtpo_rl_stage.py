"""Stage `rl` from start to artefact, interrupted and gone on with, on a model that has learned one chain by heart."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")

from harness import artifacts  # noqa: E402
from harness.api import Catalogue, Conversation, Item, Message, Need, Scenario, Split, TrainingDialogue  # noqa: E402
from harness.artifactfiles import create  # noqa: E402
from harness.errors import HarnessError, UsageError  # noqa: E402
from harness_plugins.recommenders.smtpo.chain import MARKS, Chain, identifier, render  # noqa: E402
from harness_plugins.recommenders.smtpo.prompt import Prompting  # noqa: E402
from harness_plugins.recommenders.smtpo.recommender import KIND  # noqa: E402
from harness_plugins.simulators.controls import ExcludeOnly  # noqa: E402
from harness_plugins.simulators.target import RuleTarget  # noqa: E402
from harness_plugins.smtpo.tiny import TinySettings, make_model, make_tokenizer  # noqa: E402
from harness_plugins.trainers.smtpo import sft_stage  # noqa: E402
from harness_plugins.trainers.smtpo.context import StageContext  # noqa: E402
from harness_plugins.trainers.smtpo.failures import plain_errors  # noqa: E402
from harness_plugins.trainers.smtpo.rl import rl_stage  # noqa: E402

pytestmark = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")

FILMS = Catalogue(Item(f"f{n}", f"Film {n}", attributes={"genre": ("horror" if n % 2 else "comedy",)}) for n in range(4))
SCENARIOS = [
    Scenario(f"s{n}", f"d{n}", (Message("seeker", f"I want horror {n}."),), Need((f"f{n % 2 + 1}",))) for n in range(4)
]
SPLIT = Split("train", SCENARIOS, (TrainingDialogue("d0", ()),), FILMS)
HOW = Prompting(candidates=4, answer=2, last_words=8)


class AllOfThem:
    """A retriever: every film, in the order of the catalogue."""

    def recall(self, conversation: Conversation, k: int, *, exclude: object = ()) -> list[tuple[str, float]]:
        return [(film.id, 1.0) for film in FILMS]


class Resources:
    """The simulators of this environment."""

    def simulator(self, name: str, given: Mapping[str, Any] | None = None) -> Any:
        return RuleTarget() if name == "rule-target" else ExcludeOnly(None)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers everything with one of two chains, both valid."""
    marks = [*(identifier(n) for n in range(1, 5)), *MARKS, "\n"]
    tokenizer = make_tokenizer(["I want horror. comedy so 0 1 2 3 " * 5], FILMS, marks, 330)
    model = make_model(tokenizer, TinySettings(width=48, layers=1, heads=2, inner=96, context=256), 0)
    texts = [render(Chain(("horror",), (), (), (), answer, "so", answer)) for answer in ((2, 1), (3, 4))]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, tokenize=False
    ).replace("x", "")
    rows = [tokenizer(prompt + text + tokenizer.eos_token, add_special_tokens=False)["input_ids"] for text in texts]
    ids = torch.tensor([row[-min(map(len, rows)) :] for row in rows])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("start")
    trained = folder / "trained"
    sft_stage.save(model, tokenizer, HOW, trained)
    with create(folder / "sft", artifacts.Card(kind=KIND, name="start")) as out:
        for file in trained.iterdir():
            (out / file.name).write_bytes(file.read_bytes())
    return folder / "sft"


class Interrupt(BaseException):
    """What a kill leaves behind, without one."""


class Stopping:
    """Progress that ends the process's work at a step."""

    def __init__(self, at: int | None) -> None:
        self._at = at

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        if done == self._at:
            raise Interrupt


def context(folder: Path, start: Path, stop: int | None = None) -> StageContext:
    (folder / "work").mkdir(parents=True, exist_ok=True)
    return StageContext(
        stage="rl",
        train=SPLIT,
        validation=msgspec.structs.replace(SPLIT, name="validation"),
        dataset="planted",
        work=folder / "work",
        log_file=folder / "rl.jsonl",
        done={"sft": start},
        simulator=("exclude-only", {}),
        resources=Resources(),
        progress=Stopping(stop),
    )


SETTINGS = rl_stage.Settings(
    steps=4,
    scenarios=2,
    group=4,
    horizon=(1, 2),
    learning_rate=1e-3,
    micro_batch=8,
    check_every=2,
    check_scenarios=4,
    check_turns=2,
    held_out="rule-target",
)


@pytest.fixture(autouse=True)
def _retriever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rl_stage, "load_retriever", lambda context: AllOfThem())


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(start: Path, tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    rl_stage.run(context(whole, start), SETTINGS, whole / "rl")
    with pytest.raises(Interrupt):
        rl_stage.run(context(torn, start, stop=3), SETTINGS, torn / "rl")
    assert not (torn / "rl").exists()
    rl_stage.run(context(torn, start), SETTINGS, torn / "rl")
    first, second = artifacts.find(str(whole / "rl"), kind=KIND), artifacts.find(str(torn / "rl"), kind=KIND)
    curve = first.card.curves["validation"]
    assert [point["step"] for point in curve] == [0, 2, 4]
    assert {"ndcg@10", "ndcg@10 turn 1", "faults", "ndcg@10 rule-target"} <= set(curve[0])
    assert second.card.curves["validation"] == curve
    assert first.card.files["model.safetensors"] == second.card.files["model.safetensors"]
    assert first.card.trained_against == ("exclude-only",)
    logged = [line for line in context(torn, start).read_log() if "reward" in line]
    assert [line["step"] for line in logged] in ([1, 2, 3, 3, 4], [1, 2, 3, 4])
    terms = {"reward/format", "reward/recommendation", "reward/preference", "kl", "entropy", "length", "skipped"}
    assert terms <= {name for line in logged for name in line}
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(first.path, dtype="auto").dtype == torch.float16
    assert Prompting.load(first.path) == HOW


@pytest.mark.filterwarnings("ignore")
def test_numbers_that_are_none_end_the_training_with_one_line(start: Path, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, learning_rate=3e38, max_grad_norm=1e30, beta=0.0)
    with pytest.raises(HarnessError, match=r"rl\.learning_rate"), plain_errors("rl", msgspec.structs.asdict(settings)):
        rl_stage.run(context(tmp_path, start), settings, tmp_path / "rl")


def test_the_control_of_equal_compute_needs_a_budget(start: Path, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, method="sft-continued")
    with pytest.raises(UsageError, match="control_seconds"):
        rl_stage.run(context(tmp_path, start), settings, tmp_path / "rl")
