"""First-party artefacts: trained weights that come with the package; found by name, checked against their hashes."""

from __future__ import annotations

from collections.abc import Iterable

from harness import ArtifactFolder, hookimpl


@hookimpl
def harness_artifacts() -> Iterable[ArtifactFolder]:
    yield ArtifactFolder(
        "smtpo-tiny",
        "harness_plugins.artifacts",
        "smtpo-tiny",
        summary="SMTPO for cinema: simulator, retriever and recommender (sft, rl), about a million parameters each",
    )
