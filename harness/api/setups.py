"""What a component is handed once, in `prepare` or `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api.talk import Catalogue, Split, TrainingDialogue


class RecommenderSetup(msgspec.Struct, frozen=True):
    """Handed to `prepare` once per run. `cache_dir` may be used for derived files; it is private to the component.

    `llm` is the `harness.llm.ChatModel` that the user chose for this role, if any; components that chat are async.
    """

    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    k: int
    seed: int
    cache_dir: Path | None = None
    llm: Any = None


class SimulatorSetup(msgspec.Struct, frozen=True):
    """Handed to a simulator's `prepare` once per run."""

    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    max_turns: int
    seed: int
    cache_dir: Path | None = None
    llm: Any = None


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
    """Handed to a trainer: the split to learn from, the split to choose on, and the seed."""

    train: Split
    validation: Split
    seed: int
    preset: str = "tiny"
