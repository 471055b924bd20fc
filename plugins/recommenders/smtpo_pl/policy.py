"""The Plackett-Luce distribution over ranked lists (Plackett 1975), with exact gradients.

    log pi(L | s) = sum_k [ s(i_k) - logsumexp_(j not in L_<k) s(j) ],     s(j) = w . x_j

Arrays hold many rows at once: scores [rows, candidates], filled up with -inf; lists [rows, k] of candidate positions, filled up
with -1. A rank of a list is what a token is to a language model: it has its own log-probability, ratio and advantage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def log_probabilities(scores: Floats, lists: Positions) -> Floats:
    """log of the probability that each rank's item is drawn from what is left; 0 where the list has ended. [rows, k]"""
    return _walk(scores, lists, None)[0]


def score_gradient(scores: Floats, lists: Positions, weights: Floats) -> Floats:
    """d/d scores of sum over ranks of weights [rows, k] times the rank's log-probability. [rows, candidates]"""
    return _walk(scores, lists, weights)[1]


def both(scores: Floats, lists: Positions, weights: Floats) -> tuple[Floats, Floats]:
    """`log_probabilities` and `score_gradient` for the cost of one."""
    return _walk(scores, lists, weights)


def _walk(scores: Floats, lists: Positions, weights: Floats | None) -> tuple[Floats, Floats]:
    left = scores.copy()
    rows = np.arange(len(scores))
    found = np.zeros(lists.shape)
    gradient = np.zeros(scores.shape)
    for rank in range(lists.shape[1]):
        chosen = lists[:, rank]
        there = chosen >= 0
        if not there.any():
            break
        at = np.where(there, chosen, 0)
        top = left.max(axis=1)
        top = np.where(np.isfinite(top), top, 0.0)
        mass = np.exp(left - top[:, None])
        total = mass.sum(axis=1)
        safe = np.where(total > 0, total, 1.0)
        found[:, rank] = np.where(there, left[rows, at] - top - np.log(safe), 0.0)
        if weights is not None:
            weight = np.where(there, weights[:, rank], 0.0)
            gradient -= (weight / safe)[:, None] * mass
            gradient[rows, at] += weight
        left[rows[there], at[there]] = -np.inf
    return found, gradient


def entropy(scores: Floats) -> Floats:
    """Entropy (nats) of the first rank's choice. [rows]"""
    top = scores.max(axis=1, keepdims=True)
    mass = np.exp(scores - top)
    share = mass / mass.sum(axis=1, keepdims=True)
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1))


def best(scores: Floats, k: int) -> Positions:
    """The most probable list of one row's scores [candidates]: by falling score, ties by position."""
    return np.argsort(-scores, kind="stable")[: min(k, int(np.isfinite(scores).sum()))]


def sample(scores: Floats, k: int, uniforms: Floats) -> Positions:
    """A list drawn from the distribution by the Gumbel trick: `uniforms` [candidates] in (0, 1), one per candidate."""
    return best(scores - np.log(-np.log(uniforms)), k)
