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
    # Answers to one question often differ in their last token alone ("... Yes", "... No"): what comes before is computed once.
    heads: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for n, (_, continuations) in enumerate(questions):
        for k, said in enumerate(continuations):
            if len(said) > 1:
                heads.setdefault((n, *said[:-1]), []).append((k, said[-1]))
    for rows in _chunks(list(heads), width, first.shape[1], max_batch_tokens):
        values = _rest(loaded, cache, [(len(prompts[n]), n, head) for n, *head in rows], [heads[row] for row in rows])
        for row, found in zip(rows, values, strict=True):
            for (k, _), value in zip(heads[row], found, strict=True):
                totals[row[0]][k] += value
    return totals


def _rest(
    loaded: Loaded,
    cache: Any,
    rows: Sequence[tuple[int, int, list[int]]],
    ends: Sequence[Sequence[tuple[int, int]]],
) -> list[list[float]]:
    """Log-probability of what comes after each row's first token, with each of its ends (whose second part is the token).

    A row is (prompt's length, its row in the cache, ids).
    """
    device = loaded.device
    lengths = [length for length, _, _ in rows]
    width, columns = max(lengths), max(len(head) for _, _, head in rows)
    held = hf_cache.join([hf_cache.Part(cache, [n for _, n, _ in rows])], width)
    fed = torch.tensor([head + [0] * (columns - len(head)) for _, _, head in rows], device=device)
    told = torch.tensor([head[1:] + [0] * (columns + 1 - len(head)) for _, _, head in rows], device=device)
    real = torch.tensor([[True] * len(head) + [False] * (columns - len(head)) for _, _, head in rows], device=device)
    mask = torch.cat([hf_cache.mask(lengths, width, device), real], dim=1)
    positions = torch.tensor(lengths, device=device)[:, None] + torch.arange(columns, device=device)
    logits = hf_cache.logits(loaded, fed, mask, positions, held, last=columns)
    norms = logits.logsumexp(-1)
    last = real.sum(-1) - 1
    inner = real & (torch.arange(columns, device=device) < last[:, None])
    before = ((logits.gather(-1, told[..., None])[..., 0] - norms) * inner).sum(-1).tolist()
    found = []
    for n, (total, place) in enumerate(zip(before, last.tolist(), strict=True)):
        tokens = torch.tensor([token for _, token in ends[n]], device=device)
        found.append([total + value for value in (logits[n, place, tokens] - norms[n, place]).tolist()])
    return found


def _chunks(rows: Sequence[tuple[int, ...]], width: int, vocabulary: int, most: int) -> Iterator[list[tuple[int, ...]]]:
    """Rows that fit into memory together, of similar length."""
    chunk: list[tuple[int, ...]] = []
    for row in sorted(rows, key=len, reverse=True):
        longest, count = len(chunk[0]) if chunk else 0, len(chunk) + 1
        if chunk and (count * (width + longest) > most or count * longest * vocabulary > LOGITS):
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk
