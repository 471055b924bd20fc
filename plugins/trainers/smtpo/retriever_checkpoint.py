"""What a retriever's training needs to go on: written whole after each epoch, as safetensors and JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

LAST, BEST = "last.safetensors", "best.safetensors"


class Checkpoint:
    """`last` holds weights, optimiser, lists and the curve in one file, so that no kill can leave halves; `best` weights."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}

    def load(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, int, NDArray[np.int64]] | None:
        """Puts weights and optimiser back. Epochs done, epochs since the best one, and the mined lists; None at a start."""
        file = self._folder / LAST
        if not file.exists():
            return None
        with safe_open(file, "pt") as opened:
            told = msgspec.json.decode(opened.metadata()["state"])
        tensors = load_file(file)
        model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, field = name.split(".")
                state.setdefault(int(number), {})[field] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.curve, self.best = told["curve"], told["best"]
        return told["epochs"], told["since"], tensors["mined"].numpy()

    def save(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, epochs: int, since: int, mined: NDArray[np.int64],
        curve: list[dict[str, Any]], best: dict[str, Any],
    ) -> None:  # fmt: skip
        """Replace the last checkpoint."""
        tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
        for number, fields in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{field}": value.contiguous() for field, value in fields.items()}
        tensors["mined"] = torch.from_numpy(np.ascontiguousarray(mined))
        told = {"epochs": epochs, "since": since, "curve": curve, "best": best}
        self._write(LAST, tensors, {"state": msgspec.json.encode(told).decode()})

    def keep(self, model: torch.nn.Module) -> None:
        """These weights are the best so far."""
        self._write(BEST, {name: tensor.contiguous() for name, tensor in model.state_dict().items()}, None)

    def restore_best(self, model: torch.nn.Module) -> None:
        """Put the best weights back."""
        if (self._folder / BEST).exists():
            model.load_state_dict(load_file(self._folder / BEST))

    def _write(self, name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> None:
        beside = self._folder / f".{name}.{os.getpid()}"
        save_file(tensors, beside, metadata)
        beside.replace(self._folder / name)
