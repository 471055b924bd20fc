"""Items that have what the seeker asks for and lack what the seeker refuses."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Conversation, RecommenderSetup

from .base import CatalogueScorer
from .evidence import ListOptions
from .topk import Scores


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How stated attributes are weighed."""

    weighting: Annotated[
        Literal["idf", "equal"],
        msgspec.Meta(
            description="idf: rare values count more, log((items + 1) / (items with the value + 1)); equal: each counts 1"
        ),
    ] = "idf"
    disliked: Annotated[float, msgspec.Meta(ge=0, description="weight of an unwanted value against a wanted one")] = 1.0
    feedback: Annotated[
        float, msgspec.Meta(ge=0, description="weight of what is said in answer to a recommendation, against the rest")
    ] = 1.0


class AttributeMatch(CatalogueScorer):
    """Adds up the values that the seeker's messages name: wanted minus unwanted, the last word on a value counts.

    Values are found in the text as written in the catalogue; polarity is read from negation cues.
    """

    _rows: dict[tuple[str, str], NDArray[np.int64]]

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options

    def fit(self, setup: RecommenderSetup) -> None:
        holders: dict[tuple[str, str], list[int]] = {}
        for row, item in enumerate(setup.catalogue):
            for facet, values in item.attributes.items():
                for value in dict.fromkeys(values):
                    holders.setdefault((facet, value), []).append(row)
        self._rows = {key: np.array(rows, dtype=np.int64) for key, rows in holders.items()}

    def scores(self, conversation: Conversation) -> Scores:
        total = np.zeros(len(self.reader.catalogue))
        for statement, feedback in self.reader.statements(conversation):
            rows = self._rows[statement.facet, statement.value]
            weight = 1.0 if statement.polarity > 0 else -self._options.disliked
            if self._options.weighting == "idf":
                weight *= math.log((len(total) + 1) / (len(rows) + 1))
            total[rows] += weight * self._options.feedback if feedback else weight
        return total

    def because(self, conversation: Conversation, best: int) -> str | None:
        return self.reader.asked_for(conversation, best)
