"""Advantages, masks and the clipped step against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness_plugins.trainers.smtpo.rl.credit import (
    CreditSettings,
    advantages,
    carried,
    imputed,
    rank_advantages,
    rank_rewards,
    relative,
    returns_to_go,
    totals,
)
from harness_plugins.trainers.smtpo.rl.objective import Clip, clipped, per_item

ALL = np.ones((2, 2), dtype=bool)
REWARDS = np.array([[1.0, 0.0], [0.0, 3.0]])


def test_turn_credit_compares_returns_to_go_at_the_same_turn() -> None:
    # gamma 1/2: returns [[1, 0], [1.5, 3]]; two values are always 1 deviation from their mean.
    assert returns_to_go(REWARDS, 0.5).tolist() == [[1.0, 0.0], [1.5, 3.0]]
    advantage, used = advantages(REWARDS, ALL, CreditSettings(gamma=0.5))
    assert np.allclose(advantage, [[-1, -1], [1, 1]], atol=1e-5)
    assert used.all()


def test_trajectory_credit_is_one_number_per_dialogue() -> None:
    rewards = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    advantage, _ = advantages(rewards, np.ones((3, 2), dtype=bool), CreditSettings(credit="trajectory"))
    # Returns 1, 2, 3: population deviation sqrt(2/3).
    assert np.allclose(advantage, np.array([[-1, -1], [0, 0], [1, 1]]) / math.sqrt(2 / 3), atol=1e-5)


def test_leave_one_out_is_the_distance_to_the_mean_of_the_others() -> None:
    values, varies = relative(np.array([1.0, 2.0, 6.0]), np.ones(3, dtype=bool), "leave-one-out")
    assert varies
    assert np.allclose(values, [1 - 4, 2 - 3.5, 6 - 1.5])


def test_state_groups_do_not_look_ahead() -> None:
    advantage, used = advantages(np.array([[1.0, 5.0], [0.0, 5.0]]), ALL, CreditSettings(credit="state-group"))
    assert np.allclose(advantage, [[1, 0], [-1, 0]], atol=1e-5)
    assert used.tolist() == [[True, False], [True, False]]  # the second state has no variance: it is skipped


def test_a_group_without_variance_is_skipped() -> None:
    advantage, used = advantages(np.full((4, 3), 0.7), np.ones((4, 3), dtype=bool), CreditSettings())
    assert not advantage.any()
    assert not used.any()


def test_turns_that_were_not_played_get_no_credit_and_are_no_yardstick() -> None:
    played = np.array([[True, True], [True, True], [True, False]])
    rewards = np.where(played, [[0.0, 1.0], [0.0, 3.0], [0.0, 0.0]], 0.0)
    advantage, used = advantages(rewards, played, CreditSettings())
    assert np.allclose(advantage[:, 1], [-1, 1, 0], atol=1e-5)
    assert used[:, 1].tolist() == [True, True, False]


def test_satisfying_the_seeker_at_once_is_worth_no_less_than_later() -> None:
    """Without the carrying, the second dialogue, which hits later but twice, would earn more than the first."""
    played = np.array([[True, False, False], [True, True, True], [True, True, True]])
    rewards = np.array([[1.0, 0, 0], [0.0, 1, 1], [0, 0, 0]])
    ended = np.array([True, False, False])
    full, there = carried(rewards, played, ended)
    assert full.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert there.all()
    advantage, _ = advantages(full, played, CreditSettings())
    assert advantage[0, 0] > advantage[1, 0] > advantage[2, 0]
    # A dialogue that a fault ended earns nothing more.
    assert carried(rewards, played, np.zeros(3, dtype=bool))[0][0].tolist() == [1, 0, 0]


def test_a_masked_term_neither_punishes_nor_rewards() -> None:
    term = np.array([[np.nan], [0.2], [0.6]])
    there = np.ones((3, 1), dtype=bool)
    assert imputed(term, there)[:, 0].tolist() == pytest.approx([0.4, 0.2, 0.6])
    total = totals(
        {"recommendation": term, "format": np.ones((3, 1))}, {"recommendation": 2.0, "format": 0.5}, there, ~there[:, 0]
    )
    assert total[:, 0].tolist() == pytest.approx([1.3, 0.9, 1.7])
    advantage, _ = advantages(total, there, CreditSettings())
    assert advantage[0, 0] == pytest.approx(0, abs=1e-9)
    assert imputed(np.full((2, 1), np.nan), np.ones((2, 1), dtype=bool)).tolist() == [[0], [0]]


def test_rank_rewards_of_both_kinds() -> None:
    hits = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert rank_rewards(hits, "exp_inf").tolist() == hits.tolist()
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    assert np.allclose(rank_rewards(hits, "log_decay"), [[second, second, 0], [third, third, third]])


def test_rank_advantages_compare_one_rank_over_the_group() -> None:
    hits = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    present = np.array([True, True, False])
    advantage, used = rank_advantages(hits, present, "exp_inf")
    assert np.allclose(advantage, [[1, -1], [-1, 1], [0, 0]], atol=1e-3)
    assert used.tolist() == [[True, True], [True, True], [False, False]]
    with_future, _ = rank_advantages(hits, present, "exp_inf", future=np.array([0.0, 9.0, 0.0]))
    assert np.allclose(with_future, [[-1, -1], [1, 1], [0, 0]], atol=1e-3)


# ------------------------------------------------------------------------------------------------------------- the step


def test_ratio_clip_and_kl_by_hand() -> None:
    ratios = np.array([[1.5, 0.5, 1.5, 0.5, 1.1]])
    advantage = np.array([[1.0, 1.0, -1.0, -1.0, 1.0]])
    mask = np.array([[True, True, True, True, False]])
    old = np.full((1, 5), -1.0)
    step = clipped(old + np.log(ratios), old, advantage, mask, Clip(low=0.2, high=0.28, beta=0.0))
    # min(1.5, 1.28), min(.5, .8), min(-1.5, -1.28), min(-.5, -.8): the clip binds for a good move too far, a bad one too low.
    assert step.loss == pytest.approx(-(1.28 + 0.5 - 1.5 - 0.8) / 4)
    assert step.gradient.tolist() == [pytest.approx([0.0, -0.5 / 4, 1.5 / 4, 0.0, 0.0])]
    assert step.clipped == 0.5
    reference = old + np.log(2.0)
    step = clipped(old, old, np.zeros((1, 5)), mask, Clip(beta=0.1), reference)
    assert step.kl == pytest.approx(2.0 - math.log(2.0) - 1.0)
    assert step.loss == pytest.approx(0.1 * step.kl)


@given(
    arrays(np.float64, (2, 3), elements=st.floats(-3, 0)),
    arrays(np.float64, (2, 3), elements=st.floats(-3, 0)),
    arrays(np.float64, (2, 3), elements=st.floats(-2, 2)),
)
def test_the_gradient_is_the_derivative(logp: np.ndarray, old: np.ndarray, advantage: np.ndarray) -> None:
    mask = np.array([[True, True, False], [True, True, True]])
    clip = Clip(beta=0.05)
    reference = old[::-1]
    step = clipped(logp, old, advantage, mask, clip, reference)
    ratio = np.exp(logp - old)
    if np.min(np.abs(np.concatenate([ratio - 0.8, ratio - 1.28]))) < 1e-4:
        return  # a kink has no derivative
    for place in np.ndindex(2, 3):
        moved = [logp.copy(), logp.copy()]
        moved[0][place] += 1e-6
        moved[1][place] -= 1e-6
        high, low = (clipped(each, old, advantage, mask, clip, reference).loss for each in moved)
        assert step.gradient[place] == pytest.approx((high - low) / 2e-6, abs=1e-5)


def test_the_ratio_of_an_item_is_the_geometric_mean_of_its_tokens() -> None:
    logp, old = np.log([[0.5, 0.2, 0.9, 0.4]]), np.log([[0.25, 0.1, 0.9, 0.8]])
    ratio = per_item(logp, old, np.array([[0, 0, -1, 1]]))
    assert ratio.tolist() == [pytest.approx([2.0, 2.0, 1.0, 0.5])]
    assert per_item(np.log([[0.5, 0.2]]), np.log([[0.125, 0.2]]), np.array([[3, 3]])).tolist() == [pytest.approx([2.0, 2.0])]


def test_nothing_to_learn_from_is_no_step() -> None:
    step = clipped(np.zeros((2, 2)), np.zeros((2, 2)), np.ones((2, 2)), np.zeros((2, 2), dtype=bool), Clip())
    assert (step.loss, step.kl, step.gradient.any()) == (0.0, 0.0, False)
