"""Dialogues of other tools as folders that `score`, `report`, `view` and `compare` read.

    manifest.json     kind "imported": which tool, which files; what nobody knows is "unknown"
    dialogues.jsonl   the dialogues as a run would have recorded them
    scenarios.jsonl   their public contexts, their targets where the files know them, and what the files say beside

They are not runs: nobody knows under which protocol they were played, so they can't be played on and no leaderboard takes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Catalogue, Scenario, Split
from harness.assembly import load_split, resolve
from harness.config import Choice, RunConfig
from harness.errors import ConfigMismatch, StoreError
from harness.registry import Registry
from harness.store import read_manifest
from harness.wholefiles import why

KIND: Final = "imported"
SCENARIOS: Final = "scenarios.jsonl"
UNKNOWN: Final = "unknown"


def is_imported(folder: Path) -> bool:
    """Whether a folder is one of `import_dialogues`."""
    try:
        return read_manifest(folder).get("kind") == KIND
    except StoreError:
        return False


def own_data(registry: Registry, manifest: dict[str, Any], config: RunConfig, folder: Path) -> tuple[Split, list[Scenario]]:
    """What imported dialogues are scored with: the catalogue that they were imported with (empty without one), and their own
    scenarios. Raises ConfigMismatch when either has changed, StoreError for a damaged folder."""
    path = folder / SCENARIOS
    decoder = msgspec.json.Decoder(Scenario)
    scenarios = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                scenarios.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise StoreError(f"{path}:{number} is damaged: {error}") from None
    except OSError as error:
        raise StoreError(f"can't read {path}: {why(error)}") from None
    if scenarios_hash(scenarios) != manifest.get("data_hash"):
        raise ConfigMismatch(f"{path} is no longer what was imported (its hash differs)")
    expected = manifest.get("catalogue_hash")
    if expected is None:
        return Split("test", scenarios, (), Catalogue(())), scenarios
    found = catalogue_of(registry, config.dataset)
    if catalogue_hash(found.catalogue) != expected:
        raise ConfigMismatch(
            f"the catalogue of {config.dataset.name} is not what {folder} was imported with (its hash differs)"
        )
    return Split("test", scenarios, found.training, found.catalogue, found.notes), scenarios


def said_unknown() -> dict[str, str]:
    """What a result's row key says of an import."""
    names = ("recommender_version", "knowledge", "split", "variant", "preset", "protocol", "seed")
    return {"kind": KIND, **dict.fromkeys(names, UNKNOWN)}


def catalogue_of(registry: Registry, choice: Choice) -> Split:
    """The test split's catalogue and training dialogues; which split it is changes neither."""
    part = resolve(registry, "dataset", choice)
    return load_split(part, part.create(), "test")


def scenarios_hash(scenarios: Sequence[Scenario]) -> str:
    """SHA-256 over what the dialogues go on from and aim at: equal for two recommenders on the same cases, in any order."""
    digest = hashlib.sha256()
    for scenario in sorted(scenarios, key=lambda scenario: scenario.id):
        context = [(message.role, message.text) for message in scenario.context]
        digest.update(msgspec.json.encode([scenario.id, scenario.source, context, scenario.need.targets]) + b"\n")
    return digest.hexdigest()


def catalogue_hash(catalogue: Catalogue) -> str:
    digest = hashlib.sha256()
    for item in catalogue:
        digest.update(msgspec.json.encode(item, order="deterministic") + b"\n")
    return digest.hexdigest()
