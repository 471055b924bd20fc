"""Muon for the matrices of a network and AdamW for the rest, as one optimiser.

Muon: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. What makes small models learn to scan
within minutes on a CPU (docs/smtpo.md). Written here because torch.optim.Muon computes in bfloat16, which took 35 ms per
384 x 128 matrix on a CPU without such instructions, against 2.4 ms in float32: a third of a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def orthogonalised(matrix: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """U V' of the singular value decomposition U S V', roughly, by the quintic Newton-Schulz iteration of Muon's authors."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class MuonAdamW(torch.optim.Optimizer):
    """Two-dimensional parameters but embeddings are moved by Muon, all others by AdamW."""

    def __init__(
        self,
        named: Iterable[tuple[str, torch.nn.Parameter]],
        *,
        muon_lr: float,
        adamw_lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        """`named` as of Module.named_parameters(). Nesterov momentum; `weight_decay` is of Muon's matrices."""
        matrices, others = [], []
        for name, parameter in named:
            if parameter.requires_grad:
                is_matrix = parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
                (matrices if is_matrix else others).append(parameter)
        groups = [
            {"params": matrices, "lr": muon_lr, "momentum": momentum, "weight_decay": weight_decay, "kind": "muon"},
            {"params": others, "lr": adamw_lr, "betas": (0.9, 0.98), "eps": 1e-8, "kind": "adamw"},
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else closure()
        for group in self.param_groups:
            move = self._muon if group["kind"] == "muon" else self._adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move(parameter, parameter.grad, group, self.state[parameter])
        return loss

    @staticmethod
    def _muon(parameter: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        average = state.setdefault("average", torch.zeros_like(parameter))
        average.lerp_(gradient, 1 - group["momentum"])
        direction = orthogonalised(gradient.lerp(average, group["momentum"]))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
        parameter.add_(direction, alpha=-group["lr"] * scale)

    @staticmethod
    def _adamw(parameter: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        first, second = group["betas"]
        mean = state.setdefault("mean", torch.zeros_like(parameter))
        square = state.setdefault("square", torch.zeros_like(parameter))
        state["steps"] = steps = state.get("steps", 0) + 1
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (square / (1 - second**steps)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(mean, scale, value=-group["lr"] / (1 - first**steps))
