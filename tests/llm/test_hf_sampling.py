"""Choosing tokens: the distribution is the one asked for, and a choice that rounding could turn is known as such."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from harness.llm import hf_sampling

LOGITS = [2.0, 1.5, 1.5, 0.3, -0.2, -1.0, -3.0, 0.9]


def nucleus(logits: list[float], temperature: float, top_p: float) -> np.ndarray:
    """The distribution by the book: sort, keep the smallest set that holds top_p, normalise."""
    scaled = np.array(logits, dtype=float) / temperature
    p = np.exp(scaled - scaled.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1] if top_p < 1 else order
    q = np.zeros_like(p)
    q[kept] = p[kept]
    return q / q.sum()


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.85), (1.6, 0.6), (1.0, 0.01)])
def test_the_frequencies_are_those_of_nucleus_sampling(temperature, top_p):
    count = 8_000
    rules = [hf_sampling.rule(temperature, top_p, seed, "cpu") for seed in range(count)]
    logits = torch.tensor([LOGITS] * count)
    tokens, _ = hf_sampling.draw(
        logits,
        hf_sampling.noise(rules, logits),
        torch.full((count,), temperature),
        torch.full((count,), top_p),
        torch.zeros(count),
    )
    expected = nucleus(LOGITS, temperature, top_p) * count
    seen = np.bincount(tokens.numpy(), minlength=len(LOGITS))
    assert seen[expected == 0].sum() == 0
    if (expected > 0).sum() > 1:
        assert chisquare(seen[expected > 0], expected[expected > 0]).pvalue > 1e-4


def test_a_rows_draws_are_its_own():
    """The same row beside others, and first or last, draws the same; two draws of one row differ."""
    logits = torch.zeros(1, 50)
    alone = hf_sampling.rule(1.0, 1.0, 7, "cpu")
    first, second = hf_sampling.noise([alone], logits), hf_sampling.noise([alone], logits)
    among = [hf_sampling.rule(1.0, 1.0, seed, "cpu") for seed in (1, 7, 2)]
    assert torch.equal(hf_sampling.noise(among, logits)[1], first[0])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("seed", [-1, 0, 2**63, 2**64 + 5])
def test_any_whole_number_is_a_seed(seed):
    logits = torch.zeros(1, 5)
    one, two = (hf_sampling.noise([hf_sampling.rule(1.0, 1.0, seed, "cpu")], logits) for _ in range(2))
    assert torch.equal(one, two)


numbers = st.floats(-8, 8, width=32)


@given(st.lists(st.tuples(numbers, st.floats(-1, 1, width=32)), min_size=2, max_size=12), st.floats(1e-4, 0.3))
def test_a_sure_greedy_choice_stands_whatever_moves_within_the_margin(pairs, margin):
    logits = torch.tensor([[value for value, _ in pairs]])
    moved = logits + 0.999 * margin * torch.tensor([[shift for _, shift in pairs]])
    bound = torch.tensor([margin])
    token, unsure = hf_sampling.largest(logits, bound)
    if not unsure:
        assert hf_sampling.largest(moved, bound)[0] == token


@given(
    st.lists(st.tuples(numbers, st.floats(-1, 1, width=32)), min_size=2, max_size=12),
    st.floats(1e-4, 0.1),
    st.floats(0.2, 3.0),
    st.floats(0.05, 1.0),
    st.integers(0, 50),
)
def test_a_sure_draw_stands_whatever_moves_within_the_margin(pairs, margin, temperature, top_p, seed):
    logits = torch.tensor([[value for value, _ in pairs]])
    moved = logits + 0.999 * margin * torch.tensor([[shift for _, shift in pairs]])
    noise = hf_sampling.noise([hf_sampling.rule(temperature, top_p, seed, "cpu")], logits)
    rest = (torch.tensor([temperature]), torch.tensor([top_p]), torch.tensor([margin]))
    token, unsure = hf_sampling.draw(logits, noise, *rest)
    if not unsure:
        assert hf_sampling.draw(moved, noise, *rest)[0] == token


def test_close_choices_are_unsure_and_clear_ones_are_not():
    logits = torch.tensor([[5.0, 4.9999, 0.0], [5.0, 4.0, 0.0], [float("nan"), 1.0, 0.0]])
    assert hf_sampling.largest(logits, torch.full((3,), 1e-3))[1].tolist() == [True, False, True]
