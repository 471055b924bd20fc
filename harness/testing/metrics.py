"""The protocol's clauses for metrics."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from harness.api import DialogueRecord, DialogueView, MetricSetup, RunView, Scenario, Split, TurnView, Unscored
from harness.columns import BoundMetric
from harness.errors import ComponentFault, HarnessError, RefusedError, TransportError
from harness.llm.api import ChatModel
from harness.results import popularity
from harness.scoring import score_run
from harness.testing.calls import snapshot
from harness.testing.clauses import Clause, Ledger, Report, Stop, shown
from harness.testing.recommenders import type_name
from harness.testing.records import TURNS, K, best, played, worst
from harness.testing.stub import StubModel
from harness.testing.turns import told
from harness.testing.world import World, small_world
from harness.views import dialogue_view

LEVELS = ("turn", "dialogue", "run")
FAMILIES = ("ranking", "interaction", "recommender", "simulator", "cost", "judge")
CLAUSES = (
    Clause("made", "can be made from its options", "The class is called with one argument, its options (None without any)"),
    Clause(
        "declares",
        "declares level, family, direction and bounds",
        f"level: {', '.join(LEVELS)}; family: {', '.join(FAMILIES)}; higher_is_better: a bool; bounds: (least, largest), "
        'inf for none; over_turns, if given: "last" or "mean"',
    ),
    Clause("prepares", "prepare() works, also without training popularity", "prepare(setup) gets a harness.MetricSetup"),
    Clause(
        "no-exceptions", "raises nothing, however a dialogue went", "Return harness.Unscored(reason) where there is no value"
    ),
    Clause(
        "number",
        "gives a finite number or Unscored with a reason",
        "Never NaN, inf or None, and no 0 in place of a missing value: return harness.Unscored('why')",
    ),
    Clause("bounds", "stays within its bounds", "Mend the formula, or `bounds`: a run refuses values outside of them"),
    Clause(
        "unplayed",
        "a mean over turns leaves out turns that were not played",
        "With over_turns = 'mean' return Unscored for a TurnView whose `played` is False",
    ),
    Clause(
        "without-scenario",
        "copes with records alone",
        "view.scenario is None when only records are at hand: return harness.Unscored('needs the scenario')",
    ),
    Clause("streams", "reads a run's dialogues once", "RunView.dialogues is a stream: collect in one loop what you need"),
    Clause("empty-run", "copes with a run without dialogues", "Return harness.Unscored('no dialogues')"),
    Clause("scores-ranks", "score_ranks() agrees with score()", "Both must be the same function of the ranks, to 1e-9"),
    Clause("direction", "its direction is the one it declares", "`higher_is_better` is wrong, or the sign of the value"),
    Clause(
        "same-again",
        "equal dialogues get equal values, in any order and by any instance",
        "score must be a function of its view and of the setup",
    ),
    Clause("leaves-input", "changes nothing that it is handed", "Copy what you change"),
    Clause(
        "scores-a-run", "a whole run can be scored with it", "See the message; `harness score FOLDER --metric NAME` does this"
    ),
    Clause("has-value", "gives a value for some dialogue", "It said Unscored everywhere: see the reasons", must=False),
)


def check_metric(
    make: Callable[[], Any],
    *,
    name: str = "",
    world: World | None = None,
    llm: ChatModel | None = None,
) -> Report:
    """Try a metric against every clause that it can break, on made-up records of every course that a dialogue can take.

    `llm` is the language model of a judge, in place of a stub.
    """
    world = world or small_world()
    ledger = Ledger(CLAUSES)
    with suppress(Stop):
        _examine(ledger, make, world, llm or StubModel())
    return Report("metric", name or type_name(make), tuple(ledger.findings()), f"made-up records on {world.name}")


def _examine(ledger: Ledger, make: Callable[[], Any], world: World, llm: ChatModel) -> None:
    metric = _prepared(ledger, make, world, TURNS, K, llm)
    scenarios = {scenario.id: scenario for scenario in world.scenarios}
    records = played(world)
    values: list[Any] = []
    for turns, k in ((TURNS, K), (1, 5)):
        current = metric if turns == TURNS else _prepared(ledger, make, world, turns, k, llm)
        views = _views(current, records if turns == TURNS else played(world, turns, k), scenarios, turns)
        found = [_score(ledger, current, view, "no-exceptions") for view in views]
        values = values or found
        for view, value in zip(views, found, strict=True):
            _judge(ledger, current, view, value)
    ledger.tried("has-value")
    if all(isinstance(value, Unscored) for value in values):
        reasons = dict.fromkeys(value.reason for value in values)
        ledger.breach("has-value", f"Unscored everywhere: {'; '.join(reasons)}")
    for view in _views(metric, records, None, TURNS):
        ledger.tried("without-scenario")
        value = _score(ledger, metric, view, "without-scenario")
        _judge(ledger, metric, view, value)
    _again(ledger, make, world, metric, records, values, llm)
    _run(ledger, metric, records, scenarios)
    _ranks(ledger, metric, records, scenarios)
    _direction(ledger, metric, world, scenarios)
    _whole(ledger, make, records, scenarios, world, llm)


def _prepared(ledger: Ledger, make: Callable[[], Any], world: World, turns: int, k: int, llm: ChatModel) -> Any:
    ledger.tried("made")
    try:
        metric, bare = make(), make()
    except Exception as error:
        raise ledger.stop("made", told(error)) from error
    _declares(ledger, metric)
    ledger.tried("prepares")
    counts = popularity(_split(world))
    before = dict(counts)
    for instance, mentions in ((bare, {}), (metric, counts)):
        try:
            instance.prepare(MetricSetup(world.catalogue, mentions, k, turns, k, llm))
        except Exception as error:
            raise ledger.stop("prepares", f"{'without' if mentions == {} else 'with'} popularity: {told(error)}") from error
    ledger.tried("leaves-input")
    if counts != before:
        ledger.breach("leaves-input", "prepare() changed setup.popularity")
    return metric


def _split(world: World) -> Split:
    return Split("test", world.scenarios, world.training, world.catalogue)


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


def _score(ledger: Ledger, metric: Any, view: Any, clause: str) -> Any:
    """The value, or Unscored where it raised (which is told)."""
    ledger.tried(clause)
    before = b"" if isinstance(view, RunView) else snapshot(view)
    try:
        value = metric.score(view)
        if inspect.iscoroutine(value):
            value = asyncio.run(_judged(value))
    except Exception as error:  # noqa: BLE001  a stranger's code
        ledger.breach(clause, f"{_where(view)}: {told(error)}")
        return Unscored("it raised")
    if before and snapshot(view) != before:
        ledger.breach("leaves-input", f"{_where(view)}: score() changed the view")
    return value


async def _judged(answer: Coroutine[Any, Any, Any]) -> Any:
    """What the core makes of a judge's answer: the failures of models are no exceptions."""
    try:
        return await answer
    except (TransportError, RefusedError, ComponentFault) as error:
        return Unscored(told(error))


def _judge(ledger: Ledger, metric: Any, view: Any, value: Any) -> None:
    for clause in ("number", "bounds"):
        ledger.tried(clause)
    unplayed = isinstance(view, TurnView) and not view.played
    if getattr(metric, "over_turns", "last") == "mean" and metric.level == "turn":
        ledger.tried("unplayed")
        failed = isinstance(view, TurnView) and view.turn == len(view.dialogue.turns) + 1 and view.dialogue.faults
        if unplayed and not failed and not isinstance(value, Unscored):
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


def _again(
    ledger: Ledger,
    make: Callable[[], Any],
    world: World,
    metric: Any,
    records: Sequence[DialogueRecord],
    values: list[Any],
    llm: ChatModel,
) -> None:
    """A new instance sees the dialogues in the other order."""
    ledger.tried("same-again")
    scenarios = {scenario.id: scenario for scenario in world.scenarios}
    fresh = _prepared(ledger, make, world, TURNS, K, llm)
    views = _views(fresh, records[::-1], scenarios, TURNS)
    back = [_score(ledger, fresh, view, "no-exceptions") for view in views]
    if metric.level == "turn":  # dialogues in the other order, turns of one in the same
        rows = [back[n : n + TURNS] for n in range(0, len(back), TURNS)][::-1]
        back = [value for row in rows for value in row]
    else:
        back = back[::-1]
    for view, one, other in zip(_views(metric, records, scenarios, TURNS), values, back, strict=True):
        if not _close(one, other):
            ledger.breach("same-again", f"{_where(view)}: {shown(one)}, then {shown(other)}")


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, Unscored) or isinstance(other, Unscored):
        return isinstance(one, Unscored) and isinstance(other, Unscored)
    try:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    except TypeError:
        return bool(one == other)


def _run(ledger: Ledger, metric: Any, records: Sequence[DialogueRecord], scenarios: dict[str, Scenario]) -> None:
    if metric.level != "run":
        ledger.skip("streams", "not a metric of whole runs")
        ledger.skip("empty-run", "not a metric of whole runs")
        return
    ledger.tried("streams")
    views = [dialogue_view(r, scenarios[r.scenario], TURNS) for r in records]
    once = _score(ledger, metric, RunView(iter(views)), "no-exceptions")
    listed = _score(ledger, metric, RunView(views), "no-exceptions")
    if not _close(once, listed):
        ledger.breach("streams", f"{shown(once)} for a stream, {shown(listed)} for a list that can be read twice")
    _judge(ledger, metric, RunView([]), _score(ledger, metric, RunView([]), "empty-run"))


def _ranks(ledger: Ledger, metric: Any, records: Sequence[DialogueRecord], scenarios: dict[str, Scenario]) -> None:
    if not hasattr(metric, "score_ranks") or metric.level != "turn":
        ledger.skip("scores-ranks", "it has no score_ranks()")
        return
    ledger.tried("scores-ranks")
    views = [v for v in _views(metric, records, scenarios, TURNS) if isinstance(v, TurnView)]
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
    except Exception as error:  # noqa: BLE001  a stranger's code
        ledger.breach("scores-ranks", told(error))
        return
    for view, row in zip(views, rows, strict=True):
        single = _score(ledger, metric, view, "no-exceptions")
        if not _close(single, row):
            ledger.breach("scores-ranks", f"ranks {view.ranks}: score gives {shown(single)}, score_ranks {shown(row)}")


def _direction(ledger: Ledger, metric: Any, world: World, scenarios: dict[str, Scenario]) -> None:
    if metric.family not in ("ranking", "interaction") or metric.level == "run":
        ledger.skip("direction", "only tried for ranking and interaction")
        return
    ledger.tried("direction")
    good, bad = (
        _score(ledger, metric, _views(metric, [record], scenarios, TURNS)[-1], "no-exceptions")
        for record in (best(world), worst(world))
    )
    if isinstance(good, Unscored) or isinstance(bad, Unscored) or ledger.broken("number"):
        return
    if (good < bad) if metric.higher_is_better else (good > bad):
        ledger.breach("direction", f"{good:g} with the targets on top of the first list, {bad:g} without any target")


def _whole(
    ledger: Ledger,
    make: Callable[[], Any],
    records: Sequence[DialogueRecord],
    scenarios: dict[str, Scenario],
    world: World,
    llm: ChatModel,
) -> None:
    """Through the core's own scoring."""
    if ledger.broken("no-exceptions", "number", "bounds", "scores-ranks"):
        ledger.skip("scores-a-run", "not tried, because of what failed above")
        return
    ledger.tried("scores-a-run")
    setup = MetricSetup(world.catalogue, popularity(_split(world)), K, TURNS, K, llm)
    try:
        score_run(records, [BoundMetric("checked", make())], setup, scenarios, resamples=50)
        score_run(records, [BoundMetric("checked", make())], setup, None, resamples=50)
    except HarnessError as error:
        ledger.breach("scores-a-run", told(error))
