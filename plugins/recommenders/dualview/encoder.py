"""An optional sentence encoder for the words of dialogues and items: a folder or name of the library sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.api import Conversation, Item

from ..embedders import SentenceModel
from ..evidence import evidence

_LONGEST = 2_000
"""Characters of a dialogue that are encoded, the newest ones."""


class Encoder:
    """Texts -> vectors of length 1, each computed alone where it matters: one conversation per call. Weights are frozen."""

    def __init__(self, place: str, batch: int = 32) -> None:
        """The model is loaded with the first call. Raises UsageError then, if it can't be."""
        self._model = SentenceModel(place, revision=None, device=None, batch=batch)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._model.many(texts)


def conversation_text(conversation: Conversation) -> str:
    """What was said, the newest feedback last, cut on the left."""
    lines = [message.text for message, _ in evidence(conversation)]
    return "\n".join(lines)[-_LONGEST:]


def item_text(item: Item) -> str:
    """Title, year, attributes and text of an item."""
    values = "; ".join(f"{facet}: {', '.join(held)}" for facet, held in item.attributes.items())
    year = "" if item.year is None else f" ({item.year})"
    return f"{item.title}{year}. {values}. {item.text}"[:_LONGEST]
