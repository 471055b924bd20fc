"""Logits to tokens, row by row, and which of these choices rounding could have turned.

A token is drawn as the largest of logit / temperature + Gumbel noise (Gumbel 1954; Maddison et al. 2014, A* sampling), the
noise coming from the row's own generator. So a row's choice is an arg-max over its own numbers whether it is greedy or
sampled, and rounding can only turn it where the two largest are close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import torch

GREEDY_BELOW = 1e-4
"""Temperatures under this are greedy: dividing by them would overflow."""


class Rule(msgspec.Struct, frozen=True):
    """How one row is sampled. `generator` is its own torch.Generator; None where the row is greedy."""

    temperature: float
    top_p: float
    generator: Any


def rule(temperature: float, top_p: float, seed: int, device: Any) -> Rule:
    """The rule of a request; its generator lives on the device where the logits are."""
    import torch

    if temperature < GREEDY_BELOW:
        return Rule(0.0, 1.0, None)
    generator = torch.Generator(device=device)
    generator.manual_seed(seed & (2**63 - 1))
    return Rule(temperature, max(top_p, 1e-6), generator)


def noise(rules: Sequence[Rule], like: torch.Tensor) -> torch.Tensor:
    """Gumbel noise [rows, vocabulary of `like`], each row from its own generator, so that neighbours don't matter."""
    import torch

    drawn = torch.empty(len(rules), like.shape[-1], device=like.device)
    for row, one in zip(drawn, rules, strict=True):
        torch.rand(like.shape[-1], generator=one.generator, device=like.device, out=row)
    return drawn.log_().neg_().log_().neg_()


def largest(logits: torch.Tensor, margin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Greedy choice [rows] from logits [rows, vocabulary], and whether errors up to `margin` [rows] could turn it.

    A row with NaN counts as turnable.
    """
    top = logits.topk(2, dim=-1)
    return top.indices[:, 0], ~(top.values[:, 0] - top.values[:, 1] >= 2 * margin)


def draw(
    logits: torch.Tensor, gumbel: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, margin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sampled choice [rows], and whether errors of the logits up to `margin` [rows] could turn it.

    Nucleus sampling (Holtzman et al. 2020) without sorting the vocabulary: a token belongs to the nucleus if those more
    probable hold less than top_p together. The winner of the draw is tested; if it lies outside, so does everything that isn't
    more probable, and the draw goes on among the rest.
    """
    error = margin / temperature
    scaled = logits / temperature[:, None]
    scores = scaled + gumbel
    probabilities = scaled.softmax(-1)
    unsure = scores.new_zeros(len(scores), dtype=bool)
    while True:
        top = scores.topk(2, dim=-1)
        winner = top.indices[:, 0]
        own = scaled.gather(1, winner[:, None])
        above = _mass(probabilities, scaled > own)
        # The mass above moves with the probabilities, and with tokens that are about as probable as the winner.
        least = _mass(probabilities, scaled > own + 2 * error[:, None]) - 2 * error
        most = (
            _mass(probabilities, scaled > own - 2 * error[:, None]) - probabilities.gather(1, winner[:, None])[:, 0] + 2 * error
        )
        limited = top_p < 1
        unsure |= limited & ((least < top_p) != (most < top_p))
        outside = limited & (above >= top_p)
        if not bool(outside.any()):
            gap = top.values[:, 0] - top.values[:, 1]
            return winner, unsure | ~(gap >= 2 * error)
        scores = scores.masked_fill(outside[:, None] & (scaled <= own), -float("inf"))


def _mass(probabilities: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    return (probabilities * members).sum(-1)
