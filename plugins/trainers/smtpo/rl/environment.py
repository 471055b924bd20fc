"""What a policy's play is asked: which dialogue was whose, and how good its lists were. It plays in `harness.rollouts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.api import DialogueRecord, Scenario
from harness.scenarios import derive_seed

from .rewards import ndcg

ENDED: Final = frozenset(("accepted", "quit"))
"""Stop reasons after which a dialogue keeps what its last list was worth."""


def dialogue_keys(scenarios: Iterable[Scenario], trials: int, seed: int) -> dict[int, tuple[str, int]]:
    """The recommender's seed in a dialogue -> (scenario id, trial): how a policy's calls find back to their dialogue."""
    return {
        derive_seed(seed, scenario.id, trial, "recommender", 0): (scenario.id, trial)
        for scenario in scenarios
        for trial in range(trials)
    }


def ndcg_by_turn(records: Mapping[tuple[str, int], DialogueRecord], turns: int, k: int = 10) -> NDArray[np.float64]:
    """NDCG@k [dialogues, turns], by key; after accept or quit the last list is carried, after a fault there is none."""
    table = np.zeros((len(records), turns))
    for row, key in enumerate(sorted(records)):
        record = records[key]
        values = [ndcg(turn.items, record.targets, k) for turn in record.turns[:turns]]
        table[row, : len(values)] = values
        if values and record.stop in ENDED:
            table[row, len(values) :] = values[-1]
    return table
