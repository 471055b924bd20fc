"""Every recommender with every simulator on the same scenarios: do the simulators agree, and does training to one transfer?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Unscored
from harness.comparison import scenario_means
from harness.correlation import Correlation, correlate_systems
from harness.errors import DataError
from harness.statistics import RESAMPLES, clustered_bootstrap, paired_permutation

Floats = NDArray[np.float64]


class Agreement(msgspec.Struct, frozen=True):
    """How alike two simulators rank the recommenders, by the means over `n` scenarios that every pair of the matrix scored."""

    first: str
    second: str
    kendall: Correlation
    spearman: Correlation
    recommenders: int
    n: int


class Gap(msgspec.Struct, frozen=True):
    """A difference over scenarios with its interval and the two-sided p of a sign-flip test by source dialogue."""

    value: float | Unscored
    ci: tuple[float, float] | Unscored
    p: float | Unscored


class Transfer(msgspec.Struct, frozen=True):
    """A recommender with the simulators that it was trained against, and with the others.

    `gap` is the first mean minus the second. Simulators differ in how hard they are, so that a gap alone says little: `beyond`
    is the gap minus the mean gap of the recommenders (`baselines`) that were trained against none of these simulators.
    """

    recommender: str
    against: tuple[str, ...]
    others: tuple[str, ...]
    on_trained: float
    on_others: float
    gap: Gap
    beyond: Gap
    baselines: tuple[str, ...]
    n: int


class Scores(msgspec.Struct, frozen=True):
    """One metric of a whole matrix: `values` [scenarios, recommenders, simulators], over scenarios that all pairs scored."""

    recommenders: tuple[str, ...]
    simulators: tuple[str, ...]
    scenarios: tuple[str, ...]
    sources: tuple[str, ...]
    values: Floats


def gather(
    metric: str,
    recommenders: Sequence[str],
    simulators: Sequence[str],
    rows: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
) -> Scores:
    """Scores by scenario (means over trials) of the rows of scores.jsonl, by (recommender, simulator).

    Raises UsageError when a run has no such metric, DataError when a scenario comes from different source dialogues.
    """
    means = {pair: scenario_means(held, metric) for pair, held in rows.items()}
    shared = sorted(set.intersection(*(set(held) for held in means.values())))
    sources = {scenario: {held[scenario][0] for held in means.values()} for scenario in shared}
    for scenario, found in sources.items():
        if len(found) > 1:
            raise DataError(f"scenario {scenario!r} comes from different source dialogues: {', '.join(sorted(found))}")
    values = [[[means[rec, sim][s][1] for sim in simulators] for rec in recommenders] for s in shared]
    shape = (len(shared), len(recommenders), len(simulators))
    return Scores(
        tuple(recommenders),
        tuple(simulators),
        tuple(shared),
        tuple(next(iter(sources[s])) for s in shared),
        np.array(values, dtype=np.float64).reshape(shape),
    )


def agreements(scores: Scores, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Agreement]:
    """Rank correlation of the recommenders' means for every two simulators."""
    found = []
    for a, b in itertools.combinations(range(len(scores.simulators)), 2):
        first, second = scores.simulators[a], scores.simulators[b]
        by = correlate_systems(
            scores.values[:, :, a],
            scores.values[:, :, b],
            scores.sources,
            names=(f"the score with {first}", f"the score with {second}"),
            resamples=resamples,
            seed=seed,
        )
        found.append(Agreement(first, second, by["kendall"], by["spearman"], len(scores.recommenders), len(scores.scenarios)))
    return found


def transfers(
    scores: Scores, against: Mapping[str, Sequence[str]], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Transfer]:
    """The transfer gap of each recommender that was trained against some, not all, of the simulators.

    `against` maps a recommender to the simulators of the matrix that it was trained against.
    """
    if not len(scores.scenarios):
        return []
    baselines = [n for n, rec in enumerate(scores.recommenders) if not against.get(rec)]
    found = []
    for n, rec in enumerate(scores.recommenders):
        ours = [m for m, sim in enumerate(scores.simulators) if sim in against.get(rec, ())]
        others = [m for m in range(len(scores.simulators)) if m not in ours]
        if not ours or not others:
            continue
        gaps = scores.values[:, :, ours].mean(axis=2) - scores.values[:, :, others].mean(axis=2)
        none = Unscored("every recommender of the matrix was trained against one of its simulators")
        beyond = (
            _gap(gaps[:, n] - gaps[:, baselines].mean(axis=1), scores.sources, resamples, seed)
            if baselines
            else Gap(none, none, none)
        )
        found.append(
            Transfer(
                recommender=rec,
                against=tuple(scores.simulators[m] for m in ours),
                others=tuple(scores.simulators[m] for m in others),
                on_trained=float(scores.values[:, n, ours].mean()),
                on_others=float(scores.values[:, n, others].mean()),
                gap=_gap(gaps[:, n], scores.sources, resamples, seed),
                beyond=beyond,
                baselines=tuple(scores.recommenders[m] for m in baselines),
                n=len(scores.scenarios),
            )
        )
    return found


def _gap(differences: Floats, sources: Sequence[str], resamples: int, seed: int) -> Gap:
    estimate = clustered_bootstrap(differences, sources, resamples=resamples, seed=seed)[0]
    test = paired_permutation(differences, np.zeros(len(differences)), sources, permutations=resamples, seed=seed)
    return Gap(estimate.value, estimate.ci, test.p)
