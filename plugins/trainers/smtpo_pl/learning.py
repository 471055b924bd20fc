"""Policy gradient on Plackett-Luce weights, and their supervised fit: exact gradients, Adam, no framework."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...recommenders.smtpo_pl import policy
from ..smtpo.rl.objective import Clip, Step, clipped
from .rollouts import Batch

Floats = NDArray[np.float64]


class Adam(msgspec.Struct):
    """Adam (Kingma and Ba 2015) for one vector; its state can be saved."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    steps: int = 0
    first: list[float] = []
    second: list[float] = []

    def step(self, weights: Floats, gradient: Floats) -> Floats:
        """The weights after one step down the gradient."""
        first = np.array(self.first) if self.first else np.zeros(weights.shape)
        second = np.array(self.second) if self.second else np.zeros(weights.shape)
        self.steps += 1
        first = self.beta1 * first + (1 - self.beta1) * gradient
        second = self.beta2 * second + (1 - self.beta2) * gradient**2
        self.first, self.second = first.tolist(), second.tolist()
        unbiased = first / (1 - self.beta1**self.steps)
        scale = np.sqrt(second / (1 - self.beta2**self.steps))
        return np.asarray(weights - self.lr * unbiased / (scale + self.epsilon))


def scores_of(batch: Batch, weights: Floats) -> Floats:
    """[rows, candidates], -inf where there is no candidate."""
    return np.where(batch.there, batch.features @ weights, -np.inf)


def surrogate(batch: Batch, weights: Floats, reference: Floats | None, clip: Clip) -> tuple[Step, Floats]:
    """The clipped objective at `weights` and its exact gradient by them. Units are ranks of lists."""
    scores = scores_of(batch, weights)
    logp = policy.log_probabilities(scores, batch.lists)
    against = None if reference is None else policy.log_probabilities(scores_of(batch, reference), batch.lists)
    step = clipped(logp, batch.old, batch.advantage, batch.mask, clip, against)
    by_score = policy.score_gradient(scores, batch.lists, step.gradient)
    return step, np.einsum("nc,ncd->d", by_score, batch.features)


def likelihood(batch: Batch, weights: Floats) -> tuple[float, Floats]:
    """Mean negative log-likelihood of the lists per rank, and its gradient: the supervised fit."""
    scores = scores_of(batch, weights)
    mask = batch.lists >= 0
    count = max(1, int(mask.sum()))
    logp, by_score = policy.both(scores, batch.lists, np.where(mask, -1.0 / count, 0.0))
    return -float(logp.sum()) / count, np.einsum("nc,ncd->d", by_score, batch.features)
