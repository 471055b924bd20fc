"""The most mentioned items of the training dialogues, whatever is said."""

from __future__ import annotations

from harness.api import Conversation, RecommenderSetup

from .base import CatalogueScorer
from .evidence import ListOptions
from .topk import Scores
from .training import mention_counts, require_training


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be listed."""


class Popularity(CatalogueScorer):
    """Items by how many training messages link them, ties by catalogue order.

    Feedback moves it down its one list: items turned down make room for the next. Needs training dialogues (UsageError):
    without them the list would be the catalogue's order, which is no popularity.
    """

    _counts: Scores

    def __init__(self, options: Options) -> None:
        super().__init__(options)

    def fit(self, setup: RecommenderSetup) -> None:
        require_training("popularity", setup.training)
        self._counts = mention_counts(setup.catalogue, setup.training)

    def scores(self, conversation: Conversation) -> Scores:
        return self._counts
