"""The floor of floors: k items drawn without replacement."""

from __future__ import annotations

import random

from harness.api import Catalogue, Conversation, Recommendation, RecommenderSetup

from .evidence import ListOptions, excluded_ids, known_rows
from .reply import QUESTION, reply


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be drawn."""


class UniformRandom:
    """Uniform over the catalogue, drawn anew each turn from the conversation's seed and turn number."""

    _catalogue: Catalogue

    def __init__(self, options: Options) -> None:
        self._options = options

    def prepare(self, setup: RecommenderSetup) -> None:
        self._catalogue = setup.catalogue

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        excluded = set(known_rows(self._catalogue, excluded_ids(conversation, self._options)))
        generator = random.Random(f"{conversation.seed} {conversation.turn}")
        # Drawing this many leaves k whatever is excluded, at a cost that does not grow with the catalogue.
        drawn = generator.sample(range(len(self._catalogue)), min(len(self._catalogue), k + len(excluded)))
        items = [self._catalogue[row] for row in drawn if row not in excluded][:k]
        return Recommendation(items=tuple(item.id for item in items), text=reply(items) if items else QUESTION)
