"""Muon for the matrices of a network and AdamW for the rest, as one optimiser.

Muon: Jordan et al. 2024, as torch.optim.Muon has it. What made small models learn to scan within minutes on a CPU (docs/smtpo.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from harness.errors import UsageError


class MuonAdamW(torch.optim.Optimizer):
    """Two optimisers behind one set of parameter groups, so that schedules and checkpoints see a single one."""

    def __init__(self, named: Iterable[tuple[str, torch.nn.Parameter]], *, muon_lr: float, adamw_lr: float) -> None:
        """Two-dimensional parameters but embeddings go to Muon. Raises UsageError for a torch without Muon."""
        if not hasattr(torch.optim, "Muon"):
            raise UsageError(f"torch {torch.__version__} has no Muon: take torch 2.9 or later, or optimizer = 'adamw'")
        matrices, others = [], []
        for name, parameter in named:
            if parameter.requires_grad:
                is_matrix = parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
                (matrices if is_matrix else others).append(parameter)
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, lr=muon_lr, weight_decay=0.01, ns_steps=4))
        if others:
            self._parts.append(torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.98), weight_decay=0.0))
        super().__init__([*matrices, *others], {})
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, held in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(held)
        self.param_groups = [group for part in self._parts for group in part.param_groups]
