"""Asking before recommending: the recommender `clarify`, the simulated user `impatient` and the metric `heeds`.

Only descriptors are here: a class is imported when a run names it.
"""

from collections.abc import Iterable

from harness import Component, hookimpl


@hookimpl
def harness_recommenders() -> Iterable[Component]:
    yield Component(
        "clarify",
        "harness_clarify.recommender:Clarify",
        summary="asks for a genre first, then recommends what has it",
        options="harness_clarify.recommender:Options",
    )


@hookimpl
def harness_simulators() -> Iterable[Component]:
    yield Component(
        "impatient",
        "harness_clarify.simulator:Impatient",
        summary="answers questions, takes what fits, leaves after a few bad lists",
        options="harness_clarify.simulator:Options",
        knowledge="profile",
    )


@hookimpl
def harness_metrics() -> Iterable[Component]:
    yield Component(
        "heeds",
        "harness_clarify.metric:Heeds",
        summary="share of a list that has what the seeker asked for and nothing it refused",
        options="harness_clarify.metric:Options",
    )
