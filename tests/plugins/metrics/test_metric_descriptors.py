"""Every metric is what its descriptor says, and has what the core asks of a metric."""

from __future__ import annotations

import importlib
from typing import Any

import msgspec
import pytest

from harness.api import Component, Metric
from harness_plugins.metrics import harness_metrics

COMPONENTS = list(harness_metrics())


def resolve(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_a_metric_can_be_made_from_its_defaults(component: Component):
    options = msgspec.convert({}, resolve(component.options)) if component.options else None
    metric = resolve(component.target)(options)
    assert isinstance(metric, Metric)
    assert metric.level in ("turn", "dialogue", "run")
    assert metric.family in ("ranking", "interaction", "recommender", "simulator", "cost", "judge")
    low, high = metric.bounds
    assert low < high


@pytest.mark.parametrize("name", ["hr", "recall", "ndcg", "mrr", "success", "sr", "at", "interaction-gain"])
def test_the_cut_off_is_a_whole_number_from_one(name: str):
    options = resolve(next(c.options for c in COMPONENTS if c.name == name))
    assert msgspec.convert({"k": "7"}, options, strict=False).k == 7
    for wrong in ("0", "-1", "many"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"k": wrong}, options, strict=False)


def test_names_are_unique():
    names = [component.name for component in COMPONENTS]
    assert len(set(names)) == len(names)
