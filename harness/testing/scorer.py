"""One metric under examination: made, prepared, and its values judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from harness.api import DialogueRecord, DialogueView, MetricSetup, RunView, Scenario, Split, TurnView, Unscored
from harness.judging import Judging, is_async
from harness.llm.api import ChatModel
from harness.results import popularity
from harness.testing.calls import snapshot
from harness.testing.clauses import Ledger, Stop, shown, told
from harness.testing.limited import OneThread, Overdue
from harness.testing.metricclauses import FAMILIES, LEVELS
from harness.testing.records import played
from harness.testing.world import World
from harness.views import dialogue_view


class Scorer:
    """One metric, the records that it is tried on, and what was found. Plain calls are made in one thread, as in a run; `close`
    ends it."""

    def __init__(
        self, ledger: Ledger, make: Callable[[], Any], world: World, model: ChatModel, judging: Judging, timeout: float
    ) -> None:
        self.ledger, self.make, self.world, self.model, self.judging = ledger, make, world, model, judging
        self.timeout, self.thread = timeout, OneThread()
        self.scenarios = {scenario.id: scenario for scenario in world.scenarios}
        self.records = played(world)
        self.mentions = popularity(Split("test", world.scenarios, world.training, world.catalogue))

    def close(self) -> None:
        """No more calls are made."""
        self.thread.close()

    def prepared(self, turns: int, k: int) -> Any:
        """A new instance, prepared for runs of that length."""
        ledger = self.ledger
        ledger.tried("made")
        try:
            metric, bare = (self.thread.call(None, self.make) for _ in range(2))
        except (Exception, SystemExit) as error:
            raise ledger.stop("made", told(error)) from error
        declares(ledger, metric)
        ledger.tried("prepares")
        counts = dict(self.mentions)
        for instance, mentions in ((bare, {}), (metric, counts)):
            try:
                setup = MetricSetup(self.world.catalogue, mentions, k, turns, k, self.model)
                self.thread.call(None, instance.prepare, setup)
            except (Exception, SystemExit) as error:
                raise ledger.stop("prepares", f"{'without' if mentions == {} else 'with'} popularity: {told(error)}") from error
        ledger.tried("leaves-input")
        if counts != self.mentions:
            ledger.breach("leaves-input", "prepare() changed setup.popularity")
        return metric

    def values(self, metric: Any, records: Sequence[DialogueRecord], turns: int) -> list[Any]:
        """A value per view, judged."""
        views = views_of(metric, records, self.scenarios, turns)
        values = [self.score(metric, view) for view in views]
        for view, value in zip(views, values, strict=True):
            self.judge(metric, view, value)
        return values

    def score(self, metric: Any, view: Any, clause: str = "no-exceptions") -> Any:
        """The value, or Unscored where it raised (which is told). Raises Stop where it hangs."""
        self.ledger.tried(clause)
        self.ledger.tried("in-time")
        before = b"" if isinstance(view, RunView) else snapshot(view)
        try:
            if is_async(metric.score):
                (value,) = self.judging.each("checked", metric.score, [(view,)], lambda _: where(view))
            else:
                value = self.thread.call(self.timeout, metric.score, view)
        except Overdue as error:
            raise self.ledger.stop("in-time", f"{where(view)}: {error}") from error
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            self.ledger.breach(clause, f"{where(view)}: {told(error)}")
            return Unscored("it raised")
        if before and snapshot(view) != before:
            self.ledger.breach("leaves-input", f"{where(view)}: score() changed the view")
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
                ledger.breach("unplayed", f"{where(view)}: {shown(value)} for a turn that was not played")
        else:
            ledger.skip("unplayed", "not a mean over turns")
        if isinstance(value, Unscored):
            if not isinstance(value.reason, str) or not value.reason.strip():
                ledger.breach("number", f"{where(view)}: Unscored without a reason")
        elif not isinstance(value, bool | int | float | np.number) or not math.isfinite(value):
            ledger.breach("number", f"{where(view)}: {shown(value)}")
        elif not metric.bounds[0] - 1e-9 <= value <= metric.bounds[1] + 1e-9:
            ledger.breach("bounds", f"{where(view)}: {value:g} is outside of {metric.bounds[0]:g} to {metric.bounds[1]:g}")


def declares(ledger: Ledger, metric: Any) -> None:
    """Has it what it needs, and does it say what it must? Raises Stop without."""
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
    if is_async(getattr(metric, "prepare", None)):
        problems.append("prepare() is async")
    for problem in problems:
        ledger.breach("declares", problem)
    if problems:
        raise Stop


def _is_range(bounds: Any) -> bool:
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        return False
    numbers = all(isinstance(b, int | float) and not isinstance(b, bool) and not math.isnan(b) for b in bounds)
    return numbers and bounds[0] < bounds[1]


def views_of(
    metric: Any, records: Iterable[DialogueRecord], scenarios: dict[str, Scenario] | None, turns: int
) -> list[TurnView | DialogueView | RunView]:
    """What the metric's level is handed for these records."""
    views = [dialogue_view(r, scenarios[r.scenario] if scenarios else None, turns) for r in records]
    if metric.level == "turn":
        return [turn for view in views for turn in view.turns]
    return list(views) if metric.level == "dialogue" else [RunView(iter(views))]


def where(view: Any) -> str:
    """How findings name a view."""
    if isinstance(view, RunView):
        return "the whole run"
    stop, turn = view.dialogue.stop, f", turn {view.turn}" if isinstance(view, TurnView) else ""
    return f"a dialogue that ended with {stop} after {len(view.dialogue.turns)} turns{turn}"


def alike(one: Any, other: Any) -> bool:
    """The same value to 1e-9, or both unscored."""
    if isinstance(one, Unscored) or isinstance(other, Unscored):
        return isinstance(one, Unscored) and isinstance(other, Unscored)
    try:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    except TypeError:
        return bool(one == other)
