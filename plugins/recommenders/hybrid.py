"""Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009) of the scoring recommenders."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
import numpy as np

from harness.api import Conversation, RecommenderSetup
from harness.errors import UsageError

from .base import CatalogueScorer
from .evidence import ListOptions, excluded_ids, known_rows
from .reading import Reader
from .topk import Scores

Member = Literal["attribute-match", "bm25", "ease", "popularity", "tfidf-lr"]
_WEIGHTS: Mapping[Member, float] = MappingProxyType({"attribute-match": 1.5, "popularity": 0.25})


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who votes, and how much each vote weighs.

    The defaults were chosen on the validation splits of cinema, redial, inspired and opendialkg: nDCG@10 of the first list,
    then success with the simulator rule.
    """

    members: Annotated[
        tuple[Member, ...], msgspec.Meta(min_length=1, description="recommenders to fuse, each with its default options")
    ] = ("attribute-match", "bm25", "ease", "popularity")
    weights: Annotated[
        tuple[Annotated[float, msgspec.Meta(ge=0)], ...],
        msgspec.Meta(
            description="one weight per member, in their order; empty: attribute-match 1.5, popularity 0.25, others 1"
        ),
    ] = ()
    constant: Annotated[
        float, msgspec.Meta(ge=0, description="added to every rank: the larger, the less the first places stand out")
    ] = 10.0
    feedback: Annotated[
        float,
        msgspec.Meta(ge=0, description="factor on attribute-match once the seeker has answered a list with stated attributes"),
    ] = 3.0
    depth: Annotated[int, msgspec.Meta(ge=1, description="places of each member's list that count")] = 500


def build_member(name: Member, options: ListOptions) -> CatalogueScorer:
    """A recommender of that name with its default options but for what may be listed."""
    # Imported when asked for: tfidf-lr brings scikit-learn, ease scipy, bm25 bm25s.
    module = import_module(f".{name.replace('-', '_')}", __package__)
    scorers: dict[Member, str] = {
        "attribute-match": "AttributeMatch",
        "bm25": "Bm25",
        "ease": "Ease",
        "popularity": "Popularity",
        "tfidf-lr": "TfidfLr",
    }
    scorer: CatalogueScorer = getattr(module, scorers[name])(
        module.Options(exclude_rejected=options.exclude_rejected, exclude_mentioned=options.exclude_mentioned)
    )
    return scorer


def reciprocal_ranks(scores: Scores, constant: float) -> Scores:
    """1 / (constant + rank) of scores that are sorted, best first; equal scores share the best of their ranks."""
    ranks = np.searchsorted(-scores, -scores, side="left") + 1
    return np.asarray(1.0 / (constant + ranks), dtype=np.float64)


class Hybrid(CatalogueScorer):
    """Sum over the members of weight / (constant + rank in the member's list).

    A member votes only for items that something speaks for (score above 0), after exclusions; items that it finds equal
    share a rank. Once the seeker has answered a list with attributes, attribute-match weighs `feedback` times as much: what
    is asked for now beats what usually goes together. Members that learn from dialogues raise UsageError where there are
    none: name the others by `members`.
    """

    _members: tuple[CatalogueScorer, ...]

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options
        self._weights = options.weights or tuple(_WEIGHTS.get(name, 1.0) for name in options.members)
        if len(self._weights) != len(options.members):
            raise UsageError(
                f"recommender 'hybrid' has {len(options.members)} members and {len(options.weights)} weights; "
                "give one weight per member, or none for the default ones"
            )
        if len(set(options.members)) != len(options.members):
            raise UsageError(f"recommender 'hybrid': a member is named twice in {','.join(options.members)}")

    def prepare_with(self, setup: RecommenderSetup, reader: Reader) -> None:
        self._members = tuple(build_member(name, self._options) for name in self._options.members)
        for member in self._members:
            member.prepare_with(setup, reader)
        super().prepare_with(setup, reader)

    def fit(self, setup: RecommenderSetup) -> None:
        """The members have learned already."""

    def scores(self, conversation: Conversation) -> Scores:
        catalogue = self.reader.catalogue
        excluded = known_rows(catalogue, excluded_ids(conversation, self._options))
        total = np.zeros(len(catalogue))
        answered = any(feedback for _, feedback in self.reader.statements(conversation))
        for name, member, weight in zip(self._options.members, self._members, self._weights, strict=True):
            if answered and name == "attribute-match":
                weight *= self._options.feedback
            rows, scores = member.ranking(conversation, self._options.depth, excluded)
            voted = scores > 0
            total[rows[voted]] += weight * reciprocal_ranks(scores[voted], self._options.constant)
        return total

    def because(self, conversation: Conversation, best: int) -> str | None:
        return next((said for member in self._members if (said := member.because(conversation, best))), None)
