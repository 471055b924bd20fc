"""Scores of a run directory: made from its records, and made again whenever somebody asks. No dialogue is played here."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Ceiling, DialogueRecord, MetricSetup, Scenario, Split
from harness.assembly import Assembly, Part, load_data, resolve
from harness.columns import blame
from harness.config import Choice, RunConfig, Transport
from harness.errors import ConfigMismatch, HarnessError, PluginError, StoreError, UsageError
from harness.judging import Judging, asks_model
from harness.models import build_judge
from harness.options import parse_pairs
from harness.presets import candidate_metrics, default_metrics
from harness.registry import Registry
from harness.scenarios import data_hash
from harness.scoring import BoundMetric, Reading, RunScores, score_run
from harness.store import SCORES, SUMMARY, read_manifest, read_records
from harness.wholefiles import write_atomically

IMPORTED_WARNING = (
    "imported: played by another tool, under a protocol and with a knowledge of the seeker that nobody here knows; compare "
    "these numbers with imports of the same tool alone. No leaderboard takes them"
)


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


def imported(manifest: dict[str, Any]) -> bool:
    """Whether a folder holds another tool's dialogues (`harness import`) and no run."""
    return manifest.get("kind") == "imported"


def need_run(manifest: dict[str, Any], folder: Path, what: str) -> None:
    """Raises UsageError for imported dialogues, which can't be `what`."""
    if imported(manifest):
        raise UsageError(
            f"{folder} was imported: nobody knows under which protocol its dialogues were played, so they can't be {what}; "
            "they can be scored, reported and compared"
        )


def played_on(
    registry: Registry, manifest: dict[str, Any], config: RunConfig, folder: Path
) -> tuple[Any, Split, list[Scenario]]:
    """The data set (None for an import), its split, and the scenarios that a folder's dialogues were played on. Raises
    ConfigMismatch when it is no longer the same data."""
    if imported(manifest):
        from harness.exchange.imported import own_data

        return None, *own_data(registry, manifest, config, folder)
    _, dataset, split, scenarios = load_data(registry, config)
    if data_hash(split, scenarios) != manifest["data_hash"]:
        raise ConfigMismatch(f"the data of {config.dataset.name} is not what {folder} was played on (its hash differs)")
    return dataset, split, scenarios


def bind_metrics(registry: Registry, names: Sequence[str]) -> list[BoundMetric]:
    """ "ndcg@10" -> the metric `ndcg` with k=10, "cost@role=recommender" -> `cost` with that option (several with commas
    between); "dist:name" works too. Raises PluginError or UsageError."""
    bound = []
    for name in names:
        short, at, said = name.partition("@")
        if at and not said.isdigit() and "=" not in said:
            raise UsageError(f"metric {name!r}: write NAME, NAME@K with a whole number K, or NAME@option=value,option=value")
        raw = {} if not at else {"k": said} if said.isdigit() else parse_pairs(said.split(","), f"metric {name}:")
        part: Part = resolve(registry, "metric", Choice(short, raw))
        bound.append(BoundMetric(name, part.create()))
    return bound


def need_judge(metrics: Sequence[BoundMetric], judge: Any, *, said: bool = False) -> None:
    """Raises UsageError when a metric asks a language model and none was chosen; or, if it was `said` for judges alone, when
    one was chosen and no metric asks it."""
    judges = [bound.name for bound in metrics if asks_model(bound.metric)]
    if said and judge is not None and not judges:
        raise UsageError("--judge-llm was given, but no metric asks a language model: add one, --metric judge-satisfaction say")
    if judges and judge is None:
        raise UsageError(
            f"metric {judges[0]} asks a language model: choose one with --judge-llm openai:MODEL (or hf:MODEL), or with "
            "--llm for every role of a run"
        )


def score_folder(
    registry: Registry,
    folder: Path,
    *,
    metrics: Sequence[str] = (),
    headline: Sequence[str] = (),
    assembly: Assembly | None = None,
    config: RunConfig | None = None,
    told: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Score a run directory, write scores.jsonl and summary.json, and return the summary.

    `metrics` adds to the default ones. The data set is loaded again unless `assembly` has it; raises ConfigMismatch when it
    is no longer the data that the run was played on. `config` is the recorded one with another judge, or another way to ask
    it. Where metrics ask a language model, `told` is called after each answer; raises BudgetExceeded, and then writes nothing.
    """
    manifest = read_manifest(folder)
    config = config or (config_of(manifest, folder) if assembly is None else assembly.config)
    if assembly is None:
        dataset, split, scenarios = played_on(registry, manifest, config, folder)
    else:
        dataset, split, scenarios = assembly.dataset, assembly.split, list(assembly.scenarios)
    retrieval = candidate_metrics(_candidates(RecordFile(folder)))
    unknowable = manifest.get("unknowable", ())
    usual = [name for name in default_metrics(config.k, config.turns) if name.partition("@")[0] not in unknowable]
    headline = headline or manifest.get("headline", ())
    bound = bind_metrics(registry, list(dict.fromkeys([*usual, *retrieval, *headline, *metrics])))
    judge = None
    if any(asks_model(each.metric) for each in bound):
        judge = build_judge(config)[1] if assembly is None else assembly.judge
        need_judge(bound, judge)
    scores = score(RecordFile(folder), config, split, scenarios, bound, headline, judge=judge, told=told)
    summary = {
        "run": describe(manifest, config),
        **scores.summary,
        "ceilings": [msgspec.to_builtins(c) for c in ceilings(dataset, config.dataset.name, split, scenarios)],
    }
    if imported(manifest):
        summary["warnings"] = [IMPORTED_WARNING, *manifest.get("notes", []), *summary["warnings"]]
    lines = bytearray()
    for row in scores.rows():
        lines += msgspec.json.encode(row) + b"\n"
    write_atomically(folder / SCORES, bytes(lines))
    write_atomically(folder / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    return summary


def _candidates(records: Iterable[DialogueRecord]) -> int:
    """How many candidates per turn a run records, at most, read off its first dialogues; 0 where it records none."""
    first = itertools.islice(records, 100)
    return max((len(turn.candidates) for record in first for turn in record.turns if turn.candidates), default=0)


def score(
    records: Any,
    config: RunConfig,
    split: Split,
    scenarios: Sequence[Scenario],
    metrics: Sequence[BoundMetric],
    headline: Sequence[str] = (),
    *,
    judge: Any = None,
    told: Callable[[int], object] | None = None,
) -> RunScores:
    """Records -> scores under a configuration's reading. `judge` is the language model of the metrics that ask one."""
    setup = MetricSetup(split.catalogue, popularity(split), config.k, config.turns, llm=judge)
    reading = Reading(
        read_at=config.read_at,
        success_k=config.success_k,
        average=config.headline,
        headline=tuple(headline),
        planned=len(scenarios) * config.trials,
    )
    by_id = {scenario.id: scenario for scenario in scenarios}
    with judging(judge, config.transport, told) as asking:
        scores = score_run(records, metrics, setup, by_id, reading=reading, judging=asking, seed=config.seed)
    if judge is not None:
        scores.summary["judge"] = judged_by(judge, metrics)
    return scores


def judging(model: Any, transport: Transport, told: Callable[[int], object] | None = None) -> Judging:
    """Where the metrics that ask `model` are awaited; it is closed with it. A local model is read first: that is no question's
    time."""
    if callable(load := getattr(model, "load", None)):
        load()
    closing = () if model is None else (model.close,)
    return Judging(concurrency=transport.at_once, timeout=transport.timeout, closing=closing, told=told)


def judged_by(model: Any, metrics: Sequence[BoundMetric]) -> dict[str, Any]:
    """Which model judged, by which prompts: what must be equal where judgements are compared."""
    prompts = {bound.name: _revision(bound) for bound in metrics if asks_model(bound.metric)}
    return {"model": model.name, "revision": model.revision(), "metrics": prompts}


def _revision(bound: BoundMetric) -> Any:
    method = getattr(bound.metric, "revision", None)
    with blame(bound.name, " in revision()"):
        return {} if method is None else msgspec.json.decode(msgspec.json.encode(method()))


def popularity(split: Split) -> dict[str, int]:
    """How often each item is mentioned in the training dialogues."""
    messages = (message for dialogue in split.training for message in dialogue.messages)
    return dict(Counter(itertools.chain.from_iterable(message.items for message in messages)))


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
    trained = manifest.get("trained", {})
    unknown: dict[str, Any] = {}
    if imported(manifest):
        from harness.exchange.imported import said_unknown

        unknown = said_unknown()
    return {
        "fingerprint": manifest["fingerprint"],
        "recommender": config.recommender.name,
        "recommender_options": config.recommender.options,
        "recommender_version": f"{fields['recommender.distribution']} {fields['recommender.version']}",
        "recommender_trained_on": trained.get("recommender", {}).get("on", []),
        "recommender_trained_against": trained.get("recommender", {}).get("against", []),
        "simulator": config.simulator.name if config.simulator else "none",
        "simulator_options": config.simulator.options if config.simulator else {},
        "simulator_trained_on": trained.get("simulator", {}).get("on", []),
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
        **unknown,
    }
