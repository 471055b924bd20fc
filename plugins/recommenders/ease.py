"""EASE^R (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019) on the items of a dialogue."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from harness.api import Conversation, RecommenderSetup

from .base import CatalogueScorer
from .evidence import ListOptions, known_rows
from .reply import title_with_year
from .topk import Positions, Scores
from .training import dialogue_items, require_training


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Regularisation and the signs of evidence."""

    l2: Annotated[float, msgspec.Meta(gt=0, description="the lambda of the closed form: larger trusts co-mentions less")] = 50.0
    disliked: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="weight of a disliked item, entered with a minus sign (mentioned and liked: 1); 0 drops it"
        ),
    ] = 0.0
    rejected: Annotated[
        float, msgspec.Meta(ge=0, description="weight of an item turned down in this dialogue, entered with a minus sign")
    ] = 0.0


def item_weights(gram: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    """EASE^R's item-item matrix B of a Gram matrix G = X'X: P = (G + l2 I)^-1, B_ij = -P_ij / P_jj, B_jj = 0 (eq. 8).

    `gram` is symmetric, shape (items, items); it is used as working memory and must not be used again. B has its shape.
    """
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += l2
    # G + l2 I is symmetric positive definite: Cholesky takes half the work of a general inverse and no second matrix.
    factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise np.linalg.LinAlgError(f"EASE: the regularised Gram matrix is not positive definite; raise l2 (now {l2})")
    for row in range(len(inverse) - 1):  # LAPACK fills the lower triangle; row by row needs no memory
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    diagonal = np.diag(inverse).copy()
    inverse /= -diagonal
    inverse[np.diag_indices_from(inverse)] = 0.0
    return np.asarray(inverse, dtype=np.float64)


class Ease(CatalogueScorer):
    """Items that go together with those the dialogue names.

    One row of X per training dialogue: +1 for an item that is mentioned or labelled liked, -`disliked` for one labelled
    disliked. A conversation's row is made the same way from its mentions, with signs read from negation cues, and the score
    is that row times B. A conversation without a known item gives every item 0: the list is then the popular ones.
    Needs training dialogues (UsageError).
    """

    _known: Positions
    _row_of: dict[int, int]
    _weights: NDArray[np.float32]

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options

    def fit(self, setup: RecommenderSetup) -> None:
        require_training("ease", setup.training)
        rows, columns, values = [], [], []
        for row, dialogue in enumerate(setup.training):
            for column, sign in dialogue_items(setup.catalogue, dialogue).items():
                rows.append(row)
                columns.append(column)
                values.append(1.0 if sign > 0 else -self._options.disliked)
        entries = (np.array(values), (np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)))
        matrix = sparse.csr_matrix(entries, shape=(len(setup.training), len(setup.catalogue)))
        matrix.eliminate_zeros()
        # An item that never stands beside another has zeros in its row and column of B: leaving it out changes nothing.
        shared = matrix[np.diff(matrix.indptr) > 1]
        self._known = np.flatnonzero(np.bincount(shared.indices, minlength=matrix.shape[1]))
        self._row_of = {int(column): row for row, column in enumerate(self._known)}
        gram = matrix[:, self._known]
        self._weights = item_weights((gram.T @ gram).toarray(), self._options.l2).astype(np.float32, order="C")

    def scores(self, conversation: Conversation) -> Scores:
        total = np.zeros(len(self._known))
        for row, weight in self._history(conversation).items():
            total += weight * self._weights[row]
        scores = np.zeros(len(self.reader.catalogue))
        scores[self._known] = total
        return scores

    def _history(self, conversation: Conversation) -> dict[int, float]:
        """The conversation's row of X, without zeros: row of B -> weight."""
        signed = {
            row: 1.0 if sign > 0 else -self._options.disliked for row, sign in self.reader.mentioned(conversation).items()
        }
        signed.update(dict.fromkeys(known_rows(self.reader.catalogue, conversation.rejected), -self._options.rejected))
        return {self._row_of[row]: weight for row, weight in signed.items() if weight and row in self._row_of}

    def because(self, conversation: Conversation, best: int) -> str | None:
        row = self._row_of.get(best)
        if row is None:
            return None
        history = self._history(conversation)
        shares = {other: weight * float(self._weights[other, row]) for other, weight in history.items() if weight > 0}
        strongest = max(shares, key=shares.__getitem__, default=None)
        if strongest is None or shares[strongest] <= 0:
            return None
        return f"{title_with_year(self.reader.catalogue[self._known[strongest]])} came up"
