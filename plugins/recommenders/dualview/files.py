"""The files of a retriever's artefact: `retriever.json` (shape, vocabulary, items) and `model.safetensors`. No pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

from .model import Shape
from .vocabulary import Vocabulary

CONFIG, WEIGHTS = "retriever.json", "model.safetensors"
_TABLES = ("collaborative.given", "collaborative.found")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of retriever.json."""

    format: int = 1
    shape: Shape
    vocabulary: Vocabulary
    items: tuple[str, ...]
    """`items.key` of the rows of the collaborative tables."""
    encoder: str | None = None
    """The sentence encoder that was trained with: a name or folder."""


class Files(msgspec.Struct, frozen=True):
    """What is read: weights by their name in the model, and the collaborative tables (items, size)."""

    config: Config
    weights: dict[str, Any]
    given: NDArray[np.float32]
    found: NDArray[np.float32]


def write(
    folder: Path, config: Config, weights: Mapping[str, Any], given: NDArray[np.float32], found: NDArray[np.float32]
) -> None:
    """Write both files. Numbers are stored in half precision."""
    import torch
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in weights.items()}
    tensors |= {
        name: torch.from_numpy(np.ascontiguousarray(t)).to(torch.float16)
        for name, t in zip(_TABLES, (given, found), strict=True)
    }
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=0))


def read(folder: Path) -> Files:
    """Raises DataError for files that are missing, damaged or of another format."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=Config)
        tensors = {name: tensor.to(torch.float32) for name, tensor in load_file(folder / WEIGHTS).items()}
        given, found = (tensors.pop(name).numpy() for name in _TABLES)
    except (OSError, msgspec.DecodeError, SafetensorError, KeyError) as error:
        raise DataError(f"{folder}: no retriever can be read: {error}; train it again: harness train smtpo") from None
    if config.format != 1 or given.shape != found.shape or len(given) != len(config.items):
        raise DataError(f"{folder}/{CONFIG}: format {config.format} with {len(config.items)} items does not fit its weights")
    return Files(config, tensors, given, found)
