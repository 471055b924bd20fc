"""Two scored runs side by side, paired on the scenarios that both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from harness.api import Unscored
from harness.errors import DataError, UsageError
from harness.statistics import (
    RESAMPLES,
    cohen_dz,
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
    means_a, means_b = _by_scenario(rows_a, metric), _by_scenario(rows_b, metric)
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


def _mean(values: list[float]) -> float | Unscored:
    return sum(values) / len(values) if values else Unscored("no paired rows")


def _by_scenario(rows: Iterable[Row], metric: str) -> dict[str, tuple[str, float]]:
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
