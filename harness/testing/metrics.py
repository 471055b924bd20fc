"""The protocol's clauses for metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from harness.api import DialogueRecord, DialogueView, MetricSetup, RunView, Scenario, Split, TurnView, Unscored
from harness.columns import BoundMetric
from harness.config import Transport
from harness.errors import HarnessError
from harness.judging import Judging, is_async
from harness.llm.api import ChatModel
from harness.results import popularity
from harness.scoring import score_run
from harness.testing.calls import snapshot
from harness.testing.clauses import Ledger, Report, Stop, shown
from harness.testing.metricclauses import CLAUSES, FAMILIES, LEVELS
from harness.testing.recommenders import tried_on, type_name
from harness.testing.records import TURNS, K, best, played, worst
from harness.testing.stub import StubModel
from harness.testing.turns import told
from harness.testing.world import World, small_world
from harness.views import dialogue_view


def check_metric(
    make: Callable[[], Any],
    *,
    name: str = "",
    world: World | None = None,
    timeout: float = Transport().timeout,
    llm: ChatModel | None = None,
) -> Report:
    """Try a metric against every clause that it can break, on made-up records of every course that a dialogue can take.

    `llm` is the language model of a judge, in place of a stub, and `timeout` (seconds) the limit of each of its judgements.
    """
    world, model = world or small_world(), llm or StubModel()
    ledger = Ledger(CLAUSES)
    with suppress(Stop), Judging(timeout=timeout, closing=[model.close]) as judging:
        _Examination(ledger, make, world, model, judging).run()
    return Report("metric", name or type_name(make), tuple(ledger.findings()), f"made-up records on {tried_on(world, model)}")


class _Examination:
    """One metric, the records that it is tried on, and what was found."""

    def __init__(self, ledger: Ledger, make: Callable[[], Any], world: World, model: ChatModel, judging: Judging) -> None:
        self.ledger, self.make, self.world, self.model, self.judging = ledger, make, world, model, judging
        self.scenarios = {scenario.id: scenario for scenario in world.scenarios}
        self.records = played(world)
        self.mentions = popularity(Split("test", world.scenarios, world.training, world.catalogue))

    def run(self) -> None:
        """Try everything; raises Stop when nothing more can be tried."""
        metric = self.prepared(TURNS, K)
        values = self.values(metric, self.records, TURNS)
        self.values(self.prepared(1, 5), played(self.world, 1, 5), 1)
        self.ledger.tried("has-value")
        if all(isinstance(value, Unscored) for value in values) and not hasattr(metric, "prefer"):
            reasons = dict.fromkeys(value.reason for value in values)
            self.ledger.breach("has-value", f"Unscored everywhere: {'; '.join(reasons)}")
        for view in _views(metric, self.records, None, TURNS):
            self.judge(metric, view, self.score(metric, view, "without-scenario"))
        self.again(metric, values)
        self.whole_runs(metric)
        self.ranks(metric)
        self.direction(metric)
        self.pairs(metric)
        self.core()

    def prepared(self, turns: int, k: int) -> Any:
        """A new instance, prepared for runs of that length."""
        ledger = self.ledger
        ledger.tried("made")
        try:
            metric, bare = self.make(), self.make()
        except (Exception, SystemExit) as error:
            raise ledger.stop("made", told(error)) from error
        _declares(ledger, metric)
        ledger.tried("prepares")
        counts = dict(self.mentions)
        for instance, mentions in ((bare, {}), (metric, counts)):
            try:
                instance.prepare(MetricSetup(self.world.catalogue, mentions, k, turns, k, self.model))
            except (Exception, SystemExit) as error:
                raise ledger.stop("prepares", f"{'without' if mentions == {} else 'with'} popularity: {told(error)}") from error
        ledger.tried("leaves-input")
        if counts != self.mentions:
            ledger.breach("leaves-input", "prepare() changed setup.popularity")
        return metric

    def values(self, metric: Any, records: Sequence[DialogueRecord], turns: int) -> list[Any]:
        """A value per view, judged."""
        views = _views(metric, records, self.scenarios, turns)
        values = [self.score(metric, view) for view in views]
        for view, value in zip(views, values, strict=True):
            self.judge(metric, view, value)
        return values

    def score(self, metric: Any, view: Any, clause: str = "no-exceptions") -> Any:
        """The value, or Unscored where it raised (which is told)."""
        self.ledger.tried(clause)
        before = b"" if isinstance(view, RunView) else snapshot(view)
        try:
            if is_async(metric.score):
                (value,) = self.judging.each("checked", metric.score, [(view,)], lambda _: _where(view))
            else:
                value = metric.score(view)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            self.ledger.breach(clause, f"{_where(view)}: {told(error)}")
            return Unscored("it raised")
        if before and snapshot(view) != before:
            self.ledger.breach("leaves-input", f"{_where(view)}: score() changed the view")
        return value

    def judge(self, metric: Any, view: Any, value: Any) -> None:
        """Is it a number, within its bounds, and of a turn that was played?"""
        ledger = self.ledger
        for clause in ("number", "bounds"):
            ledger.tried(clause)
        if getattr(metric, "over_turns", "last") == "mean" and metric.level == "turn":
            ledger.tried("unplayed")
            # The turn of a recommender's fault was not played, and yet a metric of faults may count it.
            failed = view.turn == len(view.dialogue.turns) + 1 and view.dialogue.faults
            if not view.played and not failed and not isinstance(value, Unscored):
                ledger.breach("unplayed", f"{_where(view)}: {shown(value)} for a turn that was not played")
        else:
            ledger.skip("unplayed", "not a mean over turns")
        if isinstance(value, Unscored):
            if not isinstance(value.reason, str) or not value.reason.strip():
                ledger.breach("number", f"{_where(view)}: Unscored without a reason")
        elif not isinstance(value, bool | int | float | np.number) or not math.isfinite(value):
            ledger.breach("number", f"{_where(view)}: {shown(value)}")
        elif not metric.bounds[0] - 1e-9 <= value <= metric.bounds[1] + 1e-9:
            ledger.breach("bounds", f"{_where(view)}: {value:g} is outside of {metric.bounds[0]:g} to {metric.bounds[1]:g}")

    def again(self, metric: Any, values: Sequence[Any]) -> None:
        """A new instance sees the dialogues in the other order."""
        self.ledger.tried("same-again")
        fresh = self.prepared(TURNS, K)
        back = [self.score(fresh, view) for view in _views(fresh, self.records[::-1], self.scenarios, TURNS)]
        width = TURNS if metric.level == "turn" else 1  # dialogues in the other order, turns of one in the same
        rows = [back[n : n + width] for n in range(0, len(back), width)][::-1]
        views = _views(metric, self.records, self.scenarios, TURNS)
        for view, one, other in zip(views, values, [value for row in rows for value in row], strict=True):
            if not _close(one, other):
                self.ledger.breach("same-again", f"{_where(view)}: {shown(one)}, then {shown(other)}")

    def whole_runs(self, metric: Any) -> None:
        """A run's dialogues come as a stream, and there may be none."""
        ledger = self.ledger
        if metric.level != "run":
            for clause in ("streams", "empty-run"):
                ledger.skip(clause, "not a metric of whole runs")
            return
        ledger.tried("streams")
        views = [dialogue_view(record, self.scenarios[record.scenario], TURNS) for record in self.records]
        once, listed = self.score(metric, RunView(iter(views))), self.score(metric, RunView(views))
        if not _close(once, listed):
            ledger.breach("streams", f"{shown(once)} for a stream, {shown(listed)} for a list that can be read twice")
        self.judge(metric, RunView([]), self.score(metric, RunView([]), "empty-run"))

    def ranks(self, metric: Any) -> None:
        """`score_ranks` against `score`."""
        ledger = self.ledger
        if not hasattr(metric, "score_ranks") or metric.level != "turn":
            ledger.skip("scores-ranks", "it has no score_ranks()")
            return
        ledger.tried("scores-ranks")
        views = [v for v in _views(metric, self.records, self.scenarios, TURNS) if isinstance(v, TurnView)]
        widest = max(len(view.ranks) for view in views) + 1
        ranks = np.array([view.ranks + (0,) * (widest - len(view.ranks)) for view in views], dtype=np.int64)
        targets = np.array([len(view.ranks) for view in views], dtype=np.int64)
        given = ranks.copy(), targets.copy()
        try:
            values = metric.score_ranks(*given)
            if not np.array_equal(given[0], ranks) or not np.array_equal(given[1], targets):
                ledger.breach("leaves-input", "score_ranks() changed its arrays")
            if not isinstance(values, Unscored) and np.shape(values) != (len(views),):
                ledger.breach("scores-ranks", f"{len(views)} lists gave an array of shape {np.shape(values)}")
                return
            rows = [values] * len(views) if isinstance(values, Unscored) else [float(value) for value in values]
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("scores-ranks", told(error))
            return
        for view, row in zip(views, rows, strict=True):
            single = self.score(metric, view)
            if not _close(single, row):
                ledger.breach("scores-ranks", f"ranks {view.ranks}: score gives {shown(single)}, score_ranks {shown(row)}")

    def direction(self, metric: Any) -> None:
        """Is the best dialogue better than the worst?"""
        ledger = self.ledger
        if metric.family not in ("ranking", "interaction") or metric.level == "run":
            ledger.skip("direction", "only tried for ranking and interaction")
            return
        ledger.tried("direction")
        good, bad = (
            self.score(metric, _views(metric, [record], self.scenarios, TURNS)[-1])
            for record in (best(self.world), worst(self.world))
        )
        if isinstance(good, Unscored) or isinstance(bad, Unscored) or ledger.broken("number"):
            return
        if (good < bad) if metric.higher_is_better else (good > bad):
            ledger.breach("direction", f"{good:g} with the targets on top of the first list, {bad:g} without any target")

    def pairs(self, metric: Any) -> None:
        """A judge of pairs."""
        ledger = self.ledger
        if not hasattr(metric, "prefer"):
            ledger.skip("prefers", "not a judge of pairs")
            return
        ledger.tried("prefers")
        views = [dialogue_view(r, self.scenarios[r.scenario], TURNS) for r in (best(self.world), worst(self.world))]
        try:
            answers = self.judging.each("checked", metric.prefer, [tuple(views), tuple(views[::-1])], lambda _: "a pair")
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("prefers", told(error))
            return
        for answer in answers:
            if not isinstance(answer, Unscored) and answer not in ("first", "second", "tie"):
                ledger.breach("prefers", f"it says {shown(answer)}")
        if all(isinstance(answer, Unscored) for answer in answers):
            ledger.breach("has-value", f"Unscored for pairs: {answers[0].reason}")

    def core(self) -> None:
        """Through the core's own scoring."""
        ledger = self.ledger
        if ledger.broken("no-exceptions", "number", "bounds", "scores-ranks"):
            ledger.skip("scores-a-run", "not tried, because of what failed above")
            return
        ledger.tried("scores-a-run")
        setup = MetricSetup(self.world.catalogue, self.mentions, K, TURNS, K, self.model)
        try:
            for scenarios in (self.scenarios, None):
                bound = BoundMetric("checked", self.make())
                score_run(self.records, [bound], setup, scenarios, judging=self.judging, resamples=50)
        except HarnessError as error:
            ledger.breach("scores-a-run", told(error))


def _declares(ledger: Ledger, metric: Any) -> None:
    ledger.tried("declares", f"{getattr(metric, 'level', '?')} level, family {getattr(metric, 'family', '?')}")
    problems = []
    level, family = getattr(metric, "level", None), getattr(metric, "family", None)
    bounds, direction = getattr(metric, "bounds", None), getattr(metric, "higher_is_better", None)
    if level not in LEVELS:
        problems.append(f"level is {shown(level)}")
    if family not in FAMILIES:
        problems.append(f"family is {shown(family)}")
    if not isinstance(direction, bool):
        problems.append(f"higher_is_better is {shown(direction)}")
    if not _is_range(bounds):
        problems.append(f"bounds is {shown(bounds)}")
    if getattr(metric, "over_turns", "last") not in ("last", "mean"):
        problems.append(f"over_turns is {shown(metric.over_turns)}")
    problems += [f"it has no {method}()" for method in ("prepare", "score") if not callable(getattr(metric, method, None))]
    for problem in problems:
        ledger.breach("declares", problem)
    if problems:
        raise Stop


def _is_range(bounds: Any) -> bool:
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        return False
    numbers = all(isinstance(b, int | float) and not isinstance(b, bool) and not math.isnan(b) for b in bounds)
    return numbers and bounds[0] < bounds[1]


def _views(
    metric: Any, records: Iterable[DialogueRecord], scenarios: dict[str, Scenario] | None, turns: int
) -> list[TurnView | DialogueView | RunView]:
    """What the metric's level is handed for these records."""
    views = [dialogue_view(r, scenarios[r.scenario] if scenarios else None, turns) for r in records]
    if metric.level == "turn":
        return [turn for view in views for turn in view.turns]
    return list(views) if metric.level == "dialogue" else [RunView(iter(views))]


def _where(view: Any) -> str:
    if isinstance(view, RunView):
        return "the whole run"
    stop, turn = view.dialogue.stop, f", turn {view.turn}" if isinstance(view, TurnView) else ""
    return f"a dialogue that ended with {stop} after {len(view.dialogue.turns)} turns{turn}"


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, Unscored) or isinstance(other, Unscored):
        return isinstance(one, Unscored) and isinstance(other, Unscored)
    try:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    except TypeError:
        return bool(one == other)
