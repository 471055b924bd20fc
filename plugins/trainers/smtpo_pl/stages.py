"""Stages `sft` and `rl` of `smtpo-pl`: equal-weight matching is imitated, then weights are learned by playing.

What an item goes together with is learned from the training dialogues, and the scenarios to play are cut from the same
dialogues: a policy that plays on what its features were fitted to trusts them too much. So the features that it learns with
are fitted to the other dialogues (`held_share`); validation and use have features fitted to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import RecommenderSetup
from harness.artifactfiles import create
from harness.errors import DataError
from harness.wholefiles import write_atomically

from ...recommenders.smtpo_pl.features import equal_weights
from ...recommenders.smtpo_pl.recommender import KIND, WEIGHTS, Options, SmtpoPl, Weights, read_weights
from ..smtpo.context import StageContext
from ..smtpo.failures import finite
from ..smtpo.rl.environment import ndcg_by_turn
from ..smtpo.rl.players import environments
from ..smtpo.rl.settings import RlSettings
from .learning import Adam, likelihood, surrogate
from .rollouts import Batch, collect, imitation

Floats = NDArray[np.float64]
_CHECKPOINT: Final = "checkpoint.json"


class SftSettings(RlSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The supervised start: the likelihood of lists, in states that the policy itself reaches."""

    method: Literal["sft"] = "sft"  # type: ignore[assignment]
    labels: Annotated[
        Literal["teacher", "target"],
        msgspec.Meta(description="teacher: equal-weight matching's list; target: the target alone (supervised ranking)"),
    ] = "teacher"
    steps: Annotated[int, msgspec.Meta(ge=1)] = 30
    scenarios: Annotated[int, msgspec.Meta(ge=1, description="scenarios per step")] = 48
    epochs: Annotated[int, msgspec.Meta(ge=1, description="steps down the gradient per batch of dialogues")] = 4
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    held_share: Annotated[float, msgspec.Meta(gt=0, lt=1, description="share of the training dialogues to play on")] = 0.33
    retriever: Annotated[str, msgspec.Meta(description="what finds the candidates; an artefact's name or folder, too")] = (
        "hybrid"
    )
    candidates: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    exclude_rejected: Annotated[
        bool, msgspec.Meta(description="never show an item again that was turned down; false: the weight of `rejected` decides")
    ] = False
    check_scenarios: Annotated[int, msgspec.Meta(ge=1, description="validation scenarios, at most")] = 500


class Settings(RlSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reinforcement learning from the supervised start (stage sft), or from equal weights where there is none."""

    steps: Annotated[int, msgspec.Meta(ge=1)] = 120
    scenarios: Annotated[int, msgspec.Meta(ge=1, description="scenarios per step")] = 48
    epochs: Annotated[int, msgspec.Meta(ge=1, description="steps down the gradient per batch of dialogues")] = 2
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    scale: Annotated[
        float, msgspec.Meta(gt=0, description="factor on equal weights at the start: how far from uniform exploration is")
    ] = 2.0
    held_share: Annotated[float, msgspec.Meta(gt=0, lt=1, description="share of the training dialogues to play on")] = 0.33
    retriever: Annotated[str, msgspec.Meta(description="what finds the candidates; an artefact's name or folder, too")] = (
        "hybrid"
    )
    candidates: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    exclude_rejected: Annotated[
        bool, msgspec.Meta(description="never show an item again that was turned down; false: the weight of `rejected` decides")
    ] = False
    check_scenarios: Annotated[int, msgspec.Meta(ge=1, description="validation scenarios, at most")] = 500


class Checkpoint(msgspec.Struct):
    """Everything that the next step depends on."""

    step: int
    weights: list[float]
    adam: Adam
    best: list[float]
    best_step: int
    best_value: float
    curve: list[dict[str, float]]


def run_sft(context: StageContext, settings: SftSettings, out: Path) -> None:
    """From zero weights to the teacher's. Makes the artefact `out`."""
    _Learning(context, settings, out, labels=settings.labels).run()


def run_rl(context: StageContext, settings: Settings, out: Path) -> None:
    """From the stage sft of this training, else from equal weights. Makes the artefact `out`."""
    _Learning(context, settings, out, labels="teacher" if settings.method == "sft-continued" else None).run()


class _Learning:
    """The loop of both stages: play, credit or imitate, step, now and then validate."""

    def __init__(
        self, context: StageContext, settings: Settings | SftSettings, out: Path, labels: Literal["teacher", "target"] | None
    ) -> None:
        self._context, self._settings, self._out, self._labels = context, settings, out, labels
        train = context.train
        held = _held(train.training, settings.held_share)
        self._scenarios = [scenario for scenario in train.scenarios if scenario.source in held]
        if not self._scenarios:
            raise DataError(
                f"no training scenario belongs to one of the {len(held)} training dialogues that are played on; a data set's "
                "scenarios must name their dialogue as source, and there must be enough of them"
            )
        rest = tuple(dialogue for dialogue in train.training if dialogue.id not in held)
        options = Options(
            retriever=settings.retriever, candidates=settings.candidates, exclude_rejected=settings.exclude_rejected
        )
        self._player, self._judged = SmtpoPl(options), SmtpoPl(options)
        for recommender, training in ((self._player, rest), (self._judged, tuple(train.training))):
            recommender.prepare(RecommenderSetup(train.catalogue, training, 10, context.seed))
        self._worlds = environments(context, settings.held_out, default="rule", max_turns=settings.check_turns)
        names = self._player.features.names
        self._teacher = np.array([equal_weights(names)[name] for name in names])
        self._reference = self._start()

    def run(self) -> None:
        """Go on from the checkpoint to the artefact."""
        context, settings = self._context, self._settings
        state = self._restored()
        while state.step < settings.steps and not self._stalled(state):
            weights = np.array(state.weights)
            turns = settings.turns_at(state.step)
            batch = self._batch(weights, turns, state.step)
            weights, told = self._learn(batch, weights, state)
            state.step += 1
            state.weights = weights.tolist()
            context.log(step=state.step, turns=turns, **told, **batch.log)
            context.step(state.step, settings.steps, reward=batch.log["reward"])
            if state.step % settings.check_every == 0 or state.step == settings.steps:
                self._validate(state)
                write_atomically(context.work / _CHECKPOINT, msgspec.json.encode(state))
        self._finish(state)

    def _batch(self, weights: Floats, turns: int, step: int) -> Batch:
        settings = self._settings
        draw = np.random.default_rng([self._context.seed, step])
        chosen = draw.choice(len(self._scenarios), min(settings.scenarios, len(self._scenarios)), replace=False)
        batch = collect(
            self._worlds[0],
            self._player,
            weights,
            [self._scenarios[number] for number in chosen],
            group=settings.group,
            turns=turns,
            seed=self._context.seed * 1_000_003 + step,
            rewards=settings.weights,
            credit=settings.credit_settings,
        )
        if self._labels is not None:
            return imitation(batch, self._teacher if self._labels == "teacher" else None)
        return batch

    def _learn(self, batch: Batch, weights: Floats, state: Checkpoint) -> tuple[Floats, dict[str, float]]:
        settings = self._settings
        told: dict[str, float] = {}
        for _ in range(settings.epochs):
            if self._labels is None:
                step, gradient = surrogate(batch, weights, self._reference if settings.beta else None, settings.clip)
                told = {"loss": step.loss, "kl": step.kl, "clipped": step.clipped}
            else:
                loss, gradient = likelihood(batch, weights)
                told = {"loss": loss}
            finite(told["loss"] + float(np.abs(gradient).sum()), "loss", state.step)
            weights = state.adam.step(weights, gradient)
        return weights, told

    def _validate(self, state: Checkpoint) -> None:
        """Greedy, through the runner, against the training's simulator (which decides) and the held-out one."""
        settings = self._settings
        self._judged.weights = np.array(state.weights)
        chosen = self._context.validation.scenarios[: settings.check_scenarios]
        point: dict[str, float] = {"step": state.step}
        for place, world in enumerate(self._worlds):
            by_turn = ndcg_by_turn(world.play(self._judged, chosen, turns=settings.check_turns), settings.check_turns)
            means = by_turn.mean(axis=0)
            name = "ndcg@10" if place == 0 else f"ndcg@10 {world.name}"
            point[name] = float(means[-1])
            point[f"{name} turn 1"] = float(means[0])
        state.curve.append(point)
        self._context.log(validation=point)
        if point["ndcg@10"] > state.best_value:
            state.best_value, state.best, state.best_step = point["ndcg@10"], list(state.weights), state.step

    def _stalled(self, state: Checkpoint) -> bool:
        patience = self._settings.patience * self._settings.check_every
        return bool(patience) and state.step - state.best_step >= patience

    def _start(self) -> Floats:
        names = self._player.features.names
        if isinstance(self._settings, SftSettings):
            return np.zeros(len(names))
        if "sft" in self._context.done:
            held = read_weights(self._context.done["sft"]).weights
            return np.array([held.get(name, 0.0) for name in names])
        return self._teacher * self._settings.scale

    def _restored(self) -> Checkpoint:
        file = self._context.work / _CHECKPOINT
        if file.exists():
            return msgspec.json.decode(file.read_bytes(), type=Checkpoint)
        weights = self._reference.tolist()
        state = Checkpoint(0, weights, Adam(self._settings.learning_rate), weights, 0, -1.0, [])
        self._validate(state)
        return state

    def _finish(self, state: Checkpoint) -> None:
        settings, names = self._settings, self._player.features.names
        what = "supervised" if self._labels is not None else "multi-turn RL"
        card = self._context.card(
            KIND,
            summary=f"Plackett-Luce weights over candidate features, {what}, chosen at step {state.best_step} on validation",
            curves={"validation": state.curve},
            trained_against=(self._worlds[0].name,),
            results={"validation ndcg@10": state.best_value, "start": state.curve[0]["ndcg@10"]},
        )
        held = Weights(
            dict(zip(names, state.best, strict=True)),
            retriever=settings.retriever,
            candidates=settings.candidates,
            exclude_rejected=settings.exclude_rejected,
        )
        card = msgspec.structs.replace(card, name=f"{KIND}-{self._context.stage}")
        with create(self._out, card) as folder:
            (folder / WEIGHTS).write_bytes(msgspec.json.format(msgspec.json.encode(held), indent=2) + b"\n")


def _held(training: Sequence[Any], share: float) -> set[str]:
    """Ids of the dialogues to play on: evenly spread, the same for every seed."""
    return {dialogue.id for n, dialogue in enumerate(training) if int((n + 1) * share) > int(n * share)}
