"""What a component is handed once, in `prepare` or `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.api.talk import Catalogue, Split, TrainingDialogue


class RecommenderSetup(msgspec.Struct, frozen=True):
    """Handed to `prepare` once per run. `cache_dir` may be used for derived files; it is private to the component.

    `llm` is the `harness.llm.ChatModel` that the user chose for this role, else the component's own (`default_llm`), if any;
    components that chat are async. `more_llms` are the further models that the component brings along, by its own names for
    them.
    """

    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    k: int
    seed: int
    cache_dir: Path | None = None
    llm: Any = None
    more_llms: Mapping[str, Any] = {}


class SimulatorSetup(msgspec.Struct, frozen=True):
    """Handed to a simulator's `prepare` once per run."""

    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    max_turns: int
    seed: int
    cache_dir: Path | None = None
    llm: Any = None
    more_llms: Mapping[str, Any] = {}


class MetricSetup(msgspec.Struct, frozen=True):
    """Handed to a metric's `prepare` once per scoring. `popularity` counts mentions per item in the training dialogues."""

    catalogue: Catalogue
    popularity: Mapping[str, int]
    k: int
    max_turns: int
    success_k: int | None = None
    """A target among the first `success_k` items is a success; None: anywhere in the list."""
    llm: Any = None
    """The `harness.llm.ChatModel` of the judges, if the user chose one."""


class TrainerSetup(msgspec.Struct, frozen=True):
    """Handed to a trainer: the split to learn from, the split to choose on, and what was asked for.

    Both splits hold the scenarios of the variant that is trained for, cut to `limit`; the test split is never handed over.
    """

    train: Split
    validation: Split
    seed: int
    preset: str = "tiny"
    stage: str = ""
    """Which part of the training; empty: the trainer's usual one."""
    options: Mapping[str, str] = {}
    """"stage.key" -> text, as --opt gives them; the trainer reads them, and raises UsageError for what it has not."""
    dataset: str = ""
    """Name of the data set, for `trained_on` of what is made."""
    dataset_options: Mapping[str, Any] = {}
    dataset_hash: str = ""
    """SHA-256 of what is learned from: catalogue, training dialogues, and the scenarios of both splits."""
    resume: bool = True
    """Go on with what the output folder holds of this very training."""
    limit: int | None = None
    base: Path | None = None
    """An artefact to take parts from that this training does not make itself (--from)."""
    simulator: tuple[str, Mapping[str, Any]] | None = None
    """The simulator to train against, and its options, where the user chose one."""
    simulator_llm: Any = None
    """The `harness.llm.ChatModel` of that simulator, if the user chose one."""
    progress: Any = None
    """A `TrainingProgress`, or None."""
    resources: Any = None
    """A `harness.training.Resources`: other components of this environment, by name."""


class TrainingProgress(Protocol):
    """Shows how far a training is; it may be called in any thread."""

    def say(self, text: str) -> None:
        """One line."""

    def step(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        """`done` of `total` steps of `what` ("rl", say); `values` are what is worth seeing: loss, reward, ..."""
