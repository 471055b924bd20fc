"""`Retriever`: loads an artefact for a catalogue and finds the items nearest to a conversation, exactly.

Items' vectors are computed once, at loading. A conversation's vector is computed alone, whatever else is asked meanwhile,
so that no result depends on its company. The model's numbers are 32 bit, scores are compared after rounding to 1e-6: equal
scores come most mentioned first, then in catalogue order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.api import Catalogue, Conversation, TrainingDialogue
from harness.errors import DataError, UsageError, described

from ..evidence import known_rows
from ..topk import top_k
from ..training import popularity_order
from . import files
from .batches import collate
from .encoder import Encoder, conversation_text, item_text
from .features import Featuriser
from .items import tables
from .model import DualView, Views
from .vocabulary import Tokens

_BLOCK = 2_048
"""Items encoded at once; it bounds the memory."""


class Retriever:
    """Thread-safe for reading: nothing changes after `load`."""

    def __init__(
        self, model: DualView, featuriser: Featuriser, given: NDArray[np.float32], vectors: NDArray[np.float32],
        order: NDArray[np.int64], encoder: Encoder | None = None,
    ) -> None:  # fmt: skip
        """Use `load`. `given` (items, size) are collaborative vectors, `vectors` (items, size) the items' of length 1, `order`
        (items,) decides ties."""
        self._model, self._featuriser, self._encoder = model, featuriser, encoder
        self._given = torch.from_numpy(given)
        self._order, self._vectors = order, np.ascontiguousarray(vectors[order])
        self._catalogue = featuriser.catalogue
        with torch.inference_mode():
            self._table = model.table()

    @classmethod
    def load(
        cls,
        path: Path,
        catalogue: Catalogue,
        training: Sequence[TrainingDialogue] = (),
        *,
        views: Views | None = None,
        encoder: str | None = None,
    ) -> Retriever:
        """An artefact's folder, for any catalogue. `training` decides ties only: collaborative vectors are the artefact's own,
        of the items that it was trained with (`items.py` says what others get). `views` switches one view off. `encoder` is
        where the sentence encoder lies that the artefact was trained with, if it was moved. Raises DataError, UsageError."""
        read = files.read(path)
        config = read.config
        shape = config.shape
        tokens = Tokens(config.vocabulary, catalogue)
        model = DualView(shape, config.vocabulary, tokens)
        try:
            model.load_state_dict(read.weights)
        except RuntimeError as error:
            raise DataError(f"{path}: the weights do not fit their shape: {described(error, 300)}") from None
        if views is not None and views != shape.views:
            if shape.views != "both":
                raise UsageError(f"{path} was trained with views={shape.views}; it has no other")
            model.shape = _with_views(shape, views)
        model.eval()
        place = encoder or config.encoder
        outside = Encoder(place) if shape.encoder_size and place else None
        featuriser = Featuriser(catalogue, tokens, text=outside is None)
        known = {key: row for row, key in enumerate(config.items)}
        held = tables(catalogue, tokens, known, read.given, read.found, shape.neighbours)
        with torch.inference_mode():
            vectors = encode_items(model, featuriser, held, outside)
        return cls(model, featuriser, held.given, vectors, popularity_order(catalogue, training), outside)

    def recall(self, conversation: Conversation, k: int, *, exclude: Collection[str] = ()) -> list[tuple[str, float]]:
        """The k items with the highest cosine to the conversation, best first, with it; exact over the whole catalogue.
        Fewer where `exclude` leaves fewer."""
        scores = self.scores(conversation)
        scores[known_rows(self._catalogue, exclude)] = -np.inf
        rows = self._order[top_k(scores[self._order], k)]
        return [(self._catalogue[row].id, float(scores[row])) for row in rows]

    def recall_batch(
        self, conversations: Sequence[Conversation], k: int, *, exclude: Sequence[Collection[str]] | None = None
    ) -> list[list[tuple[str, float]]]:
        """`recall` for each; the same numbers as one at a time."""
        left_out = exclude or [()] * len(conversations)
        return [self.recall(c, k, exclude=ids) for c, ids in zip(conversations, left_out, strict=True)]

    def scores(self, conversation: Conversation) -> NDArray[np.float64]:
        """A cosine per catalogue row, in steps of 1e-6."""
        found = np.empty(len(self._catalogue))
        found[self._order] = self._vectors @ self.vector(conversation)
        return np.round(found, 6)

    def vector(self, conversation: Conversation) -> NDArray[np.float32]:
        """The conversation's vector, of length 1."""
        batch = collate([self._featuriser.conversation(conversation)])
        if self._encoder is None and torch.get_num_threads() > 1:
            # [measured] Sharing so little among threads made a run with two language models 1.6 times as long.
            torch.set_num_threads(1)
        with torch.inference_mode():
            outside = None if self._encoder is None else torch.from_numpy(self._encoder([conversation_text(conversation)]))
            e = self._model.texts(batch, self._table, items=False, outside=outside)
            z = self._model.queries(e, batch, self._given[batch.mentions], self._table)
        vector: NDArray[np.float32] = z[0].numpy()
        return vector


def encode_items(model: DualView, featuriser: Featuriser, held: Any, encoder: Encoder | None) -> NDArray[np.float32]:
    """Vectors of all items of the catalogue, in its order. `held`: `items.ItemTables`."""
    table, found = model.table(), torch.from_numpy(held.found)
    parts = [np.zeros((0, model.shape.size), dtype=np.float32)]
    for start in range(0, len(featuriser.catalogue), _BLOCK):
        items = featuriser.catalogue[start : start + _BLOCK]
        rows = np.arange(start, start + len(items))
        batch = collate([featuriser.item(item) for item in items])
        outside = None if encoder is None else torch.from_numpy(encoder([item_text(item) for item in items]))
        e = model.texts(batch, table, items=True, outside=outside)
        parts.append(model.items(e, found, torch.from_numpy(held.beside(rows))).numpy())
    return np.concatenate(parts)


def _with_views(shape: Any, views: Views) -> Any:
    import msgspec

    return msgspec.structs.replace(shape, views=views)
