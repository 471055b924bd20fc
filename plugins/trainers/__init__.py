"""First-party trainers: descriptors only; the classes are imported when a training names them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl


@hookimpl
def harness_trainers() -> Iterable[Component]:
    yield Component(
        "smtpo",
        "harness_plugins.trainers.smtpo.trainer:SmtpoTrainer",
        summary="SMTPO: simulator, dual-view retriever, reasoning recommender by SFT and multi-turn RL",
    )
    yield Component(
        "smtpo-pl",
        "harness_plugins.trainers.smtpo_pl.trainer:SmtpoPlTrainer",
        summary="SMTPO without a language model: Plackett-Luce weights by imitation and multi-turn RL, minutes on a CPU",
    )
