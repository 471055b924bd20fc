"""`harness train smtpo-pl`: from the command's own entry to an artefact that the recommender loads, interrupted on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import artifacts
from harness.api import (
    Catalogue,
    Conversation,
    Item,
    Message,
    Need,
    RecommenderSetup,
    Scenario,
    Split,
    TrainerSetup,
    TrainingDialogue,
)
from harness.errors import DataError, UsageError
from harness_plugins.recommenders.smtpo_pl.recommender import Options, SmtpoPl
from harness_plugins.simulators.controls import ExcludeOnly
from harness_plugins.trainers.smtpo_pl.trainer import SmtpoPlTrainer

FILMS = Catalogue(
    Item(f"{place}{tone}", f"Film {place}{tone}", attributes={"place": (f"harbour{place}",), "tone": (f"grim{tone}",)})
    for place in range(4)
    for tone in range(4)
)


def scenario(number: int) -> Scenario:
    """Everybody says a true place and a false tone."""
    place, tone = number % 4, number // 4 % 4
    said = Message("seeker", f"I want harbour{place}, and grim{tone}.")
    return Scenario(f"s{number}", f"d{number}", (said,), Need((f"{place}{(tone + 1 + number % 3) % 4}",)))


def split(count: int) -> Split:
    scenarios = [scenario(number) for number in range(count)]
    training = tuple(
        TrainingDialogue(s.source, (*s.context, Message("recommender", "Try it.", items=(*s.need.targets, f"{n % 4}0"))))
        for n, s in enumerate(scenarios)
    )
    return Split("train", scenarios, training, FILMS)


class Resources:
    def simulator(self, name: str, given: Mapping[str, Any] | None = None) -> Any:
        return ExcludeOnly(None)


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


def setup(stop: int | None = None, data: Split | None = None, **given: Any) -> TrainerSetup:
    data = data or split(48)
    small = {
        "steps": "6",
        "scenarios": "6",
        "group": "4",
        "horizon": "1,2",
        "check_every": "2",
        "check_turns": "2",
        "candidates": "16",
    }
    return TrainerSetup(
        train=data,
        validation=split(16),
        seed=0,
        stage="rl",
        options={f"rl.{name}": value for name, value in {**small, "retriever": "attribute-match", **given}.items()},
        dataset="planted",
        simulator=("exclude-only", {}),
        progress=Stopping(stop),
        resources=Resources(),
    )


def test_a_training_that_was_interrupted_ends_as_one_that_was_not(tmp_path: Path) -> None:
    trainer = SmtpoPlTrainer()
    trainer.train(setup(), tmp_path / "whole")
    with pytest.raises(Interrupt):
        trainer.train(setup(stop=5), tmp_path / "torn")
    assert not (tmp_path / "torn" / "rl").exists()
    trainer.train(setup(), tmp_path / "torn")
    whole, torn = (artifacts.find(str(tmp_path / name / "rl"), kind="smtpo-pl") for name in ("whole", "torn"))
    assert whole.card.files == torn.card.files
    assert whole.card.curves == torn.card.curves
    assert [point["step"] for point in whole.card.curves["validation"]] == [0, 2, 4, 6]
    assert whole.card.results["validation ndcg@10"] > whole.card.results["start"]
    assert not (tmp_path / "whole" / ".work" / "rl").exists()


def test_the_recommender_plays_with_what_was_learned(tmp_path: Path) -> None:
    SmtpoPlTrainer().train(setup(steps="4"), tmp_path)
    recommender = SmtpoPl(Options(artifact=str(tmp_path / "rl")))
    recommender.prepare(RecommenderSetup(FILMS, split(48).training, 10, 0))
    assert recommender.revision()["retriever"] == "attribute-match"
    found = recommender.recommend(Conversation((Message("seeker", "I want harbour2, and grim1."),)), 4)
    assert [item[0] for item in found.items[:3]].count("2") == 3  # the place can be trusted
    assert found.candidates is not None
    assert set(found.items) <= set(found.candidates)
    assert found.reasoning


def test_the_supervised_control_stays_with_the_teacher(tmp_path: Path) -> None:
    """It imitates equal weights, whatever the reward says; RL learns that the tone is false."""
    learned = {}
    for method in ("rl", "sft-continued"):
        SmtpoPlTrainer().train(setup(method=method, steps="4"), tmp_path / method)
        state = msgspec.json.decode((tmp_path / method / "rl" / "weights.json").read_bytes())
        learned[method] = state["weights"]["wanted:tone"]
    assert learned["rl"] < learned["sft-continued"] - 0.2


def test_what_cannot_be_trained_is_told(tmp_path: Path) -> None:
    foreign = split(48)
    foreign = msgspec.structs.replace(foreign, training=(TrainingDialogue("elsewhere", ()),) * 3)
    with pytest.raises(DataError, match="source"):
        SmtpoPlTrainer().train(setup(data=foreign), tmp_path)
    with pytest.raises(UsageError, match=r"STAGE\.KEY"):
        SmtpoPlTrainer().plan(msgspec.structs.replace(setup(), options={"steps": "3"}))
    with pytest.raises(UsageError, match="stages"):
        SmtpoPlTrainer().plan(msgspec.structs.replace(setup(), stage="retriever"))
