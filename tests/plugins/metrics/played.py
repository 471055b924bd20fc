"""Small recorded dialogues for the metric tests."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from harness.api import (
    AttemptRecord,
    Catalogue,
    DialogueRecord,
    DialogueView,
    Item,
    MetricSetup,
    Need,
    RunView,
    Scenario,
    TurnRecord,
    Unscored,
)
from harness.views import dialogue_view
from harness_plugins.metrics import harness_metrics

CATALOGUE = Catalogue(
    (
        Item("a", "Alpha", attributes={"genre": ("horror",), "director": ("Ann Lee",)}),
        Item("b", "Beta", attributes={"genre": ("horror", "comedy"), "director": ("Ann Lee",)}),
        Item("c", "Gamma", attributes={"genre": ("western",)}),
        Item("d", "Delta", attributes={"genre": ("comedy",), "director": ("Bo Quill",)}),
        Item("e", "Epsilon"),
    )
)


def make(name: str, **options: Any) -> Any:
    """A metric by its registered name."""
    component = next(c for c in harness_metrics() if c.name == name)

    def find(target: str) -> Any:
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    return find(component.target)(find(component.options)(**options) if component.options else None)


def setup(
    k: int = 5, max_turns: int = 3, popularity: dict[str, int] | None = None, catalogue: Catalogue = CATALOGUE
) -> MetricSetup:
    return MetricSetup(catalogue, popularity or {}, k, max_turns)


def dialogue(
    *turns: TurnRecord | str,
    targets: Iterable[str] = ("a",),
    stop: str | None = None,
    max_turns: int = 3,
    name: str = "s",
    fault: int = 0,
    **fields: Any,
) -> DialogueRecord:
    """A record; a text such as "abx" is a turn that listed the items a, b and x."""
    played = tuple(TurnRecord("text", tuple(turn)) if isinstance(turn, str) else turn for turn in turns)
    if fault:
        stop, fields["faults"] = "recommender_fault", (AttemptRecord("recommender", "exception", "boom", turn=fault),)
    stop = stop or ("max_turns" if len(played) >= max_turns else "accepted")
    return DialogueRecord(name, fields.pop("source", name), 0, stop, tuple(targets), played, **fields)


def view(record: DialogueRecord, scenario: Scenario | None = None, max_turns: int = 3) -> DialogueView:
    return dialogue_view(record, scenario, max_turns)


def per_turn(metric: Any, record: DialogueRecord, scenario: Scenario | None = None, **settings: Any) -> list[float | None]:
    """The values of a turn-level metric; None where it is unscored."""
    metric.prepare(setup(**settings))
    values = [metric.score(turn) for turn in view(record, scenario, settings.get("max_turns", 3)).turns]
    return [None if isinstance(value, Unscored) else value for value in values]


def whole(metric: Any, *records: DialogueRecord, scenario: Scenario | None = None, **settings: Any) -> float | None:
    """The value of a dialogue- or run-level metric; None where it is unscored."""
    metric.prepare(setup(**settings))
    views = [view(record, scenario, settings.get("max_turns", 3)) for record in records]
    value = metric.score(RunView(iter(views)) if metric.level == "run" else views[0])
    return None if isinstance(value, Unscored) else value


def scenario(context: Iterable[Any] = (), *, targets: Iterable[str] = ("a",), **need: Any) -> Scenario:
    return Scenario("s", "s", tuple(context), Need(tuple(targets), **need))
