"""The forward pass of a batch, and its keys and values: buffers with room, from which rows can be moved to another batch.

All rows end at the same column: row i of length n occupies the last n of the columns in use, and zeros or what a longer
neighbour left lie before it. This module imports torch and transformers: import it only where a model is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import torch
from transformers.cache_utils import Cache, DynamicLayer

from harness.llm.hf_load import Loaded

ROOM = 128
"""Columns by which a full buffer grows: copying is rare, and little memory lies idle."""


Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of one row in every layer, [heads, columns, size]."""


class KvLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not type-checked
    """One layer's keys and values [rows, heads, columns, size]. New columns are written in place, where transformers' own layer
    copies everything for each token."""

    def __init__(self) -> None:
        super().__init__()
        self._key_buffer: torch.Tensor | None = None
        self._value_buffer: torch.Tensor | None = None
        self._used = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns; returns views of all columns in use."""
        end = self._used + key_states.shape[2]
        self._key_buffer = _fitting(self._key_buffer, key_states, self._used, end)
        self._value_buffer = _fitting(self._value_buffer, value_states, self._used, end)
        self._key_buffer[:, :, self._used : end] = key_states
        self._value_buffer[:, :, self._used : end] = value_states
        self._show(end)
        return self.keys, self.values

    def hold(self, key_buffer: torch.Tensor, value_buffer: torch.Tensor, used: int) -> None:
        """Take over filled buffers."""
        self._key_buffer, self._value_buffer = key_buffer, value_buffer
        self._show(used)

    def _show(self, used: int) -> None:
        self._used = used
        self.keys = self._key_buffer[:, :, :used]  # type: ignore[index]
        self.values = self._value_buffer[:, :, :used]  # type: ignore[index]
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True


class Part(msgspec.Struct, frozen=True):
    """Rows to take from a cache: their numbers there."""

    cache: Any
    rows: Sequence[int]


def logits(
    loaded: Loaded, ids: torch.Tensor, attention: torch.Tensor, positions: torch.Tensor, cache: Any, *, last: int = 1
) -> torch.Tensor:
    """One forward pass: float32 logits [rows, last, vocabulary] after the last columns of `ids` [rows, columns].

    `attention` [rows, columns held and new] and `positions` [rows, columns] are as transformers takes them; without a cache
    nothing is kept. The logits come back to where the ids are, wherever device_map has put the last layer.
    """
    arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": attention, "use_cache": cache is not None}
    if cache is not None:
        arguments["past_key_values"] = cache
    if "position_ids" in loaded.arguments:
        arguments["position_ids"] = positions
    if "logits_to_keep" in loaded.arguments:
        arguments["logits_to_keep"] = last
    return cast(torch.Tensor, loaded.model(**arguments).logits[:, -last:].float().to(ids.device))


def empty() -> Any:
    """A cache without rows; the model's forward fills it."""
    return Cache(layer_class_to_replicate=KvLayer)


def used(cache: Any) -> int:
    """Columns in use."""
    return int(cache.get_seq_length())


def join(parts: Sequence[Part], width: int) -> Any:
    """One cache of the given rows, in order, cut to the last `width` columns: the length of the longest of them."""
    joined = empty()
    for number in range(len(parts[0].cache.layers)):
        layer = KvLayer()
        sources = [part.cache.layers[number] for part in parts]
        keys = _right_aligned([(part.rows, source.keys) for part, source in zip(parts, sources, strict=True)], width)
        values = _right_aligned([(part.rows, source.values) for part, source in zip(parts, sources, strict=True)], width)
        layer.hold(keys, values, width)
        joined.layers.append(layer)
    return joined


def cut(cache: Any, row: int, length: int) -> Layers:
    """Copies of one row's last `length` columns in every layer, keys and values [heads, length, size]."""
    return [(_tail(layer.keys, row, length), _tail(layer.values, row, length)) for layer in cache.layers]


def lay(beginnings: Sequence[Layers | None], lengths: Sequence[int], width: int) -> Any:
    """One cache whose row i holds the first `lengths[i]` columns of what `cut` gave for it, ending at column `width`."""
    laid = empty()
    known = [
        (row, layers, length) for row, (layers, length) in enumerate(zip(beginnings, lengths, strict=True)) if layers and length
    ]
    for number in range(len(known[0][1])):
        layer = KvLayer()
        keys, values = (
            _laid([(row, layers[number][which], length) for row, layers, length in known], len(lengths), width)
            for which in (0, 1)
        )
        layer.hold(keys, values, width)
        laid.layers.append(layer)
    return laid


def mask(lengths: Sequence[int], width: int, device: Any, *, extra: int = 0) -> torch.Tensor:
    """Attention mask [rows, width + extra]: False before the last `lengths[i]` of the first `width` columns."""
    columns = torch.arange(width + extra, device=device)
    return columns >= (width - torch.tensor(lengths, device=device))[:, None]


def _right_aligned(pieces: Sequence[tuple[Sequence[int], torch.Tensor]], width: int) -> torch.Tensor:
    first = pieces[0][1]
    buffer = first.new_empty(sum(len(rows) for rows, _ in pieces), first.shape[1], width + ROOM, first.shape[3])
    at = 0
    for rows, source in pieces:
        target = buffer[at : at + len(rows), :, :width]
        have = min(width, source.shape[2])
        # Columns before a row's beginning are masked, but a masked NaN would still spoil the sum over values.
        target[:, :, : width - have] = 0
        target[:, :, width - have :] = source[torch.tensor(rows, device=source.device), :, source.shape[2] - have :]
        at += len(rows)
    return buffer


def _tail(source: torch.Tensor, row: int, length: int) -> torch.Tensor:
    return source[row, :, source.shape[2] - length :].clone()


def _laid(pieces: Sequence[tuple[int, torch.Tensor, int]], rows: int, width: int) -> torch.Tensor:
    first = pieces[0][1]
    buffer = first.new_zeros(rows, first.shape[0], width + ROOM, first.shape[2])
    for row, source, length in pieces:
        buffer[row, :, width - length : width] = source[:, :length]
    return buffer


def _fitting(buffer: torch.Tensor | None, new: torch.Tensor, kept: int, end: int) -> torch.Tensor:
    if buffer is not None and end <= buffer.shape[2]:
        return buffer
    larger = new.new_empty(new.shape[0], new.shape[1], end + ROOM, new.shape[3])
    if buffer is not None:
        larger[:, :, :kept] = buffer[:, :, :kept]
    return larger
