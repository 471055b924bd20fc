"""Features of several queries or items as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor

from .features import Features


class Batch(msgspec.Struct, frozen=True):
    """Features of several queries or items, flattened; `*_of` is the row that an entry belongs to."""

    count: int
    tokens: Tensor
    contexts: Tensor
    ages: Tensor
    of: Tensor
    mentions: Tensor
    kinds: Tensor
    segments: Tensor
    mentions_of: Tensor
    slots: Tensor
    """Each mention's place among those of its row."""
    reactions: Tensor
    reacted: Tensor
    """The mention, among all of the batch, that a reaction word is about."""


def collate(features: Sequence[Features]) -> Batch:
    """Lists of numbers -> one batch."""

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(f, name) for f in features]))

    def owners(name: str) -> Tensor:
        return torch.from_numpy(np.repeat(np.arange(len(features)), [len(getattr(f, name)) for f in features]))

    offsets = np.cumsum([0, *(len(f.mentions) for f in features)])
    slots = np.concatenate([np.arange(len(f.mentions)) for f in features])
    reacted = np.concatenate([f.reacted + start for f, start in zip(features, offsets, strict=False)])
    return Batch(
        len(features),
        *(joined(name) for name in ("tokens", "contexts", "ages")),
        owners("tokens"),
        *(joined(name) for name in ("mentions", "kinds", "segments")),
        owners("mentions"),
        torch.from_numpy(slots),
        joined("reactions"),
        torch.from_numpy(reacted),
    )
