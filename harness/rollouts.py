"""Playing in memory, for trainers: the evaluation's own runner, dialogue loop, simulator and leak gate, without a store.

Nothing of the loop is written here a second time: a rollout is a run whose recommender explores and remembers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from harness.api import DialogueRecord, Scenario, Split
from harness.assembly import Assembly
from harness.config import Choice, RunConfig, Transport
from harness.errors import HarnessError
from harness.runner import play


class Environment:
    """One split's scenarios and one prepared simulator. `name` is told in logs and cards."""

    def __init__(
        self, split: Split, simulator: Any, *, name: str, k: int = 10, concurrency: int = 64, timeout: float = 600.0
    ) -> None:
        self.name = name
        self.split = split
        self.k = k
        self.simulator = simulator
        self._transport = Transport(concurrency=concurrency, timeout=timeout)

    def play(
        self,
        recommender: Any,
        scenarios: Sequence[Scenario],
        *,
        turns: int,
        trials: int = 1,
        seed: int = 0,
        only: Collection[tuple[str, int]] | None = None,
    ) -> dict[tuple[str, int], DialogueRecord]:
        """(scenario id, trial) -> record, of every scenario and trial, or of `only` these. `recommender` is prepared already.

        Raises HarnessError where the transport failed for good or a dialogue was not finished: a step of training must not
        learn from a part of its batch.
        """
        records: dict[tuple[str, int], DialogueRecord] = {}

        def write(record: DialogueRecord) -> None:
            records[record.scenario, record.trial] = record

        every = {(scenario.id, trial) for scenario in scenarios for trial in range(trials)}
        left_out = set() if only is None else every - set(only)
        asyncio.run(play(self._assembly(recommender, scenarios, turns, trials, seed), left_out, write))
        for record in records.values():
            if not record.complete:
                reason = record.faults[-1].message if record.faults else record.stop
                raise HarnessError(f"a rollout was not finished ({record.stop}): {reason}")
        return records

    def _assembly(self, recommender: Any, scenarios: Sequence[Scenario], turns: int, trials: int, seed: int) -> Assembly:
        """What the runner reads. Names and descriptors of the parts are the command line's business, and unused here.

        Language models are not handed over: the runner would close them after each call, and the components hold them.
        """
        config = RunConfig(
            recommender=Choice("policy"),
            simulator=Choice(self.name),
            dataset=Choice("training"),
            split="train",
            turns=turns,
            k=self.k,
            success_k=self.k,
            trials=trials,
            seed=seed,
            transport=self._transport,
        )
        nobody: Any = None
        return Assembly(
            config=config,
            recommender=nobody,
            simulator=nobody,
            dataset=None,
            dataset_part=nobody,
            split=self.split,
            scenarios=scenarios,
            rows=len(scenarios),
            data_hash="",
            fields={},
            instances={"recommender": recommender, "simulator": self.simulator},
            prepared={"recommender", "simulator"},
        )
