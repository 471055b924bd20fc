"""InfoNCE with shared and own negatives, and the alignment of the two views of an item."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(
    queries: Tensor,
    positives: Tensor,
    candidates: Tensor,
    banned: Tensor,
    *,
    tau: float,
    hard: Tensor | None = None,
    hard_banned: Tensor | None = None,
    log_chance: Tensor | None = None,
) -> Tensor:
    """Mean over rows of -log exp(s+) / (exp(s+) + sum of exp(s-)), s = dot product / tau. Vectors have length 1.

    queries, positives: (rows, size). candidates: (items, size), negatives that all rows share: the other rows' positives,
    drawn items. banned: (rows, items), True where a candidate is no negative for a row: its own positives, and items that it
    names or may want as well (false negatives). hard: (rows, n, size), negatives of a row alone, with hard_banned (rows, n).
    log_chance: (items,), log of the chance that a candidate stands in the batch, subtracted from its score, so that items that
    are often positives are not pushed away for that (Yi et al., RecSys 2019); None for candidates that are always there.
    """
    wanted = (queries * positives).sum(1, keepdim=True) / tau
    others = queries @ candidates.T / tau
    if log_chance is not None:
        others = others - log_chance
    columns = [wanted, others.masked_fill(banned, -torch.inf)]
    if hard is not None:
        own = torch.einsum("rd,rnd->rn", queries, hard) / tau
        columns.append(own if hard_banned is None else own.masked_fill(hard_banned, -torch.inf))
    return (torch.logsumexp(torch.cat(columns, dim=1), dim=1) - wanted[:, 0]).mean()


def alignment(texts: Tensor, items: Tensor, *, tau: float) -> Tensor:
    """Symmetric InfoNCE between two views of the same items, row by row: each shall find its other half. (rows, size) each;
    0 for fewer than two rows."""
    if len(texts) < 2:
        return texts.sum() * 0.0
    scores = F.normalize(texts, dim=1) @ F.normalize(items, dim=1).T / tau
    own = torch.arange(len(scores))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
