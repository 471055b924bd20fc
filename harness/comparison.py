"""Scored runs side by side, paired on the scenarios that both of a pair have."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from harness.api import Unscored
from harness.errors import DataError, UsageError
from harness.statistics import (
    RESAMPLES,
    TIE,
    cohen_dz,
    holm,
    paired_bootstrap,
    paired_permutation,
    win_tie_loss,
)

Row = Mapping[str, Any]
"""One line of scores.jsonl."""


class Comparison(msgspec.Struct, frozen=True):
    """Run a minus run b on one metric, over `n` scenarios that both scored, from `clusters` source dialogues.

    `p` is the two-sided sign-flip test by source dialogue; `effect_size` is Cohen's d_z over scenarios; wins are scenarios
    where a is better. `only_a` and `only_b` are scenarios that just one of them scored: they are in none of the numbers.
    """

    metric: str
    difference: float | Unscored
    ci: tuple[float, float] | Unscored
    p: float | Unscored
    exact: bool
    effect_size: float | Unscored
    mean_a: float | Unscored
    mean_b: float | Unscored
    wins: int
    ties: int
    losses: int
    n: int
    clusters: int
    only_a: int
    only_b: int
    effect_size_name: str = "cohen_dz"


def paired_gain(
    rows_a: Iterable[Row],
    rows_b: Iterable[Row],
    metric: str,
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Score of a minus score of b: the feedback gain when b is the control on the same scenarios.

    Rows are those of scores.jsonl; trials are averaged within a scenario first. Raises UsageError when neither run has the
    metric, DataError when a scenario comes from different source dialogues.
    """
    means_a, means_b = scenario_means(rows_a, metric), scenario_means(rows_b, metric)
    shared = sorted(means_a.keys() & means_b.keys())
    for scenario in shared:
        if means_a[scenario][0] != means_b[scenario][0]:
            raise DataError(
                f"scenario {scenario!r} comes from source dialogue {means_a[scenario][0]!r} in one run and from "
                f"{means_b[scenario][0]!r} in the other: these runs were not played on the same data"
            )
    clusters = [means_a[s][0] for s in shared]
    a, b = [means_a[s][1] for s in shared], [means_b[s][1] for s in shared]
    estimate = paired_bootstrap(a, b, clusters, resamples=resamples, seed=seed)
    test = paired_permutation(a, b, clusters, permutations=resamples, seed=seed)
    wins, ties, losses = win_tie_loss(a, b, higher_is_better=higher_is_better)
    return Comparison(
        metric=metric,
        difference=estimate.value,
        ci=estimate.ci,
        p=test.p,
        exact=test.exact,
        effect_size=cohen_dz(a, b),
        mean_a=_mean(a),
        mean_b=_mean(b),
        wins=wins,
        ties=ties,
        losses=losses,
        n=len(shared),
        clusters=estimate.clusters,
        only_a=len(means_a) - len(shared),
        only_b=len(means_b) - len(shared),
    )


class Pair(msgspec.Struct, frozen=True):
    """Runs number `a` and `b` compared; `p_holm` is None where there was nothing to test."""

    a: int
    b: int
    comparison: Comparison
    p_holm: float | None = None


def every_pair(
    rows: Sequence[Sequence[Row]], metrics: Mapping[str, bool], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Pair]:
    """All pairs of runs on all metrics (name -> higher is better), p corrected over all of them together (Holm 1979)."""
    found = [
        Pair(a, b, paired_gain(rows[a], rows[b], name, higher_is_better=higher, resamples=resamples, seed=seed))
        for name, higher in metrics.items()
        for a, b in itertools.combinations(range(len(rows)), 2)
    ]
    tested = [n for n, pair in enumerate(found) if isinstance(pair.comparison.p, float)]
    corrected = holm([p for pair in found if isinstance(p := pair.comparison.p, float)])
    for n, p in zip(tested, corrected, strict=True):
        found[n] = msgspec.structs.replace(found[n], p_holm=p)
    return found


def need_comparable(names: Sequence[str], summaries: Sequence[Mapping[str, Any]], *, any_simulator: bool = False) -> None:
    """Raises UsageError for runs whose numbers mean different things. `names` are what the message calls them."""
    keys = ["dataset", "split", "variant", "data_hash", "preset", "protocol", *([] if any_simulator else ["simulator"])]
    first = summaries[0]
    for name, summary in zip(names, summaries, strict=True):
        for key in keys:
            if summary["run"][key] != first["run"][key]:
                hint = "; --any-simulator allows that" if key == "simulator" else ""
                raise UsageError(
                    f"{names[0]} and {name} differ in {key} ({first['run'][key]} and {summary['run'][key]}): no pairs{hint}"
                )
        for key in ("k", "max_turns", "success_k", "read_at"):
            if summary["protocol"][key] != first["protocol"][key]:
                raise UsageError(f"{names[0]} and {name} differ in {key}: their numbers mean different things")


class Difference(msgspec.Struct, frozen=True):
    """A scenario's scores in all runs (mean over trials), and how far apart the best and the worst are."""

    scenario: str
    values: tuple[float, ...]

    @property
    def spread(self) -> float:
        return max(self.values) - min(self.values)


def most_different(rows: Sequence[Iterable[Row]], metric: str, count: int) -> list[Difference]:
    """The scenarios whose scores lie farthest apart, of those that every run scored.

    The run with the highest score changes from one to the next as long as there are such scenarios: a run that wins mostly
    would else fill the list. Scenarios that are equally far apart come in the order of their ids.
    """
    means = [scenario_means(run, metric) for run in rows]
    shared = set.intersection(*(set(run) for run in means)) if means else set()
    apart = [Difference(s, tuple(run[s][1] for run in means)) for s in sorted(shared)]
    apart = sorted((d for d in apart if d.spread > TIE), key=lambda d: -d.spread)
    led: dict[int, list[Difference]] = {n: [] for n in range(len(means))}
    for difference in apart:
        led[difference.values.index(max(difference.values))].append(difference)
    rounds = itertools.zip_longest(*led.values())
    return list(itertools.islice((d for each in rounds for d in each if d is not None), count))


def _mean(values: list[float]) -> float | Unscored:
    return sum(values) / len(values) if values else Unscored("no paired rows")


def scenario_means(rows: Iterable[Row], metric: str) -> dict[str, tuple[str, float]]:
    """Scenario -> (source, mean over its scored trials)."""
    values: dict[str, list[float]] = {}
    sources: dict[str, str] = {}
    known: set[str] = set()
    for row in rows:
        held = row.get("values", {})
        known.update(held)
        value = held.get(metric)
        if isinstance(value, int | float):
            values.setdefault(row["scenario"], []).append(float(value))
            sources[row["scenario"]] = row["source"]
    if known and metric not in known:
        raise UsageError(f"no row has the metric {metric!r}; there are {', '.join(sorted(known))}")
    return {scenario: (sources[scenario], sum(v) / len(v)) for scenario, v in values.items()}
