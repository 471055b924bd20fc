"""What the recommenders that score the whole catalogue share: exclusion, ties, the list and the reply.

A subclass writes `fit` (once) and `scores` (one float64 vector per conversation, catalogue order). Each row of a vector depends
on its conversation alone, so no result depends on the company it is computed in.
"""

from __future__ import annotations

import numpy as np

from harness.api import Conversation, Recommendation, RecommenderSetup

from .evidence import ListOptions, excluded_ids, known_rows
from .reading import Reader
from .reply import QUESTION, reply
from .topk import Positions, Scores, top_k
from .training import popularity_order


class CatalogueScorer:
    """Base of the scoring recommenders.

    Items are listed by falling score; equal scores, among them all that the conversation says nothing about, come most
    mentioned in training first, then in catalogue order. Scores are compared in single precision, so that the last bits of a
    machine's linear algebra decide no tie.
    """

    reader: Reader
    serial = True
    """Computing threads would only take turns: one call at a time is faster."""

    def __init__(self, options: ListOptions) -> None:
        self.list_options = options

    def prepare(self, setup: RecommenderSetup) -> None:
        self.prepare_with(setup, Reader(setup.catalogue))

    def prepare_with(self, setup: RecommenderSetup, reader: Reader) -> None:
        """As `prepare`, with a reader of the same catalogue that others use as well."""
        self.reader = reader
        self._order = popularity_order(setup.catalogue, setup.training)
        self.fit(setup)

    def fit(self, setup: RecommenderSetup) -> None:
        """Learn. Raises UsageError where the data set lacks what is needed."""
        raise NotImplementedError

    def scores(self, conversation: Conversation) -> Scores:
        """A finite score per catalogue row, higher is better; above 0 where something speaks for an item. Shape (items,)."""
        raise NotImplementedError

    def because(self, conversation: Conversation, best: int) -> str | None:
        """What speaks for the first item, as a clause ("you asked for horror"); None where nothing is known."""
        return None

    def ranking(self, conversation: Conversation, k: int, excluded: list[int]) -> tuple[Positions, Scores]:
        """Catalogue rows of the k best items that are not excluded, best first, and their scores."""
        scores = self.scores(conversation).astype(np.float32).astype(np.float64)
        scores[excluded] = -np.inf
        rows = self._order[top_k(scores[self._order], k)]
        return rows, scores[rows]

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        catalogue = self.reader.catalogue
        excluded = known_rows(catalogue, excluded_ids(conversation, self.list_options))
        rows, scores = self.ranking(conversation, k, excluded)
        if not len(rows):
            return Recommendation(text=QUESTION)
        items = [catalogue[row] for row in rows]
        return Recommendation(
            items=tuple(item.id for item in items),
            text=reply(items, self.because(conversation, int(rows[0]))),
            scores=tuple(scores.tolist()),
        )
