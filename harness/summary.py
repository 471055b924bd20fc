"""The content of summary.json: means, intervals, curves over the turns, counts and warnings, from a run's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import PROTOCOL_VERSION, MetricSetup, Unscored, Usage
from harness.columns import Column, Floats
from harness.statistics import LEVEL, Estimate, pass_at_all, ratio_bootstrap

INVALID_CAP = 0.02
"""Above this share of invalid dialogues a run can't enter a leaderboard (protocol, section 3)."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a preset reads the lists.

    `read_at`: ranking metrics at the last turn, or at the turn of success (the first whose first `success_k` items hold a
    target; the last turn where there is none). `success_k` None means the list length.
    """

    read_at: Literal["last", "success"] = "last"
    success_k: int | None = None
    average: Literal["macro", "micro"] = "macro"
    """Which average of the ranking metrics heads the table; both are always in the summary."""
    headline: tuple[str, ...] = ()
    """Metric names that head the table; none: the usual ones among those asked for."""
    planned: int | None = None
    """How many dialogues the run was to play (scenarios x trials), so that missing ones are reported."""


class Outcome(msgspec.Struct, frozen=True):
    """What is kept of each dialogue beside its numbers. `turns` is how many recommender turns are recorded (up to the cap)."""

    scenario: str
    trial: int
    source: str
    stop: str
    status: str
    turns: int = 0
    simulator_faults: int = 0
    leaks: int = 0
    injections: int = 0
    seeker_injections: int = 0


class RunValue(msgspec.Struct, frozen=True):
    """A run-level metric: one number, no rows, hence no interval."""

    name: str
    family: str
    higher_is_better: bool
    value: float | Unscored


class Run(msgspec.Struct, frozen=True):
    """All that a summary is made of. `outcomes` are sorted by scenario and trial; the columns and `success` have one row per
    valid one of them, in that order."""

    outcomes: Sequence[Outcome]
    columns: Sequence[Column]
    whole: Sequence[RunValue]
    names: Sequence[str]
    success: NDArray[np.bool_]
    usage: dict[str, Usage]
    seconds: dict[str, float]


class _Scenarios:
    """Folds rows (scenario x trial) into scenarios: trials are averaged where they have a value."""

    def __init__(self, valid: Sequence[Outcome]) -> None:
        ids = list(dict.fromkeys(outcome.scenario for outcome in valid))
        number = {scenario: n for n, scenario in enumerate(ids)}
        self.count = len(ids)
        self.of_row = np.array([number[outcome.scenario] for outcome in valid], dtype=np.int64)
        source = {outcome.scenario: outcome.source for outcome in valid}
        self.sources = [source[scenario] for scenario in ids]

    def mean(self, values: Floats) -> Floats:
        """[rows, columns] -> [scenarios, columns]; NaN where no trial has a value."""
        there = np.isfinite(values)
        sums, counts = np.zeros((2, self.count, values.shape[1]))
        np.add.at(sums, self.of_row, np.where(there, values, 0.0))
        np.add.at(counts, self.of_row, there)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def summarise(run: Run, setup: MetricSetup, reading: Reading, *, resamples: int, seed: int) -> dict[str, Any]:
    """Plain data for JSON. No NaN, infinity or null: what has no value is "unscored" with a reason beside it."""
    valid = [outcome for outcome in run.outcomes if outcome.status == "valid"]
    fold = _Scenarios(valid)
    trials = len({outcome.trial for outcome in run.outcomes})
    solved, left_out = _solved(fold, run.success, trials)
    macro = fold.mean(np.stack([c.values for c in run.columns], axis=1) if run.columns else np.empty((len(valid), 0)))
    with_micro = [c for c in run.columns if c.has_micro]
    # Trials of a scenario have the same labels: averaging both parts keeps each label's weight at one.
    micro_sums, micro_counts = (
        np.nan_to_num(fold.mean(np.stack(parts, axis=1))) if parts else np.empty((fold.count, 0))
        for parts in ([c.label_sums for c in with_micro], [c.label_counts for c in with_micro])
    )
    there = np.isfinite(macro), np.isfinite(solved)
    estimates = ratio_bootstrap(
        np.hstack([np.where(there[0], macro, 0.0), micro_sums, np.where(there[1], solved, 0.0)]),
        np.hstack([there[0].astype(np.float64), micro_counts, there[1].astype(np.float64)]),
        fold.sources,
        resamples=resamples,
        seed=seed,
    )
    macros = dict(zip((c.name for c in run.columns), estimates, strict=False))
    micros = dict(zip((c.name for c in with_micro), estimates[len(macros) :], strict=False))
    labels = {c.name: round(float(micro_counts[:, n].sum())) for n, c in enumerate(with_micro)}
    metrics: dict[str, Any] = {c.name: _metric(c, fold, macros[c.name]) for c in run.columns}
    for name, estimate in micros.items():
        metrics[name]["micro"] = {**_estimate(estimate), "labels": labels[name]}
    for whole in run.whole:
        metrics[whole.name] = _whole(whole, bool(valid))
    return {
        "protocol": {
            "version": PROTOCOL_VERSION,
            "k": setup.k,
            "max_turns": setup.max_turns,
            "success_k": setup.k if reading.success_k is None else reading.success_k,
            "read_at": reading.read_at,
            "average": reading.average,
            "interval": {
                "level": LEVEL,
                "method": "percentile bootstrap by source dialogue",
                "resamples": resamples,
                "seed": seed,
            },
        },
        "counts": _counts(run, reading),
        "metrics": {name: metrics[name] for name in run.names},
        "headline": _headline(metrics, setup, reading),
        "pass^k": {
            "trials": trials,
            "left_out": left_out,
            "values": [{"k": k, **_estimate(e)} for k, e in enumerate(estimates[len(macros) + len(micros) :], start=1)],
        },
        "usage": {role: msgspec.structs.asdict(usage) for role, usage in run.usage.items()},
        "seconds": {role: round(spent, 6) for role, spent in sorted(run.seconds.items())},
        "warnings": _warnings(run, reading, left_out),
    }


def _metric(column: Column, fold: _Scenarios, estimate: Estimate) -> dict[str, Any]:
    metric = column.metric
    block: dict[str, Any] = {
        **_estimate(estimate),
        "family": metric.family,
        "level": column.level,
        "higher_is_better": metric.higher_is_better,
        "by_turn": [],
        "cumulative_by_turn": [],
        "unscored": column.unscored(),
    }
    if not fold.count:
        block["unscored"] = {"no valid dialogues": 0}
    if column.level != "turn":
        return block
    block["over_turns"] = column.over_turns
    per_turn = fold.mean(column.turns)
    block["by_turn"] = _means(per_turn)
    block["n_by_turn"] = np.isfinite(per_turn).sum(axis=0).tolist()
    if column.over_turns == "last":
        block["cumulative_by_turn"] = _means(fold.mean(column.best_so_far()))
    reasons = {str(turn + 1): why for turn in range(column.turns.shape[1]) if (why := column.unscored_turn(turn))}
    if reasons:
        block["unscored_by_turn"] = reasons
    return block


def _whole(run_value: RunValue, any_valid: bool) -> dict[str, Any]:
    scored = not isinstance(run_value.value, Unscored)
    return {
        "value": run_value.value if scored else "unscored",
        "ci": "unscored",
        "ci_unscored": "a run-level number has no rows to resample",
        "n": int(scored),
        "clusters": 0,
        "family": run_value.family,
        "level": "run",
        "higher_is_better": run_value.higher_is_better,
        "by_turn": [],
        "cumulative_by_turn": [],
        "unscored": {run_value.value.reason: 1} if isinstance(run_value.value, Unscored) else {},
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    block: dict[str, Any] = {"value": estimate.value, "ci": estimate.ci, "n": estimate.n, "clusters": estimate.clusters}
    if isinstance(estimate.value, Unscored):
        block["value"] = "unscored"
    if isinstance(estimate.ci, Unscored):
        block["ci"], block["ci_unscored"] = "unscored", estimate.ci.reason
    else:
        block["ci"] = list(estimate.ci)
    return block


def _means(values: Floats) -> list[float | str]:
    """Means of the columns over the scenarios that have a value there."""
    there = np.isfinite(values)
    counts = there.sum(axis=0)
    sums = np.where(there, values, 0.0).sum(axis=0)
    return [float(s / c) if c else "unscored" for s, c in zip(sums, counts, strict=True)]


def _solved(fold: _Scenarios, success: NDArray[np.bool_], trials: int) -> tuple[Floats, int]:
    """pass^k per scenario, [scenarios, trials], and how many scenarios lack a valid trial.

    Those are left out for every k alike: means over different scenarios could rise with k.
    """
    played = np.bincount(fold.of_row, minlength=fold.count) if fold.count else np.zeros(0, dtype=np.int64)
    won = np.bincount(fold.of_row[success], minlength=fold.count) if fold.count else played
    chances = pass_at_all(won.tolist(), trials)
    chances[played < trials] = np.nan
    return chances, int((played < trials).sum())


def _headline(metrics: dict[str, Any], setup: MetricSetup, reading: Reading) -> list[dict[str, Any]]:
    usual = (f"ndcg@{setup.k}", f"recall@{setup.k}", f"hr@{setup.k}", "sr", "at", "interaction-gain")
    names = reading.headline or tuple(name for name in usual if name in metrics)
    lines = []
    for name in names:
        average = "micro" if reading.average == "micro" and "micro" in metrics[name] else "macro"
        block = metrics[name]["micro"] if average == "micro" else metrics[name]
        kept = {key: block[key] for key in ("value", "ci", "n", "clusters", "labels", "ci_unscored") if key in block}
        lines.append({"name": name, "average": average, "higher_is_better": metrics[name]["higher_is_better"], **kept})
    return lines


def _counts(run: Run, reading: Reading) -> dict[str, Any]:
    status = Counter(outcome.status for outcome in run.outcomes)
    stops = Counter(outcome.stop for outcome in run.outcomes)
    counts: dict[str, Any] = {
        "scenarios": len({outcome.scenario for outcome in run.outcomes}),
        "sources": len({outcome.source for outcome in run.outcomes}),
        "played": len(run.outcomes),
        "valid": status["valid"],
        "invalid": status["invalid"],
        "incomplete": status["incomplete"],
        "recommender_faults": stops["recommender_fault"],
        "simulator_faults": sum(outcome.simulator_faults for outcome in run.outcomes),
        "leaks": sum(outcome.leaks for outcome in run.outcomes),
        "injections": sum(outcome.injections for outcome in run.outcomes),
        "seeker_injections": sum(outcome.seeker_injections for outcome in run.outcomes),
        "stops": dict(sorted(stops.items())),
    }
    if reading.planned is not None:
        counts["missing"] = max(0, reading.planned - len(run.outcomes))
    return counts


def _warnings(run: Run, reading: Reading, left_out: int) -> list[str]:
    """What a reader of the numbers must not overlook."""
    counts = _counts(run, reading)
    lines = []
    if counts["incomplete"]:
        kinds = ", ".join(f"{counts['stops'][s]} {s}" for s in ("transport", "cancelled") if s in counts["stops"])
        lines.append(
            f"{counts['incomplete']} of {counts['played']} dialogues are incomplete ({kinds}) and in no score: resume the run"
        )
    if counts.get("missing"):
        lines.append(f"{counts['missing']} of {reading.planned} planned dialogues were never played: resume the run")
    if counts["invalid"]:
        finished = counts["valid"] + counts["invalid"]
        share = counts["invalid"] / finished
        line = (
            f"{counts['invalid']} of {finished} dialogues ({share:.1%}) are invalid: the simulator failed; they are in no score"
        )
        lines.append(line + (f", and over {INVALID_CAP:.0%} bars a leaderboard" if share > INVALID_CAP else ""))
    if left_out and len({outcome.trial for outcome in run.outcomes}) > 1:
        lines.append(f"pass^k leaves out {left_out} scenarios that lack a valid trial")
    if not counts["valid"]:
        lines.append("no dialogue is valid: nothing is scored")
    return lines
