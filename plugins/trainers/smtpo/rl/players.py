"""The simulators that a training plays against: the one that it learns with, and one that it never learns with."""

from __future__ import annotations

from typing import Any

from harness.api import SimulatorSetup
from harness.rollouts import Environment

from ..context import StageContext


def environments(context: StageContext, held_out: str, *, default: str = "smtpo-sft", max_turns: int = 5) -> list[Environment]:
    """[to learn with, held out]. The first is the user's choice, else `default`: `smtpo-sft` with the simulator that this
    training made. An empty `held_out` is `rule`, or `exclude-only` where that is what is learned with."""
    name, options = context.simulator or (default, {})
    options = dict(options)
    if context.simulator is None and name == "smtpo-sft":
        options["artifact"] = str(context.artifact("simulator"))
    other = held_out or ("exclude-only" if name == "rule" else "rule")
    learned = _prepared(context, name, options, max_turns, context.simulator_llm)
    return [
        Environment(context.train, learned, name=name),
        Environment(context.train, _prepared(context, other, {}, max_turns, None), name=other),
    ]


def _prepared(context: StageContext, name: str, options: dict[str, Any], max_turns: int, llm: Any) -> Any:
    simulator = context.resources.simulator(name, options)
    default = getattr(simulator, "default_llm", None)
    if llm is None and default is not None and (spec := default()) is not None:
        llm = context.resources.model(spec)
    if hasattr(simulator, "prepare"):
        train = context.train
        simulator.prepare(SimulatorSetup(train.catalogue, tuple(train.training), max_turns, context.seed, None, llm))
    return simulator
