"""Metrics against people: how well a metric's values agree with human scores of the same turns, dialogues and systems.

Units. A turn metric against a turn aspect is compared turn by turn; everything else dialogue by dialogue: a turn aspect counts
there with its mean over the labelled turns, a turn metric with its own value for a dialogue. A run-level metric is computed for
each dialogue by itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from harness.annotated import Judged, Level, longest
from harness.api import Catalogue, DialogueView, MetricSetup, RunView, Unscored
from harness.columns import BoundMetric, Chunk, Column, blame
from harness.correlation import Correlation, correlate, correlate_groups
from harness.errors import UsageError
from harness.judging import Judging, asks_model

RESAMPLES = 2_000
K = 10
"""List length that metrics are told; these dialogues have no lists."""
CHUNK = 64

Unit = Literal["turn", "dialogue"]


class SystemMeans(msgspec.Struct, frozen=True):
    """What people and a metric gave one system, on average over the `n` units that both scored."""

    system: str
    n: int
    human: float
    metric: float


class Agreement(msgspec.Struct, frozen=True):
    """One metric against one human aspect.

    `labelled` units have this human score, `n` of them a value of the metric too; `unlabelled` have other human scores but not
    this one, `unscored` says why the metric gave no value. `correlations` are over those n units (intervals by source
    dialogue), `ranking` over the systems' means (dialogues resampled within each system). `systems` stand in the order of
    people's means, best first.
    """

    metric: str
    aspect: str
    unit: Unit
    higher_is_better: bool
    n: int
    clusters: int
    labelled: int
    unlabelled: int
    unscored: dict[str, int]
    correlations: dict[str, Correlation]
    ranking: dict[str, Correlation]
    systems: tuple[SystemMeans, ...]
    notes: tuple[str, ...] = ()


class Values(msgspec.Struct, frozen=True):
    """A metric's values, a number or why there is none: per dialogue, and per turn for a turn metric."""

    dialogues: list[float | Unscored]
    turns: list[list[float | Unscored]] | None = None


def metaevaluate(
    dialogues: Sequence[Judged],
    levels: Mapping[str, Level],
    metrics: Sequence[BoundMetric],
    aspects: Sequence[str] = (),
    *,
    llm: Any = None,
    judging: Judging | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Agreement]:
    """Every metric against every aspect of `aspects`; without any, against the aspects of its own level.

    `llm` is the model of the metrics that ask one, `judging` where they are awaited. Raises UsageError for an unknown aspect
    or a judge without a model, PluginError when a metric fails, BudgetExceeded.
    """
    for aspect in aspects:
        if aspect not in levels:
            raise UsageError(f"people gave no score {aspect!r}; there are {', '.join(levels)}")
    pairs = [(bound, aspect) for bound in metrics for aspect in aspects or _own(bound, levels)]
    used = [dialogue for dialogue in dialogues if any(_human(dialogue, aspect) for _, aspect in pairs)]
    turns = longest(dialogues)
    setup = MetricSetup(Catalogue(()), {}, K, turns, K, llm)
    if judging is None and any(asks_model(bound.metric) for bound in metrics):
        with Judging() as own:
            values = {bound.name: _values(bound, used, setup, own) for bound in metrics}
    else:
        values = {bound.name: _values(bound, used, setup, judging) for bound in metrics}
    return [
        _agreement(bound, aspect, levels[aspect], dialogues, used, values[bound.name], resamples=resamples, seed=seed)
        for bound, aspect in pairs
    ]


def sampled(dialogues: Sequence[Judged], count: int, seed: int) -> list[Judged]:
    """So many of the dialogues, drawn without replacement; in their old order."""
    drawn = random.Random(seed).sample(range(len(dialogues)), min(count, len(dialogues)))
    return [dialogues[number] for number in sorted(drawn)]


def _own(bound: BoundMetric, levels: Mapping[str, Level]) -> list[str]:
    """The aspects of a metric's own level; all where people scored nothing on it."""
    level = "turn" if bound.metric.level == "turn" else "dialogue"
    return [aspect for aspect, at in levels.items() if at == level] or list(levels)


def _human(dialogue: Judged, aspect: str) -> list[float]:
    """All scores that a dialogue has for an aspect: one, or one per labelled turn."""
    if aspect in dialogue.scores:
        return [dialogue.scores[aspect]]
    return [turn[aspect] for turn in dialogue.turns if aspect in turn]


# ------------------------------------------------------------------------------------------------------- a metric's values


def _values(bound: BoundMetric, dialogues: Sequence[Judged], setup: MetricSetup, judging: Judging | None) -> Values:
    with blame(bound.name):
        bound.metric.prepare(setup)
    views = [dialogue.view(setup.max_turns) for dialogue in dialogues]
    if bound.metric.level == "run":
        return Values([_alone(bound, view) for view in views])
    column = Column(bound, judging)
    for start in range(0, len(views), CHUNK):
        column.add(Chunk(views[start : start + CHUNK], success_k=K, read_at="last"))
    column.finish(np.arange(len(views)), setup.max_turns)
    whole = [_value(column, value, code) for value, code in zip(column.values, column.codes, strict=True)]
    if column.level == "dialogue":
        return Values(whole)
    per_turn = [
        [_value(column, value, code) for value, code in zip(values[:played], codes[:played], strict=True)]
        for dialogue, values, codes in zip(dialogues, column.turns, column.turn_codes, strict=True)
        for played in [len(dialogue.turns)]
    ]
    return Values(whole, per_turn)


def _alone(bound: BoundMetric, view: DialogueView) -> float | Unscored:
    """A run-level metric over one dialogue."""
    if asks_model(bound.metric):
        raise UsageError(f"{bound.name} judges whole runs: it can't be held against scores of dialogues")
    with blame(bound.name, f" on scenario {view.dialogue.scenario!r}"):
        value = bound.metric.score(RunView(iter([view])))
        return value if isinstance(value, Unscored) else float(value)


def _value(column: Column, value: Any, code: Any) -> float | Unscored:
    return Unscored(column.reason(int(code))) if code else float(value)


# -------------------------------------------------------------------------------------------------------------- agreement


class _Unit(msgspec.Struct, frozen=True):
    """One compared turn or dialogue."""

    human: float
    metric: float | Unscored
    system: str
    source: str


def _units(unit: Unit, aspect: str, dialogues: Sequence[Judged], values: Values) -> list[_Unit]:
    units = []
    for number, dialogue in enumerate(dialogues):
        if unit == "turn":
            row = values.turns[number] if values.turns is not None else []
            units += [
                _Unit(scores[aspect], row[turn], dialogue.system, dialogue.source)
                for turn, scores in enumerate(dialogue.turns)
                if aspect in scores
            ]
        elif given := _human(dialogue, aspect):
            units.append(_Unit(sum(given) / len(given), values.dialogues[number], dialogue.system, dialogue.source))
    return units


def _agreement(
    bound: BoundMetric,
    aspect: str,
    level: Level,
    dialogues: Sequence[Judged],
    used: Sequence[Judged],
    values: Values,
    *,
    resamples: int,
    seed: int,
) -> Agreement:
    unit: Unit = "turn" if values.turns is not None and level == "turn" else "dialogue"
    units = _units(unit, aspect, used, values)
    possible = _possible(unit, level, dialogues)
    scored = [(each, each.metric) for each in units if not isinstance(each.metric, Unscored)]
    metric, human = [value for _, value in scored], [each.human for each, _ in scored]
    sources = [each.source for each, _ in scored]
    names = (bound.name, f"the human score {aspect}")
    how: dict[str, Any] = {"names": names, "resamples": resamples, "seed": seed}
    notes = []
    if bound.metric.level == "run":
        notes.append("it is a metric of whole runs, computed here for each dialogue by itself")
    if unit == "dialogue" and level == "turn":
        notes.append("people scored turns: a dialogue counts with the mean over its labelled turns")
    return Agreement(
        metric=bound.name,
        aspect=aspect,
        unit=unit,
        higher_is_better=bound.metric.higher_is_better,
        n=len(scored),
        clusters=len(set(sources)),
        labelled=len(units),
        unlabelled=possible - len(units),
        unscored=dict(Counter(each.metric.reason for each in units if isinstance(each.metric, Unscored))),
        correlations=correlate(metric, human, sources, **how),
        ranking=correlate_groups(metric, human, [each.system for each, _ in scored], sources, **how),
        systems=_means(scored),
        notes=tuple(notes),
    )


def _possible(unit: Unit, level: Level, dialogues: Sequence[Judged]) -> int:
    """How many units people scored on some aspect of this level."""
    if unit == "turn":
        return sum(bool(turn) for dialogue in dialogues for turn in dialogue.turns)
    return sum(any(dialogue.turns) if level == "turn" else bool(dialogue.scores) for dialogue in dialogues)


def _means(scored: Sequence[tuple[_Unit, float]]) -> tuple[SystemMeans, ...]:
    by_system: dict[str, list[tuple[float, float]]] = {}
    for each, value in scored:
        by_system.setdefault(each.system, []).append((each.human, value))
    means = [
        SystemMeans(system, len(rows), sum(human for human, _ in rows) / len(rows), sum(value for _, value in rows) / len(rows))
        for system, rows in sorted(by_system.items())
    ]
    return tuple(sorted(means, key=lambda mean: -mean.human))
