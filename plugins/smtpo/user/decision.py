"""From what the model says of each shown item to accept, turn down, or neither: two thresholds on a calibrated probability.

The numbers are fitted on a validation split and stored as plain JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import msgspec

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Platt's scaling (1999) of the log-odds of Yes against No, and the thresholds.

    The defaults take the model at its word: accept what is likelier than not, turn down the rest.
    """

    slope: float = 1.0
    offset: float = 0.0
    accept: Probability = 0.5
    """The best shown item is accepted from this probability on."""
    keep: Probability = 0.5
    """Items below are turned down; those from here on may be shown again."""

    def probability(self, log_odds: float) -> float:
        """Calibrated probability that the item is what the seeker is after."""
        value = self.slope * log_odds + self.offset
        # Both branches keep exp() from overflowing.
        return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


class Verdict(msgspec.Struct, frozen=True):
    """Ids of shown items. `accepted` is empty or holds the best one; `rejected` are in the order shown."""

    accepted: tuple[str, ...]
    rejected: tuple[str, ...]


def decide(decision: Decision, judged: Mapping[str, float]) -> Verdict:
    """`judged` maps the shown items, best ranked first, to log-odds. Of equal items the higher ranked is accepted."""
    probabilities = {item: decision.probability(value) for item, value in judged.items()}
    best = max(probabilities, key=probabilities.__getitem__, default=None)
    if best is not None and probabilities[best] >= decision.accept:
        return Verdict((best,), ())
    return Verdict((), tuple(item for item, p in probabilities.items() if p < decision.keep))
