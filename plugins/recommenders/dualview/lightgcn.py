"""LightGCN (He et al., SIGIR 2020) on the bipartite graph of dialogues and the items that they name or like, trained by BPR."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn import functional as F

_LAYERS = 3
_STEPS = 400
_BATCH = 4_096


def lightgcn(
    matrix: sparse.csr_matrix, size: int, seed: int, *, steps: int = _STEPS, lr: float = 0.01, decay: float = 1e-4
) -> NDArray[np.float32]:
    """`matrix` (dialogues, items) of signed entries: positive ones are edges, negative ones are drawn as negatives half of
    the time where a dialogue has some. Item vectors (items, size), the mean over the layers; zero for items without an edge."""
    dialogues, items = matrix.shape
    matrix = matrix.tocoo()
    liked, disliked = matrix.data > 0, matrix.data < 0
    rows, columns = matrix.row[liked].astype(np.int64), matrix.col[liked].astype(np.int64)
    if not len(rows):
        return np.zeros((items, size), dtype=np.float32)
    refused: dict[int, list[int]] = {}
    for row, column in zip(matrix.row[disliked].tolist(), matrix.col[disliked].tolist(), strict=True):
        refused.setdefault(row, []).append(column)
    graph = _normalised(rows, columns, dialogues, items)
    draw = torch.Generator().manual_seed(seed)
    nodes = (torch.randn(dialogues + items, size, generator=draw) * 0.1).requires_grad_()
    optimizer = torch.optim.Adam([nodes], lr=lr)
    numbers = np.random.default_rng(seed)
    for _ in range(steps):
        edges = numbers.integers(0, len(rows), min(_BATCH, len(rows)))
        users, wanted, others = rows[edges], columns[edges], numbers.integers(0, items, len(edges))
        for at in np.flatnonzero(numbers.random(len(edges)) < 0.5):
            if own := refused.get(int(users[at])):
                others[at] = own[int(numbers.integers(0, len(own)))]
        vectors = _propagated(graph, nodes)
        told, plus, minus = (vectors[torch.from_numpy(n)] for n in (users, dialogues + wanted, dialogues + others))
        loss = F.softplus((told * minus).sum(1) - (told * plus).sum(1)).mean()
        start = nodes[torch.from_numpy(np.concatenate([users, dialogues + wanted, dialogues + others]))]
        loss = loss + decay * start.square().sum() / len(edges)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        found = _propagated(graph, nodes)[dialogues:].numpy()
    found[np.bincount(columns, minlength=items) == 0] = 0.0
    out: NDArray[np.float32] = found.astype(np.float32)
    return out


def _normalised(rows: NDArray[np.int64], columns: NDArray[np.int64], dialogues: int, items: int) -> torch.Tensor:
    """D^-1/2 A D^-1/2 of the bipartite graph: dialogues first, then items."""
    degree = np.bincount(np.concatenate([rows, dialogues + columns]), minlength=dialogues + items)
    value = 1.0 / np.sqrt(degree[rows] * degree[dialogues + columns])
    ends = np.concatenate([[rows, dialogues + columns], [dialogues + columns, rows]], axis=1)
    values = torch.from_numpy(np.concatenate([value, value]).astype(np.float32))
    nodes = dialogues + items
    graph = torch.sparse_coo_tensor(torch.from_numpy(ends), values, (nodes, nodes), check_invariants=False)
    return graph.coalesce()


def _propagated(graph: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    layers = [nodes]
    for _ in range(_LAYERS):
        layers.append(torch.sparse.mm(graph, layers[-1]))
    return torch.stack(layers).mean(0)
