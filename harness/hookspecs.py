"""Every hook that a plugin can implement, on one screen. Yield lazy `Component`s; do not import heavy packages here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from harness.api import ArtifactFolder, Component, DialogueRecord

PROJECT = "harness"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def harness_datasets() -> Iterable[Component]:
    """Yield data sets.

    >>> @hookimpl
    ... def harness_datasets():
    ...     yield Component("mine", "my_package.data:Mine", summary="my dialogues")
    """


@hookspec
def harness_recommenders() -> Iterable[Component]:
    """Yield recommenders.

    >>> @hookimpl
    ... def harness_recommenders():
    ...     yield Component("mine", "my_package.rec:Mine", summary="nearest plots", options="my_package.rec:Options")
    """


@hookspec
def harness_simulators() -> Iterable[Component]:
    """Yield simulators, each with the knowledge that it needs.

    >>> @hookimpl
    ... def harness_simulators():
    ...     yield Component("mine", "my_package.sim:Mine", summary="a terse user", knowledge="profile")
    """


@hookspec
def harness_metrics() -> Iterable[Component]:
    """Yield metrics; `name@10` on the command line sets the option `k`.

    >>> @hookimpl
    ... def harness_metrics():
    ...     yield Component("mine", "my_package.metric:Mine", summary="share of comedies")
    """


@hookspec
def harness_trainers() -> Iterable[Component]:
    """Yield trainers.

    >>> @hookimpl
    ... def harness_trainers():
    ...     yield Component("mine", "my_package.train:Mine", summary="fits `mine` on the training split")
    """


@hookspec
def harness_artifacts() -> Iterable[ArtifactFolder]:
    """Yield folders with trained weights that the package brings along; `harness artifacts list` shows them.

    >>> @hookimpl
    ... def harness_artifacts():
    ...     yield ArtifactFolder("mine-small", "my_package", "artifacts/mine-small", summary="`mine`, trained on cinema")
    """


@hookspec
def harness_run_started(manifest: dict[str, Any]) -> None:
    """A run begins or goes on; `manifest` is the content of manifest.json.

    >>> @hookimpl
    ... def harness_run_started(manifest):
    ...     print("run", manifest["fingerprint"])
    """


@hookspec
def harness_dialogue_finished(record: DialogueRecord) -> None:
    """A dialogue was played *and written*. Raising here is reported and harms nothing.

    >>> @hookimpl
    ... def harness_dialogue_finished(record):
    ...     print(record.scenario, record.stop)
    """


@hookspec
def harness_run_finished(summary: dict[str, Any]) -> None:
    """The run is over and scored; `summary` is the content of summary.json.

    >>> @hookimpl
    ... def harness_run_finished(summary):
    ...     print(summary["headline"])
    """
