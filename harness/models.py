"""The language models of a run and of its judges: built from the configuration, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from harness.api import DialogueRecord, Usage
from harness.config import Asking, Choice, RunConfig, Transport
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.llm.layers import Layers

LOCAL: Final = 64
"""Dialogues in flight per local model; `HfOptions.max_batch` is as large."""


def layers_of(asking: Asking, transport: Transport) -> Layers:
    """What all models of a run share: purse, cache, gates. Raises UsageError for a bad limit, price file or cache."""
    from harness.llm.layers import Layers, Settings

    return Layers(
        Settings(
            concurrency=transport.at_once,
            retries=transport.transport_retries,
            backoff=transport.backoff,
            max_backoff=transport.max_backoff,
            rpm=asking.rpm,
            cache=asking.cache,
            cache_file=None if asking.cache_file is None else Path(asking.cache_file),
            max_cost=asking.max_cost,
            max_tokens=asking.max_tokens,
            prices=None if asking.prices is None else Path(asking.prices),
        )
    )


def build_models(
    config: RunConfig, layers: Layers | None = None, own: Mapping[str, str] | None = None
) -> tuple[Layers | None, dict[str, Any]]:
    """(layers, role -> ChatModel) for the roles that have a model. Raises UsageError or LlmError with what to set.

    `own` are the models that components bring along, by role: what the user chose goes before. A component's further models
    are "recommender/NAME" and "simulator/NAME".
    """
    chosen: dict[str, Choice] = {role: Choice(spec) for role, spec in (own or {}).items()}
    if config.rec_llm is not None:
        chosen["recommender"] = config.rec_llm
    if config.sim_llm is not None:
        if config.simulator is None:
            raise UsageError("--sim-llm was given, but there is no simulator in this run")
        chosen["simulator"] = config.sim_llm
    if not chosen:
        return None, {}
    from harness.llm.build import build

    layers = layers or layers_of(config.asking, config.transport)
    return layers, {role: build(choice.name, choice.options, layers) for role, choice in chosen.items()}


def gathering(config: RunConfig, own: Mapping[str, str]) -> RunConfig:
    """The configuration with as many dialogues in flight as pays, where the user said nothing: a model that is computed here
    answers all that wait in one batch, and while it does so, another one's dialogues wait for it."""
    specs = dict(own)
    specs.update(
        {role: c.name for role, c in (("recommender", config.rec_llm), ("simulator", config.sim_llm)) if c is not None}
    )
    computed = {spec for spec in specs.values() if spec.startswith("hf:")}
    if config.transport.concurrency is not None or not computed:
        return config
    transport = msgspec.structs.replace(config.transport, concurrency=LOCAL * len(computed))
    return msgspec.structs.replace(config, transport=transport)


def own_model(component: Any) -> str | None:
    """The model that a component brings along: what its `default_llm()` gives ("hf:FOLDER"), None without. Raises TypeError."""
    method = getattr(component, "default_llm", None)
    spec = method() if callable(method) else None
    if spec is not None and not isinstance(spec, str):
        raise TypeError(f"default_llm must give a text or None, not {type(spec).__name__}")
    return spec


def more_models(component: Any) -> dict[str, str]:
    """The further models that a component asks, by its names for them, as its `more_llms()` gives them. Raises TypeError."""
    method = getattr(component, "more_llms", None)
    specs = method() if callable(method) else {}
    if not isinstance(specs, Mapping) or not all(isinstance(text, str) for pair in specs.items() for text in pair):
        raise TypeError(f"more_llms must give names and models as texts, not {specs!r:.200}")
    return dict(specs)


def build_judge(config: RunConfig, layers: Layers | None = None) -> tuple[Layers | None, Any]:
    """(layers, the ChatModel of the judges), (layers, None) where none was chosen. Raises UsageError or LlmError."""
    if config.judge_llm is None:
        return layers, None
    from harness.llm.build import build

    layers = layers or layers_of(config.asking, config.transport)
    return layers, build(config.judge_llm.name, config.judge_llm.options, layers)


def charge(layers: Layers | None, records: Iterable[DialogueRecord]) -> None:
    """Count what earlier starts of a run have spent towards its limits."""
    if layers is None or not layers.budget.limited:
        return
    spent = Usage()
    for record in records:
        for turn in record.turns:
            for usage in (turn.recommender_usage, turn.simulator_usage):
                spent = spent + usage if usage is not None else spent
        for fault in record.faults:
            spent = spent + fault.usage if fault.usage is not None else spent
    layers.budget.tokens += spent.prompt_tokens + spent.completion_tokens
    layers.budget.cost += spent.cost
