"""What a policy without a language model sees of a candidate: a vector of named features, computed from the conversation alone.

Per facet of the catalogue, over the values that the seeker has stated (the last word on a value counts):

    wanted:F        stated values that the item has, said for the present wish before any list was shown; `wanted-rare:F`
                    counts each by its rarity, log((items + 1) / (items with the value + 1)) / log(items + 1)
    feedback:F      the same for what was said in answer to a list; `feedback-rare:F`
    earlier:F       wanted values that were said for an earlier wish, which the context's recommender has answered
    unwanted:F      values of the item that the seeker does not want, whenever said

and besides: `retriever` (its score over its best one), `together` (EASE: what goes with the mentioned items, standardised
among the candidates), `popularity` (log mentions in training, 0..1), `rejected` (turned down before).

A facet's reliability is nowhere among them: it is what a weight can learn.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Conversation, Message, RecommenderSetup, Statement

from ...smtpo.cards import stated
from ..base import CatalogueScorer
from ..evidence import ListOptions, excluded_ids, known_rows
from ..hybrid import Hybrid, Member, build_member
from ..hybrid import Options as HybridOptions
from ..reading import Reader
from ..training import mention_counts

Floats = NDArray[np.float64]

FLOORS: Final = ("hybrid", "attribute-match", "bm25", "ease", "popularity")
"""Recommenders that can retrieve; any other name is that of an artefact."""
_REMEMBERED: Final = 4_096
_PER_FACET: Final = ("wanted", "wanted-rare", "feedback", "feedback-rare", "earlier", "unwanted")
_KINDS: Final = MappingProxyType(
    {"earlier": "earlier", "wants": "wanted", "not": "wanted", "lately": "feedback", "lately not": "feedback"}
)
_OTHERS: Final = ("retriever", "together", "popularity", "rejected")


class Candidates(msgspec.Struct, frozen=True):
    """The retrieved items of one state, best first: catalogue rows [C] and features [C, d]."""

    rows: NDArray[np.int64]
    features: Floats


def equal_weights(names: tuple[str, ...]) -> dict[str, float]:
    """The start: each stated value that an item has counts 1, each unwanted one -1, ties go to what is mentioned most."""
    by_kind = {"wanted": 1.0, "feedback": 1.0, "unwanted": -1.0, "popularity": 0.1, "rejected": -1.0}
    return {name: by_kind.get(name.partition(":")[0], 0.0) for name in names}


class Features:
    """Retrieves candidates and computes their features. Pure after `prepare`; what was computed last is remembered."""

    names: tuple[str, ...]

    def __init__(self, retriever: str, count: int, *, exclude_rejected: bool, exclude_mentioned: bool) -> None:
        self._name, self._count = retriever, count
        self._options = ListOptions(exclude_rejected=exclude_rejected, exclude_mentioned=exclude_mentioned)

    def prepare(self, setup: RecommenderSetup) -> None:
        """Fit the retriever and EASE (left out, its feature 0, where there are no training dialogues)."""
        catalogue = setup.catalogue
        reader = self.reader = Reader(catalogue)
        self._retriever = _build(self._name, self._options, setup, reader)
        self._together: CatalogueScorer | None = None
        if setup.training:
            self._together = build_member("ease", self._options)
            self._together.prepare_with(setup, reader)
        self.facets = tuple(sorted({facet for item in catalogue for facet in item.attributes}))
        self.names = tuple(f"{kind}:{facet}" for facet in self.facets for kind in _PER_FACET) + _OTHERS
        self._place = {name: number for number, name in enumerate(self.names)}
        holders: dict[tuple[str, str], list[int]] = {}
        for row, item in enumerate(catalogue):
            for facet, values in item.attributes.items():
                for value in dict.fromkeys(values):
                    holders.setdefault((facet, value), []).append(row)
        scale = math.log(len(catalogue) + 1)
        self._holders = {key: np.array(rows) for key, rows in holders.items()}
        self._rarity = {key: math.log((len(catalogue) + 1) / (len(rows) + 1)) / scale for key, rows in holders.items()}
        mentions = np.log1p(mention_counts(catalogue, setup.training))
        self._popularity = mentions / max(1.0, float(mentions.max(initial=0.0)))
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._compute)

    def of(self, conversation: Conversation) -> Candidates:
        """Linear in the catalogue. The same messages give the same candidates, whoever asks."""
        return self._remembered(conversation.messages)

    def _compute(self, messages: tuple[Message, ...]) -> Candidates:
        conversation = Conversation(messages)
        catalogue = self.reader.catalogue
        excluded = known_rows(catalogue, excluded_ids(conversation, self._options))
        rows, scores = self._retriever.ranking(conversation, self._count, excluded)
        table = np.zeros((len(catalogue), len(self.names)))
        for group, statements in stated(conversation, self.reader).items():
            for statement in statements:
                self._mark(table, _KINDS[group] if statement.polarity > 0 else "unwanted", statement)
        found = table[rows]
        if len(rows):
            best = float(np.abs(scores).max())
            found[:, self._place["retriever"]] = scores / best if best > 0 else 0.0
            if self._together is not None:
                found[:, self._place["together"]] = _standardised(self._together.scores(conversation)[rows])
            found[:, self._place["popularity"]] = self._popularity[rows]
            turned_down = known_rows(catalogue, conversation.rejected)
            found[np.isin(rows, turned_down), self._place["rejected"]] = 1.0
        return Candidates(rows, found)

    def _mark(self, table: Floats, kind: str, statement: Statement) -> None:
        """Count a statement at the items that have its value."""
        key = (statement.facet, statement.value)
        holders = self._holders[key]
        table[holders, self._place[f"{kind}:{statement.facet}"]] += 1.0
        if (rare := self._place.get(f"{kind}-rare:{statement.facet}")) is not None:
            table[holders, rare] += self._rarity[key]


def _standardised(values: Floats) -> Floats:
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))


class _DualView:
    """The dual-view retriever, called as the scoring recommenders are."""

    def __init__(self, artifact: str, setup: RecommenderSetup) -> None:
        from harness.artifacts import find

        from ..dualview.retriever import Retriever

        self._catalogue = setup.catalogue
        path = find(artifact, "retriever", "smtpo-retriever").path
        self._retriever = Retriever.load(path, setup.catalogue, setup.training)

    def ranking(self, conversation: Conversation, k: int, excluded: list[int]) -> tuple[NDArray[np.int64], Floats]:
        """Catalogue rows of the k best items and their scores, best first."""
        left_out = {self._catalogue[row].id for row in excluded}
        found = self._retriever.recall(conversation, k, exclude=left_out)
        rows = np.array([self._catalogue.position(item_id) for item_id, _ in found], dtype=np.int64)
        return rows, np.array([score for _, score in found])


def _build(name: str, options: ListOptions, setup: RecommenderSetup, reader: Reader) -> CatalogueScorer | _DualView:
    """A scoring recommender by its name, or the dual-view retriever of an artefact. Raises UsageError for neither."""
    if name not in FLOORS:
        return _DualView(name, setup)
    if name == "hybrid":
        members: tuple[Member, ...] = ("attribute-match", "bm25")
        if setup.training:
            members += ("ease", "popularity")
        scorer: CatalogueScorer = Hybrid(
            HybridOptions(
                members=members,
                weights=(1.5, 1.0, 1.0, 0.25)[: len(members)],
                exclude_rejected=options.exclude_rejected,
                exclude_mentioned=options.exclude_mentioned,
            )
        )
    else:
        scorer = build_member(name, options)  # type: ignore[arg-type]
    scorer.prepare_with(setup, reader)
    return scorer
