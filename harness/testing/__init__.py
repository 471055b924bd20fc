"""Conformance kit for plugin authors: does a component keep the protocol, and what is to be mended if not?

    from harness import testing

    def test_it_keeps_the_protocol():
        testing.check_recommender(lambda: Mine(Options())).raise_if_failed()

Everything is tried on a small world that needs no file; `check_installed` takes the name of an installed component and is
what `harness check` runs. Components are called through the same adapters and checks as in a run.
"""

from harness.testing.clauses import Clause, Finding, Report
from harness.testing.datasets import check_dataset
from harness.testing.installed import check_installed
from harness.testing.metrics import check_metric
from harness.testing.recommenders import check_recommender
from harness.testing.simulators import check_simulator
from harness.testing.trainers import check_trainer
from harness.testing.world import World, small_world, world_of

__all__ = [
    "Clause", "Finding", "Report", "World", "check_dataset", "check_installed", "check_metric", "check_recommender",
    "check_simulator", "check_trainer", "small_world", "world_of",
]  # fmt: skip
