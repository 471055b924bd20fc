"""BM25 (Robertson and Zaragoza 2009; Lucene's variant, by the library bm25s): items as documents, the dialogue as the query."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np

from harness.api import Conversation, Item, Message, RecommenderSetup
from harness.text import fold, words

from .base import CatalogueScorer
from .evidence import ListOptions, evidence
from .topk import Scores
from .training import examples


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The documents, the query, and BM25's two constants."""

    k1: Annotated[float, msgspec.Meta(ge=0, description="how fast repeated words of a document saturate")] = 1.5
    b: Annotated[float, msgspec.Meta(ge=0, le=1, description="length normalisation: 0 none, 1 full")] = 0.3
    dialogues: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="add to an item's document this many training messages before each recommendation of it"
        ),
    ] = 4
    feedback: Annotated[
        float, msgspec.Meta(ge=0, description="weight of what is said in answer to a recommendation, against the context")
    ] = 4.0
    negative: Annotated[
        float, msgspec.Meta(ge=0, description="weight, subtracted, of words in negated clauses; 0 drops them")
    ] = 0.0


class Bm25(CatalogueScorer):
    """Items whose documents hold the words of the dialogue.

    A document is an item's title, year, aliases, attribute values and text, and the words that stood before a recommendation
    of it in training. The query is the words of both sides so far, each once; later turns' answers carry `feedback`, negated
    clauses attract nothing. Works without training dialogues.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options

    def fit(self, setup: RecommenderSetup) -> None:
        # Imported here, because `harness show` reads this module's options and needs no index for that.
        import bm25s
        from bm25s.stopwords import STOPWORDS_EN_PLUS

        stop = {fold(word) for word in STOPWORDS_EN_PLUS}
        documents = [[w for w in item_words(item) if w not in stop] for item in setup.catalogue]
        if self._options.dialogues:

            @lru_cache(maxsize=256)  # one message stands before several recommendations
            def telling(message: Message) -> list[str]:
                return [w for w in self.reader.read(message).words if w not in stop]

            for messages, rows in examples(setup.catalogue, setup.training):
                for message in messages[-self._options.dialogues :]:
                    for row in rows:
                        documents[row] += telling(message)
        vocabulary: dict[str, int] = {}
        numbered = [[vocabulary.setdefault(word, len(vocabulary)) for word in document] for document in documents]
        self._index = bm25s.BM25(k1=self._options.k1, b=self._options.b, dtype="float64")
        self._index.index((numbered, vocabulary), show_progress=False)

    def scores(self, conversation: Conversation) -> Scores:
        weights: dict[str, float] = {}
        for message, feedback in evidence(conversation):
            reading = self.reader.read(message)
            weight = self._options.feedback if feedback else 1.0
            weights.update(dict.fromkeys(reading.words, weight))
            if self._options.negative:
                weights.update(dict.fromkeys(reading.negative, -self._options.negative * weight))
        return self._weighted(weights)

    def _weighted(self, weights: dict[str, float]) -> Scores:
        total = np.zeros(len(self.reader.catalogue))
        for weight in dict.fromkeys(weights.values()):
            ids = self._index.get_tokens_ids([word for word, given in weights.items() if given == weight])
            if ids and weight:
                total += weight * self._index.get_scores_from_ids(ids)
        return total

    def because(self, conversation: Conversation, best: int) -> str | None:
        return self.reader.asked_for(conversation, best)


def item_words(item: Item) -> list[str]:
    """Folded words of everything that the catalogue says of an item."""
    values = [value for named in item.attributes.values() for value in named]
    year = [] if item.year is None else [str(item.year)]
    return words(" \n ".join([item.title, *year, *item.aliases, *values, item.text]))
