"""The collaborative vectors of a catalogue's items, and whose vectors stand beside them.

Vectors belong to the items that training knew, by id and title. An item that it did not know has none: as something named it
says nothing (the null token), as something to be found it borrows those of the known items that share most attributes with it.
In a catalogue of unknown items only the null tokens are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Catalogue
from harness.text import normalise

from ..training import Scores
from .collaborative import Vectors
from .vocabulary import Tokens

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_ROWS = 1_024


class ItemTables(msgspec.Struct, frozen=True):
    """By catalogue row. `given` (items, size), `found` (items + 1, size) whose last row is zero; `alike` and `related`
    (items, neighbours) are rows of `found`: items with similar vectors, and items with similar attributes."""

    given: Floats
    found: Floats
    alike: Ints
    related: Ints

    def beside(self, rows: Ints, cold: NDArray[np.bool_] | None = None) -> Ints:
        """Which rows of `found` items attend to: their own and their neighbours'; `cold` ones, by default those without a
        vector, have only relatives. (rows, 1 + neighbours)."""
        nothing = len(self.found) - 1
        missing = np.abs(self.found[rows]).sum(1) == 0
        cold = missing if cold is None else cold | missing
        others = np.where(cold[:, None], self.related[rows], self.alike[rows])
        return np.concatenate([np.where(cold, nothing, rows)[:, None], others], axis=1)


def key(item_id: str, title: str) -> str:
    """What identifies an item across catalogues."""
    return f"{item_id}\x1f{normalise(title)}"


def with_popularity(vectors: Vectors, mentions: Scores) -> Vectors:
    """One more dimension of what is found: log(1 + mentions in training), standardised over the items with vectors. It is 0
    in what is given: to name a popular item asks for no popular one."""
    known = np.abs(vectors.found).sum(1) > 0
    logs = np.log1p(mentions)
    mean, spread = (logs[known].mean(), logs[known].std()) if known.any() else (0.0, 1.0)
    column = np.where(known, (logs - mean) / max(float(spread), 1e-6), 0.0).astype(np.float32)[:, None]
    nothing = np.zeros_like(column)
    return Vectors(
        np.concatenate([vectors.given, nothing], axis=1),
        np.concatenate([vectors.found, column * 0.3], axis=1),
        np.concatenate([vectors.folds, np.broadcast_to(nothing, (len(vectors.folds), *column.shape))], axis=2),
    )


def tables(
    catalogue: Catalogue, tokens: Tokens, known: Mapping[str, int], given: Floats, found: Floats, neighbours: int
) -> ItemTables:
    """`known`: `key` -> row of `given` and `found`."""
    rows = np.array([known.get(key(item.id, item.title), -1) for item in catalogue], dtype=np.int64)
    there = rows >= 0
    size = found.shape[1]
    own_given = np.zeros((len(catalogue), size), dtype=np.float32)
    own_given[there] = given[rows[there]]
    own_found = np.zeros((len(catalogue) + 1, size), dtype=np.float32)
    own_found[:-1][there] = found[rows[there]]
    warm = np.flatnonzero(np.abs(own_found[:-1]).sum(1) > 0)
    lengths = np.maximum(np.linalg.norm(own_found[:-1], axis=1, keepdims=True), 1e-9)
    alike = _nearest(own_found[:-1] / lengths, warm, neighbours)
    return ItemTables(own_given, own_found, alike, _nearest(_values(catalogue, tokens), warm, neighbours))


def _values(catalogue: Catalogue, tokens: Tokens) -> Floats:
    """Items as weighted sets of values, of length 1, by a random projection (Johnson and Lindenstrauss): (items, 256)."""
    from .vocabulary import hash_vectors

    base = hash_vectors(tokens.keys, 256) * tokens.rarity[:, None]
    out = np.zeros((len(catalogue), 256), dtype=np.float32)
    for row, item in enumerate(catalogue):
        values = {tokens.value(f, v) for f, held in item.attributes.items() for v in held}
        places = [value - tokens.first_value for value in values if value is not None]
        if places:
            out[row] = base[sorted(places)].sum(0)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def _nearest(vectors: Floats, warm: Sequence[int] | Ints, count: int) -> Ints:
    """For each row the `count` nearest of the warm rows, itself left out; `len(vectors)` where there are none."""
    nothing = len(vectors)
    out = np.full((nothing, count), nothing, dtype=np.int64)
    pool = np.asarray(warm, dtype=np.int64)
    if not len(pool) or not count:
        return out
    for start in range(0, nothing, _ROWS):
        scores = vectors[start : start + _ROWS] @ vectors[pool].T
        scores[np.arange(start, start + len(scores))[:, None] == pool[None, :]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        best = np.where(np.take_along_axis(scores, order, axis=1) > 1e-6, pool[order], nothing)
        out[start : start + len(scores), : best.shape[1]] = best
    return out
