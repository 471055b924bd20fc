"""From recorded dialogues to scores: per-dialogue rows (scores.jsonl) and a summary (summary.json).

Nothing is played here and nothing that a simulator said is trusted: ranking metrics come from the recorded lists and the
hidden targets. Dialogues stream through in chunks; what stays in memory is a few numbers per dialogue and metric.

Three numbers that must not be confused (protocol, section 4):
macro - the mean over scenarios, trials averaged within a scenario first;
micro - the mean over labels, each (scenario, label) scored as if it were the only target;
best so far - the best value that a dialogue had reached by a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from harness.api import DialogueRecord, DialogueView, MetricSetup, RunView, Scenario, Unscored, Usage
from harness.columns import BoundMetric, Chunk, Column, Flags, as_number, blame, check_bounds
from harness.errors import DataError, UsageError
from harness.judging import Judging, is_async
from harness.statistics import RESAMPLES
from harness.summary import Outcome, Reading, Run, RunValue, summarise
from harness.views import dialogue_view, find_scenario, status, views

__all__ = ["BoundMetric", "Reading", "RunScores", "score_run"]

CHUNK = 256
"""Dialogues scored at once."""


class _Block:
    """Some rows of a column as plain lists: taking them out of arrays one by one took longer than scoring them."""

    def __init__(self, column: Column, rows: slice) -> None:
        self.column = column
        self.codes: list[int] = column.codes[rows].tolist()
        self.values: list[float] = column.values[rows].tolist()
        turns = column.level == "turn"
        self.turn_codes: list[list[int]] = column.turn_codes[rows].tolist() if turns else []
        self.turns: list[list[float]] = column.turns[rows].tolist() if turns else []


class RunScores:
    """What `score_run` found: `summary` (the content of summary.json) and `rows()` (the lines of scores.jsonl)."""

    def __init__(self, summary: dict[str, Any], columns: Sequence[Column], outcomes: Sequence[Outcome]) -> None:
        self.summary = summary
        self._columns = columns
        self._outcomes = outcomes

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict per dialogue, by scenario and trial; may be iterated again.

        `values` has a number or "unscored" per metric, `by_turn` a list of them per turn-level metric (up to the last turn
        that has a value or a reason other than not having been played), `unscored` and `unscored_by_turn` the reasons.
        Dialogues that are not valid have no values.
        """
        valid = 0
        block: list[_Block] = []
        for outcome in self._outcomes:
            row: dict[str, Any] = {
                "scenario": outcome.scenario,
                "trial": outcome.trial,
                "source": outcome.source,
                "stop": outcome.stop,
                "status": outcome.status,
            }
            if outcome.status != "valid":
                yield row
                continue
            at = valid % CHUNK
            if not at:
                block = [_Block(column, slice(valid, valid + CHUNK)) for column in self._columns]
            valid += 1
            row["values"], row["by_turn"], why, why_by_turn = {}, {}, {}, {}
            for part in block:
                column, code = part.column, part.codes[at]
                name = column.name
                row["values"][name] = "unscored" if code else part.values[at]
                if code:
                    why[name] = column.reason(code)
                if column.level == "turn":
                    codes, values = part.turn_codes[at], part.turns[at]
                    if column.over_turns == "mean":
                        codes = codes[: outcome.turns]
                    if not any(codes):
                        row["by_turn"][name] = values[: len(codes)]
                        continue
                    row["by_turn"][name] = ["unscored" if c else v for c, v in zip(codes, values, strict=False)]
                    why_by_turn[name] = {str(t): column.reason(c) for t, c in enumerate(codes, start=1) if c}
            if why:
                row["unscored"] = why
            if why_by_turn:
                row["unscored_by_turn"] = why_by_turn
            yield row


def score_run(
    records: Iterable[DialogueRecord],
    metrics: Sequence[BoundMetric],
    setup: MetricSetup,
    scenarios: Mapping[str, Scenario] | None = None,
    *,
    reading: Reading | None = None,
    judging: Judging | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RunScores:
    """Score recorded dialogues; `scenarios` by id (without them, metrics that need the hidden need say `unscored`).

    Every metric is prepared with `setup` first. `records` is iterated once, and once more for each run-level metric: pass a
    list or a reader that starts anew. A one-shot iterator is kept in memory when there are run-level metrics.

    An incomplete record is superseded by a complete one of the same scenario and trial. Raises DataError for two complete
    ones and for records that do not belong to `scenarios`, PluginError when a metric fails, UsageError for a wrong request.

    Metrics that ask a language model are awaited by `judging`, which stays open; BudgetExceeded ends the scoring.
    """
    judges = any(is_async(bound.metric.score) for bound in metrics)
    if judges and judging is None:
        with Judging() as own:
            return score_run(records, metrics, setup, scenarios, reading=reading, judging=own, resamples=resamples, seed=seed)
    reading = reading or Reading()
    names = [bound.name for bound in metrics]
    if len(set(names)) != len(names):
        raise UsageError(f"metric {next(n for n in names if names.count(n) > 1)!r} is asked for twice")
    absent = [name for name in reading.headline if name not in names]
    if absent:
        raise UsageError(f"headline metric {absent[0]!r} is not among the metrics: {', '.join(names)}")
    success_k = setup.k if reading.success_k is None else reading.success_k
    setup = msgspec.structs.replace(setup, success_k=success_k)
    for bound in metrics:
        with blame(bound.name):
            bound.metric.prepare(setup)
    columns = [Column(bound, judging) for bound in metrics if bound.metric.level != "run"]
    whole = [bound for bound in metrics if bound.metric.level == "run"]
    if whole and isinstance(records, Iterator):
        records = list(records)

    outcomes: dict[tuple[str, int], Outcome] = {}
    valid: list[tuple[str, int]] = []
    succeeded: list[Flags] = []
    usage = {"recommender": Usage(), "simulator": Usage()}
    seconds: dict[str, float] = {}
    waiting: list[DialogueView] = []

    def flush() -> None:
        if waiting:
            chunk = Chunk(waiting, success_k=success_k, read_at=reading.read_at)
            succeeded.append(chunk.success)
            for column in columns:
                column.add(chunk)
            waiting.clear()

    for record in records:
        _spent(record, usage, seconds)
        key = (record.scenario, record.trial)
        outcome = _outcome(record, setup.max_turns)
        earlier = outcomes.get(key)
        if earlier is not None and earlier.status != "incomplete":
            if outcome.status == "incomplete":
                continue
            raise DataError(f"scenario {record.scenario!r}, trial {record.trial}: two finished dialogues are recorded")
        outcomes[key] = outcome
        scenario = find_scenario(record, scenarios)
        if outcome.status == "valid":
            valid.append(key)
            waiting.append(dialogue_view(record, scenario, setup.max_turns))
            if len(waiting) == CHUNK:
                flush()
    flush()

    order = np.array(sorted(range(len(valid)), key=valid.__getitem__), dtype=np.int64)
    for column in columns:
        column.finish(order, setup.max_turns)
    lines = [outcomes[key] for key in sorted(outcomes)]
    values = [_run_value(bound, RunView(views(records, scenarios, setup.max_turns)), judging) for bound in whole]
    if judges and judging is not None:
        usage["judge"] = judging.usage
    run = Run(
        outcomes=lines,
        columns=columns,
        whole=values,
        names=names,
        success=np.concatenate(succeeded)[order] if succeeded else np.zeros(0, dtype=np.bool_),
        usage=usage,
        seconds=seconds,
    )
    return RunScores(summarise(run, setup, reading, resamples=resamples, seed=seed), columns, lines)


def _outcome(record: DialogueRecord, max_turns: int) -> Outcome:
    return Outcome(
        scenario=record.scenario,
        trial=record.trial,
        source=record.source,
        stop=record.stop,
        status=status(record),
        turns=min(len(record.turns), max_turns),
        simulator_faults=sum(fault.blame == "simulator" for fault in record.faults),
        leaks=sum(bool(turn.leaks) for turn in record.turns),
        injections=sum(turn.injection for turn in record.turns),
        seeker_injections=sum(turn.user_injection for turn in record.turns),
    )


def _spent(record: DialogueRecord, usage: dict[str, Usage], seconds: dict[str, float]) -> None:
    """What was paid is paid, whether the dialogue counts or not."""
    for turn in record.turns:
        if turn.recommender_usage is not None:
            usage["recommender"] += turn.recommender_usage
        if turn.simulator_usage is not None:
            usage["simulator"] += turn.simulator_usage
    for fault in record.faults:
        if fault.usage is not None:
            usage[fault.role] += fault.usage
    for role, spent in record.seconds.items():
        seconds[role] = seconds.get(role, 0.0) + spent


def _run_value(bound: BoundMetric, view: RunView, judging: Judging | None) -> RunValue:
    with blame(bound.name):
        if judging is not None and is_async(bound.metric.score):
            value = judging.each(bound.name, bound.metric.score, [(view,)], lambda row: "the run")[0]
        else:
            value = bound.metric.score(view)
    if not isinstance(value, Unscored):
        value = as_number(bound.name, value)
        if not np.isfinite(value):
            value = Unscored("the metric gave a value that is not finite")
        else:
            check_bounds(bound.name, bound.metric, np.array([value]))
    return RunValue(bound.name, bound.metric.family, bound.metric.higher_is_better, value)
