"""Scores of a run directory: made from its records, and made again whenever somebody asks. No dialogue is played here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Ceiling, MetricSetup, Scenario, Split
from harness.assembly import Assembly, Part, load_data, resolve
from harness.config import Choice, RunConfig
from harness.errors import ConfigMismatch, HarnessError, PluginError, StoreError, UsageError
from harness.presets import default_metrics
from harness.registry import Registry
from harness.scenarios import data_hash
from harness.scoring import BoundMetric, Reading, RunScores, score_run
from harness.store import SCORES, SUMMARY, read_manifest, read_records, write_atomically


class RecordFile:
    """The records of a run directory, read anew from the file each time they are iterated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Any:
        return read_records(self._folder)


def config_of(manifest: dict[str, Any], folder: Path) -> RunConfig:
    """The configuration that a manifest holds. Raises StoreError for a damaged or foreign manifest, UsageError for a chat's."""
    if manifest.get("kind") == "chat":
        raise UsageError(
            f"{folder} is a chat: nobody knows what its person looked for, so it can't be scored or played again; its "
            "transcript is dialogues.jsonl"
        )
    try:
        return msgspec.convert(manifest["config"], RunConfig)
    except (KeyError, msgspec.ValidationError) as error:
        raise StoreError(f"{folder}/manifest.json is damaged or of another version: {error}") from None


def bind_metrics(registry: Registry, names: Sequence[str]) -> list[BoundMetric]:
    """ "ndcg@10" -> the metric `ndcg` with k=10; "dist:name" works too. Raises PluginError or UsageError."""
    bound = []
    for name in names:
        short, at, k = name.partition("@")
        if at and not k.isdigit():
            raise UsageError(f"metric {name!r}: write NAME or NAME@K with a whole number K")
        part: Part = resolve(registry, "metric", Choice(short, {"k": int(k)} if at else {}))
        bound.append(BoundMetric(name, part.create()))
    return bound


def score_folder(
    registry: Registry,
    folder: Path,
    *,
    metrics: Sequence[str] = (),
    headline: Sequence[str] = (),
    assembly: Assembly | None = None,
) -> dict[str, Any]:
    """Score a run directory, write scores.jsonl and summary.json, and return the summary.

    `metrics` adds to the default ones. The data set is loaded again unless `assembly` has it; raises ConfigMismatch when it
    is no longer the data that the run was played on.
    """
    manifest = read_manifest(folder)
    config = config_of(manifest, folder)
    if assembly is None:
        _, dataset, split, scenarios = load_data(registry, config)
        if data_hash(split, scenarios) != manifest["data_hash"]:
            raise ConfigMismatch(f"the data of {config.dataset.name} is not what {folder} was played on (its hash differs)")
    else:
        dataset, split, scenarios = assembly.dataset, assembly.split, list(assembly.scenarios)
    names = list(dict.fromkeys([*default_metrics(config.k, config.turns), *metrics]))
    scores = score(registry, RecordFile(folder), config, split, scenarios, names, headline)
    summary = {
        "run": describe(manifest, config),
        **scores.summary,
        "ceilings": [msgspec.to_builtins(c) for c in ceilings(dataset, config.dataset.name, split, scenarios)],
    }
    lines = bytearray()
    for row in scores.rows():
        lines += msgspec.json.encode(row) + b"\n"
    write_atomically(folder / SCORES, bytes(lines))
    write_atomically(folder / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    return summary


def score(
    registry: Registry,
    records: Any,
    config: RunConfig,
    split: Split,
    scenarios: Sequence[Scenario],
    names: Sequence[str],
    headline: Sequence[str] = (),
) -> RunScores:
    """Records -> scores under a configuration's reading."""
    setup = MetricSetup(split.catalogue, popularity(split), config.k, config.turns)
    reading = Reading(
        read_at=config.read_at,
        success_k=config.success_k,
        average=config.headline,
        headline=tuple(headline),
        planned=len(scenarios) * config.trials,
    )
    by_id = {scenario.id: scenario for scenario in scenarios}
    return score_run(records, bind_metrics(registry, names), setup, by_id, reading=reading, seed=config.seed)


def popularity(split: Split) -> dict[str, int]:
    """How often each item is mentioned in the training dialogues."""
    counts: Counter[str] = Counter()
    for dialogue in split.training:
        for message in dialogue.messages:
            counts.update(message.items)
    return dict(counts)


def ceilings(dataset: Any, name: str, split: Split, scenarios: Sequence[Scenario]) -> list[Ceiling]:
    """The data set's own reference scores for exactly the played scenarios; empty when it has none."""
    method = getattr(dataset, "ceilings", None)
    if method is None:
        return []
    try:
        return list(method(msgspec.structs.replace(split, scenarios=list(scenarios))))
    except HarnessError:
        raise
    except Exception as error:
        raise PluginError(f"dataset {name!r} failed in ceilings(): {type(error).__name__}: {error}") from error


def describe(manifest: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """The row key of a result: who played, on what, under which protocol (protocol, section 8)."""
    fields = manifest["fields"]
    return {
        "fingerprint": manifest["fingerprint"],
        "recommender": config.recommender.name,
        "recommender_options": config.recommender.options,
        "recommender_version": f"{fields['recommender.distribution']} {fields['recommender.version']}",
        "simulator": config.simulator.name if config.simulator else "none",
        "simulator_options": config.simulator.options if config.simulator else {},
        "knowledge": fields.get("simulator.knowledge", "none"),
        "dataset": config.dataset.name,
        "split": config.split,
        "variant": config.variant,
        "rows": manifest["rows"],
        "scenarios": manifest["scenarios"],
        "data_hash": manifest["data_hash"],
        "preset": config.preset,
        "protocol": fields["protocol"],
        "seed": config.seed,
        "trials": config.trials,
        "notes": manifest.get("notes", []),
    }
