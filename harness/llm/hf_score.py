"""Log-probabilities of given continuations: each prompt is computed once, then all its continuations in one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from harness.llm import hf_cache
from harness.llm.api import LlmError
from harness.llm.hf_load import Loaded

LOGITS = 2**26
"""Logits held at the same time, at most (a quarter of a gigabyte)."""

Question = tuple[list[int], list[list[int]]]
"""Ids of a prompt, and of each of its continuations."""


def score(loaded: Loaded, questions: Sequence[Question], *, max_batch_tokens: int) -> list[list[float]]:
    """Sum of the natural log-probabilities of each continuation's tokens after its prompt; 0 for an empty one.

    All the questions share one forward pass over their prompts, and one over their continuations (several where memory asks for
    it). The last bits of a score depend on what else is computed with it: ask one question at a time where that matters.
    """
    device = loaded.device
    prompts = [prompt for prompt, _ in questions]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = hf_cache.mask([len(prompt) for prompt in prompts], width, device)
    cache = hf_cache.empty()
    first = hf_cache.logits(loaded, ids, mask, (mask.cumsum(1) - 1).clamp_(min=0), cache)[:, -1].log_softmax(-1)
    if not bool(torch.isfinite(first.amax())):
        raise LlmError("its logits are no numbers: the weights are broken, or the number format overflows (try dtype=float32)")
    totals = [[float(first[n, c[0]]) if c else 0.0 for c in continuations] for n, (_, continuations) in enumerate(questions)]
    longer = [(n, k, c) for n, (_, continuations) in enumerate(questions) for k, c in enumerate(continuations) if len(c) > 1]
    for rows in _chunks(longer, width, first.shape[1], max_batch_tokens):
        values = _rest(loaded, cache, [(len(prompts[n]), n, c) for n, _, c in rows])
        for (n, k, _), value in zip(rows, values, strict=True):
            totals[n][k] += value
    return totals


def _rest(loaded: Loaded, cache: Any, rows: Sequence[tuple[int, int, list[int]]]) -> list[float]:
    """Log-probability of each continuation after its first token; rows are (prompt's length, its row in the cache, ids)."""
    device = loaded.device
    lengths = [length for length, _, _ in rows]
    width, columns = max(lengths), max(len(c) for _, _, c in rows) - 1
    held = hf_cache.join([hf_cache.Part(cache, [n for _, n, _ in rows])], width)
    fed = torch.tensor([c[:-1] + [0] * (columns + 1 - len(c)) for _, _, c in rows], device=device)
    told = torch.tensor([c[1:] + [0] * (columns + 1 - len(c)) for _, _, c in rows], device=device)
    real = torch.tensor([[True] * (len(c) - 1) + [False] * (columns + 1 - len(c)) for _, _, c in rows], device=device)
    mask = torch.cat([hf_cache.mask(lengths, width, device), real], dim=1)
    positions = torch.tensor(lengths, device=device)[:, None] + torch.arange(columns, device=device)
    logits = hf_cache.logits(loaded, fed, mask, positions, held, last=columns)
    chosen = logits.gather(-1, told[..., None])[..., 0] - logits.logsumexp(-1)
    return (chosen * real).sum(-1).tolist()  # type: ignore[no-any-return]


def _chunks(
    rows: Sequence[tuple[int, int, list[int]]], width: int, vocabulary: int, most: int
) -> Iterator[list[tuple[int, int, list[int]]]]:
    """Rows that fit into memory together, of similar length."""
    chunk: list[tuple[int, int, list[int]]] = []
    for row in sorted(rows, key=lambda r: len(r[2]), reverse=True):
        longest, count = len(chunk[0][2]) if chunk else 0, len(chunk) + 1
        if chunk and (count * (width + longest) > most or count * longest * vocabulary > LOGITS):
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk
