"""A text classifier over items: TF-IDF, truncated SVD, multinomial logistic regression (scikit-learn)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Conversation, Message, RecommenderSetup
from harness.errors import UsageError

from .base import CatalogueScorer
from .evidence import ListOptions, evidence
from .topk import Positions, Scores
from .training import examples, require_training


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size and regularisation of the classifier."""

    min_examples: Annotated[
        int, msgspec.Meta(ge=1, description="an item is a class when it is recommended this often in training")
    ] = 2
    max_classes: Annotated[
        int, msgspec.Meta(ge=2, description="at most this many classes, the most recommended items first")
    ] = 1500
    components: Annotated[int, msgspec.Meta(ge=2, description="dimensions that the TF-IDF vectors are cut to")] = 256
    c: Annotated[float, msgspec.Meta(gt=0, description="inverse strength of the L2 penalty")] = 3.0
    max_iter: Annotated[int, msgspec.Meta(ge=1, description="L-BFGS iterations; stopping early also regularises")] = 20


class TfidfLr(CatalogueScorer):
    """The item that a recommender of the training dialogues would name next after this text.

    One example per (text so far, newly named item) of a training dialogue's recommender message. A softmax over thousands of
    items on sparse words is out of reach for a floor that should train in seconds, and most items have one or two examples:
    the words are cut to `components` dimensions by truncated SVD (latent semantic analysis), and only items with
    `min_examples` are classes. The score is the probability of a class, 0 for the other items. Negated clauses are left out
    of the text. Needs training dialogues (UsageError).
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options

    def fit(self, setup: RecommenderSetup) -> None:
        # Imported here, because `harness show` reads this module's options and needs no scikit-learn for that.
        from sklearn.decomposition import TruncatedSVD
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import normalize

        require_training("tfidf-lr", setup.training)
        pairs = [(messages, row) for messages, rows in examples(setup.catalogue, setup.training) for row in rows]
        counts = np.bincount([row for _, row in pairs], minlength=len(setup.catalogue))
        frequent = np.argsort(-counts, kind="stable")[: self._options.max_classes]
        self._classes: Positions = np.sort(frequent[counts[frequent] >= self._options.min_examples])
        if len(self._classes) < 2:
            raise UsageError(
                f"recommender 'tfidf-lr' needs two items with at least min_examples={self._options.min_examples} training "
                f"recommendations and found {len(self._classes)}; lower the option min_examples or add training dialogues"
            )
        wanted = set(self._classes.tolist())
        kept = [(self._text(messages), row) for messages, row in pairs if row in wanted]
        self._vectorizer = TfidfVectorizer(analyzer=_identity, sublinear_tf=True, min_df=2, max_df=0.5, dtype=np.float32)
        vectors = self._vectorizer.fit_transform(text for text, _ in kept)
        components = min(self._options.components, vectors.shape[1] - 1)
        svd = TruncatedSVD(components, algorithm="randomized", n_iter=4, random_state=setup.seed % 2**32)
        features = normalize(svd.fit_transform(vectors))
        self._projection: NDArray[np.float32] = np.ascontiguousarray(svd.components_.T)
        model = LogisticRegression(C=self._options.c, max_iter=self._options.max_iter, solver="lbfgs")
        with warnings.catch_warnings():
            # The iterations are bounded on purpose: the validation score falls again after about twenty.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", message="The number of unique classes")
            model.fit(features, [row for _, row in kept])
        self._coefficients = model.coef_.astype(np.float64)
        self._intercepts = model.intercept_.astype(np.float64)

    def _text(self, messages: Iterable[Message]) -> list[str]:
        return [word for message in messages for word in self.reader.read(message).words]

    def scores(self, conversation: Conversation) -> Scores:
        vector = self._vectorizer.transform([self._text(m for m, _ in evidence(conversation))])
        features = (vector @ self._projection)[0]
        features /= max(float(np.linalg.norm(features)), np.finfo(np.float32).tiny)
        logits = self._coefficients @ features + self._intercepts
        odds = np.exp(logits - logits.max())
        scores = np.zeros(len(self.reader.catalogue))
        scores[self._classes] = odds / odds.sum()
        return scores


def _identity(words: Any) -> Any:
    """The analyser of words that are cut already."""
    return words
