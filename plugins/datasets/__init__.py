"""First-party datasets: descriptors only; the classes are imported when a run names them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Component, hookimpl


@hookimpl
def harness_datasets() -> Iterable[Component]:
    at = "harness_plugins.datasets."
    yield Component(
        "redial",
        at + "redial:Redial",
        summary="ReDial: human film dialogues with a questionnaire, as published (NeurIPS 2018)",
        options=at + "redial:Options",
    )
    yield Component(
        "redial-ievalm",
        at + "redial_ievalm:RedialIevalm",
        summary="ReDial's recommendation turns as iEvaLM evaluates on them, with film metadata (EMNLP 2023)",
        options=at + "redial_ievalm:Options",
    )
