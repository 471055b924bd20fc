"""Item vectors from the items of training dialogues, signed: `ease` (the SVD of EASE^R's matrix) or `lightgcn`.

An item has two vectors: `given`, as something that a dialogue names, and `found`, as something to be found: the dot product of
the sum of the signed given vectors and a found vector is the method's own score. For learning from the very dialogues that
these were made of, `folds` holds the given vectors made without each fold, in the same coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.api import Catalogue, TrainingDialogue

from ..ease import item_weights
from ..training import dialogue_items

Floats = NDArray[np.float32]
Kind = Literal["ease", "lightgcn"]


class Vectors(msgspec.Struct, frozen=True):
    """`given` and `found`: (items, size); `folds`: (folds, items, size). Zero rows for items in no training dialogue."""

    given: Floats
    found: Floats
    folds: Floats


def item_vectors(
    catalogue: Catalogue,
    training: Sequence[TrainingDialogue],
    fold_of: Sequence[int],
    *,
    kind: Kind = "ease",
    size: int = 64,
    l2: float = 50.0,
    disliked: float = 0.5,
    seed: int = 0,
) -> Vectors:
    """`fold_of` numbers each dialogue's fold from 0. Deterministic by `seed` (EASE draws nothing)."""
    matrix = signed_matrix(catalogue, training, disliked)
    folds = np.asarray(fold_of, dtype=np.int64)
    count = int(folds.max(initial=-1)) + 1
    if kind == "lightgcn":
        from .lightgcn import lightgcn

        return _aligned([lightgcn(matrix[folds != f] if f < count else matrix, size, seed) for f in range(count + 1)])
    weights = ease(matrix, l2)
    left, singular, right = _svd(weights, min(size, len(catalogue)), seed)
    size = len(singular)
    root = np.sqrt(singular[:size])
    given, found = left[:, :size] * root, right[:size].T * root
    # B = U S V': a fold's matrix in the same coordinates is B_f V S^-1/2.
    into = right[:size].T / np.maximum(root, 1e-9)
    without = [ease(matrix[folds != f], l2) @ into for f in range(count)]
    return _scaled(given, found, np.array(without).reshape(count, len(catalogue), size))


def signed_matrix(catalogue: Catalogue, training: Sequence[TrainingDialogue], disliked: float) -> sparse.csr_matrix:
    """One row per dialogue: 1 for items named or liked, -disliked for disliked ones. Shape (dialogues, items)."""
    entries = [
        (row, column, 1.0 if sign > 0 else -disliked)
        for row, dialogue in enumerate(training)
        for column, sign in dialogue_items(catalogue, dialogue).items()
    ]
    table = np.array(entries, dtype=np.float64).reshape(-1, 3)
    places = (table[:, 0].astype(np.int64), table[:, 1].astype(np.int64))
    matrix = sparse.csr_matrix((table[:, 2], places), shape=(len(training), len(catalogue)))
    matrix.eliminate_zeros()
    return matrix


def ease(matrix: sparse.csr_matrix, l2: float) -> NDArray[np.float64]:
    """EASE^R's item-item matrix; rows and columns of items in no dialogue are zero. Shape (items, items)."""
    items = matrix.shape[1]
    known = np.flatnonzero(np.bincount(matrix.indices, minlength=items))
    weights = np.zeros((items, items))
    part = matrix[:, known]
    weights[np.ix_(known, known)] = item_weights(np.asarray((part.T @ part).toarray()), l2)
    return weights


def _svd(weights: NDArray[np.float64], size: int, seed: int) -> tuple[NDArray[np.float64], ...]:
    if len(weights) <= 2_000:
        left, singular, right = np.linalg.svd(weights)
        return left[:, :size], singular[:size], right[:size]
    from sklearn.utils.extmath import randomized_svd  # a whole SVD of a large matrix takes minutes

    left, singular, right = randomized_svd(weights, size, n_iter=6, random_state=seed)
    return left, singular, right


def _aligned(tables: list[Floats]) -> Vectors:
    """Vectors of several trainings in the coordinates of the last one: the best rotation (Schoenemann 1966)."""
    whole = tables[-1].astype(np.float64)
    turned = []
    for table in tables[:-1]:
        left, _, right = np.linalg.svd(table.astype(np.float64).T @ whole)
        turned.append(table @ (left @ right))
    return _scaled(whole, whole, np.array(turned).reshape(len(turned), *whole.shape))


def _scaled(given: NDArray[np.float64], found: NDArray[np.float64], folds: NDArray[np.float64]) -> Vectors:
    """Lengths of about 1 on average, so that a model need not know the method."""

    def scale(table: NDArray[np.float64]) -> float:
        lengths = np.linalg.norm(table, axis=1)
        return 1.0 / float(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0

    by = scale(given)
    return Vectors((given * by).astype(np.float32), (found * scale(found)).astype(np.float32), (folds * by).astype(np.float32))
