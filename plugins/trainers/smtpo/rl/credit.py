"""Which turn deserves what: from rewards to advantages.

Arrays are [G, T]: G dialogues of one scenario (a group), T turns of the horizon. `played` marks the turns at which the policy
acted.

trajectory   one return per dialogue, R_i = sum_t gamma^(t-1) r_it, the same advantage for all of its turns.
turn         return-to-go, R_it = sum_(u>=t) gamma^(u-t) r_iu, compared with the other dialogues at the same turn.
state-group  G lists drawn in one and the same state, r_it compared within the state; the dialogue goes on with one of them.

A dialogue that the seeker ends keeps earning its last reward for the turns that it saved: otherwise a policy would gain by
*not* satisfying the seeker, since each further turn adds a reward. The metrics carry an ended dialogue's list in the same way.

Advantages are (R - mean) / (std + 1e-6) over the group (GRPO, population std as in the paper), or R minus the mean of the
*other* dialogues (leave-one-out: unbiased, no division). A group without variance teaches nothing and is skipped.

Rank-GRPO (2510.20150): the unit is one rank of the list; `rank_rewards` and `rank_advantages` work on [G, K].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Credit = Literal["trajectory", "turn", "state-group"]
Baseline = Literal["group", "leave-one-out"]
RankReward = Literal["exp_inf", "log_decay"]

EPSILON = 1e-6
RANK_EPSILON = 1e-4
"""As in Rank-GRPO's released code."""
NO_VARIANCE = 1e-9


class CreditSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rewards become advantages."""

    credit: Annotated[Credit, msgspec.Meta(description="unit that a return belongs to")] = "turn"
    baseline: Annotated[Baseline, msgspec.Meta(description="what a return is compared with")] = "group"
    gamma: Annotated[float, msgspec.Meta(ge=0, le=1, description="discount of later turns")] = 1.0
    ranks: Annotated[
        Literal["off", "exp_inf", "log_decay"],
        msgspec.Meta(description="rank-grpo: an advantage per rank of the list, by its own hit or by the DCG from it on"),
    ] = "off"


def carried(rewards: Floats, played: Flags, ended: Flags) -> tuple[Floats, Flags]:
    """(rewards, there): a dialogue that the seeker ended (`ended` [G]) earns its last reward again at each turn not played.

    Turns not played for another reason (a fault, a broken transport) earn 0 and are not there.
    """
    out, there = np.where(played, rewards, 0.0), played.copy()
    for row in range(len(out)):
        length = int(played[row].sum())
        if ended[row] and length:
            out[row, length:] = out[row, length - 1]
            there[row, length:] = True
    return out, there


def imputed(term: Floats, there: Flags) -> Floats:
    """A term whose absent values (NaN) stand for "no opinion": the mean of the group's others at that turn, so that they
    lie neither above nor below it. 0 where nobody has a value."""
    missing = np.isnan(term)
    known = there & ~missing
    counts = known.sum(axis=0)
    means = np.divide(np.where(known, term, 0.0).sum(axis=0), counts, out=np.zeros(term.shape[1]), where=counts > 0)
    return np.where(there, np.where(missing, means[None, :], term), 0.0)


def totals(terms: Mapping[str, Floats], weights: Mapping[str, float], played: Flags, ended: Flags) -> Floats:
    """The weighted sum of a group's terms [G, T], each carried and imputed: what `advantages` takes."""
    total = np.zeros(played.shape)
    for name, values in terms.items():
        total += weights[name] * imputed(*carried(values, played, ended))
    return total


def returns_to_go(rewards: Floats, gamma: float) -> Floats:
    """R_t = r_t + gamma R_(t+1). [G, T]"""
    out = rewards.astype(np.float64).copy()
    for turn in range(out.shape[1] - 2, -1, -1):
        out[:, turn] += gamma * out[:, turn + 1]
    return out


def relative(values: Floats, present: Flags, baseline: Baseline = "group", epsilon: float = EPSILON) -> tuple[Floats, bool]:
    """Advantages of one group's values [G] among those present, and whether they vary at all (False: all zero)."""
    out = np.zeros(len(values))
    held = values[present]
    count = len(held)
    if count < 2 or float(held.max() - held.min()) <= NO_VARIANCE:
        return out, False
    if baseline == "group":
        out[present] = (held - held.mean()) / (held.std() + epsilon)
    else:
        out[present] = (held - held.mean()) * count / (count - 1)  # R_i minus the mean of the others
    return out, True


def advantages(rewards: Floats, played: Flags, settings: CreditSettings) -> tuple[Floats, Flags]:
    """(advantages [G, T], used [G, T]) of a group; `rewards` as `carried` gives them, used is False where a group is skipped.

    With `state-group`, G are the lists of one state per turn and `played` marks those that were drawn.
    """
    out, used = np.zeros(rewards.shape), np.zeros(rewards.shape, dtype=np.bool_)
    if settings.credit == "trajectory":
        values = returns_to_go(rewards, settings.gamma)[:, 0]
        of_row, varies = relative(values, played.any(axis=1), settings.baseline)
        return np.where(played, of_row[:, None], 0.0), played & varies
    values = rewards if settings.credit == "state-group" else returns_to_go(rewards, settings.gamma)
    for turn in range(rewards.shape[1]):
        out[:, turn], varies = relative(values[:, turn], played[:, turn], settings.baseline)
        used[:, turn] = played[:, turn] & varies
    return out, used


# ----------------------------------------------------------------------------------------------------------------- ranks


def rank_rewards(hits: Floats, kind: RankReward) -> Floats:
    """Reward per rank [G, K] of hits (1 where a target stands). exp_inf: the rank's own hit. log_decay: the discounted gain
    from that rank on, sum_(j>=k) hit_j / log2(j + 1): a rank is not credited for those before it."""
    if kind == "exp_inf":
        return hits.astype(np.float64)
    gains = hits / np.log2(np.arange(2, hits.shape[1] + 2))
    return np.cumsum(gains[:, ::-1], axis=1)[:, ::-1]


def rank_advantages(
    hits: Floats, present: Flags, kind: RankReward, *, baseline: Baseline = "group", future: Floats | None = None
) -> tuple[Floats, Flags]:
    """(advantages [G, K], used [G, K]): each rank compared with the same rank of the group's other lists.

    `future` [G] is added to every rank of a list (gamma times the return of the later turns), so that the variant is not
    blind to what a list leads to; None leaves it out, as published.
    """
    rewards = rank_rewards(hits, kind)
    if future is not None:
        rewards = rewards + future[:, None]
    out, used = np.zeros(rewards.shape), np.zeros(rewards.shape, dtype=np.bool_)
    for rank in range(rewards.shape[1]):
        out[:, rank], varies = relative(rewards[:, rank], present, baseline, RANK_EPSILON)
        used[:, rank] = present & varies
    return out, used
