"""The clipped surrogate with a KL penalty, as numbers and derivatives: the reference of the tests and the step of `smtpo-pl`.

    loss = mean over units of  -min(rho A, clip(rho, 1 - low, 1 + high) A) + beta KL,   rho = exp(logp - old)

A unit is a token of a language model or a rank of a Plackett-Luce list. KL is the k3 estimator, exp(d) - d - 1 with
d = ref - logp (Schulman 2020): never negative, 0 where the policies agree.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Clip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a ratio may move before its gradient stops, and the weight of the KL to the start."""

    low: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.2
    high: Annotated[float, msgspec.Meta(ge=0)] = 0.28
    beta: Annotated[float, msgspec.Meta(ge=0)] = 1e-3


class Step(msgspec.Struct, frozen=True):
    """Value of the loss, its derivative by each logp (same shape), and what is logged."""

    loss: float
    gradient: Floats
    kl: float
    clipped: float
    """Share of the units whose gradient the clip has stopped."""


def clipped(logp: Floats, old: Floats, advantage: Floats, mask: Flags, clip: Clip, reference: Floats | None = None) -> Step:
    """All arrays of one shape; units outside of `mask` count nothing. The mean is over the units of the mask."""
    count = int(mask.sum())
    if not count:
        return Step(0.0, np.zeros(logp.shape), 0.0, 0.0)
    ratio = np.exp(np.where(mask, logp - old, 0.0))
    bounded = np.clip(ratio, 1.0 - clip.low, 1.0 + clip.high)
    free, held = ratio * advantage, bounded * advantage
    stopped = mask & (held < free)
    loss = -np.minimum(free, held)
    gradient = np.where(stopped, 0.0, -free)
    kl = np.zeros(logp.shape)
    if reference is not None:
        difference = np.where(mask, reference - logp, 0.0)
        kl = np.expm1(difference) - difference
        loss = loss + clip.beta * kl
        gradient = gradient - clip.beta * np.expm1(difference)
    return Step(
        loss=float(loss[mask].sum() / count),
        gradient=np.where(mask, gradient, 0.0) / count,
        kl=float(kl[mask].sum() / count),
        clipped=float(stopped.sum() / count),
    )


def per_item(logp: Floats, old: Floats, item: NDArray[np.int64]) -> Floats:
    """Rank-GRPO's ratio per token: exp of the mean over the token's item of logp - old (a geometric mean of token ratios).

    `item` [rows, tokens] numbers each token's item from 0; -1 marks tokens of no item, whose ratio is their own.
    """
    difference = logp - old
    out = difference.copy()
    for row in range(len(out)):
        for number in np.unique(item[row][item[row] >= 0]):
            of_item = item[row] == number
            out[row, of_item] = difference[row, of_item].mean()
    return np.exp(out)
