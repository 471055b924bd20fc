"""From dialogues to a submission's results: everything that a board shows, and nothing that isn't recomputed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from harness.api import Catalogue, DialogueRecord, MetricSetup, Unscored
from harness.comparison import Row
from harness.config import RunConfig
from harness.gains import control_gains
from harness.leaderboard.types import Counts, Estimate, Gain, Results, Spent
from harness.presets import cutoffs
from harness.registry import Registry
from harness.results import bind_metrics
from harness.scoring import Reading, score_run
from harness.statistics import RESAMPLES

SEED = 0
"""Of all resampling on a board, whatever seed a run had: equal dialogues give equal digits."""


def metric_names(config: RunConfig) -> list[str]:
    """The metrics of a submission: those that ranks and stop reasons determine."""
    names = [f"{metric}@{c}" for metric in ("ndcg", "recall", "hr", "mrr") for c in cutoffs(config.k)]
    return names + (["success", "sr", "at", "interaction-gain"] if config.turns > 1 else [])


def primary(config: RunConfig) -> str:
    """The metric that a board is sorted by."""
    return "sr" if config.turns > 1 else f"ndcg@{config.k}"


class Scored(msgspec.Struct, frozen=True):
    """Results, and the per-dialogue rows that they are means of (as in scores.jsonl)."""

    results: Results
    rows: list[Row]


def evaluate(
    registry: Registry,
    config: RunConfig,
    records: Sequence[DialogueRecord],
    controls: Sequence[tuple[str, Sequence[DialogueRecord]]] = (),
    *,
    resamples: int = RESAMPLES,
) -> Scored:
    """Recompute everything. Raises DataError or UsageError for dialogues that can't be of one run."""
    scores, rows = _score(registry, config, records, resamples)
    metrics = scores["metrics"]
    found = [gain for name, played in controls for gain in _gains(registry, config, rows, name, played)]
    results = Results(
        scores={name: _estimate(block) for name, block in metrics.items()},
        by_turn={name: block["by_turn"] for name, block in metrics.items() if block["by_turn"]}
        | {f"{name}, best so far": block["cumulative_by_turn"] for name, block in metrics.items() if _has_best(name, block)},
        passed=[_estimate(block) for block in scores["pass^k"]["values"]],
        counts=_counts(scores["counts"], records),
        spent={
            role: Spent(
                **{key: scores["usage"][role][key] for key in ("calls", "prompt_tokens", "completion_tokens", "cost")},
                seconds=scores["seconds"].get(role, 0.0),
            )
            for role in ("recommender", "simulator")
        },
        gains=found,
    )
    return Scored(results, rows)


def _has_best(name: str, block: dict[str, Any]) -> bool:
    return name.startswith("ndcg@") and len(block["cumulative_by_turn"]) > 1


def _score(
    registry: Registry, config: RunConfig, records: Sequence[DialogueRecord], resamples: int
) -> tuple[dict[str, Any], list[Row]]:
    setup = MetricSetup(Catalogue([]), {}, config.k, config.turns)
    reading = Reading(read_at=config.read_at, success_k=config.success_k, average=config.headline)
    bound = bind_metrics(registry, metric_names(config))
    scored = score_run(records, bound, setup, None, reading=reading, resamples=resamples, seed=SEED)
    return scored.summary, list(scored.rows())


def _estimate(block: dict[str, Any]) -> Estimate:
    ci = block["ci"]
    return Estimate(
        value=block["value"],
        ci=ci if isinstance(ci, str) else tuple(ci),  # type: ignore[arg-type]
        n=block["n"],
        micro=block["micro"]["value"] if "micro" in block else None,
    )


def _counts(counts: dict[str, Any], records: Sequence[DialogueRecord]) -> Counts:
    same = {key: counts[key] for key in ("scenarios", "sources", "played", "valid", "invalid", "recommender_faults")}
    return Counts(
        **same,
        leaking=sum(any(turn.leaks for turn in record.turns) for record in records),
        injecting=sum(any(turn.injection for turn in record.turns) for record in records),
    )


def _gains(
    registry: Registry, config: RunConfig, rows: list[Row], name: str, played: Sequence[DialogueRecord]
) -> Iterator[Gain]:
    _, control_rows = _score(registry, config, played, 2)  # its own intervals are shown nowhere
    if config.turns == 1 or not any("values" in row for row in control_rows):
        return
    for gain in control_gains(rows, control_rows, config.k):
        yield Gain(
            control=name,
            metric=gain.metric,
            difference=plain(gain.difference),
            ci="unscored" if isinstance(gain.ci, Unscored) else gain.ci,
            p=plain(gain.p),
            n=gain.n,
        )


def plain(value: float | Unscored) -> Any:
    """A number, or the word."""
    return "unscored" if isinstance(value, Unscored) else value
