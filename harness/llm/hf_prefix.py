"""Keys and values of prompts' beginnings, kept for the prompts to come.

A dialogue's next prompt repeats the one before and what was answered, and all dialogues of a role begin with the same
instructions: most of a prompt has been computed already.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

BLOCK = 16
"""Tokens by which beginnings are found; a shorter common beginning isn't worth reusing."""


class Beginning:
    """Tokens, and the keys and values [heads, tokens, size] that they have in every layer. Compared by identity."""

    __slots__ = ("layers", "tokens")

    def __init__(self, tokens: list[int], layers: list[tuple[Any, Any]]) -> None:
        self.tokens, self.layers = tokens, layers


class PrefixStore:
    """The beginnings used last, `max_tokens` tokens of them altogether."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._held = 0
        self._kept: collections.OrderedDict[Beginning, None] = collections.OrderedDict()
        self._blocks: dict[int, Beginning] = {}
        """Hash of the first n * BLOCK tokens -> the latest beginning that has them."""

    def find(self, tokens: Sequence[int]) -> tuple[Beginning | None, int]:
        """The beginning that shares most tokens with these, and how many, but never all: something is left to compute.

        (None, 0) if there is none worth it.
        """
        best: Beginning | None = None
        for key in _keys(tokens):
            found = self._blocks.get(key)
            if found is None:
                break
            best = found
        if best is None:
            return None, 0
        shared = min(common(best.tokens, tokens), len(tokens) - 1)
        if shared < BLOCK:
            return None, 0
        self._kept.move_to_end(best)
        return best, shared

    def add(self, beginning: Beginning, instead: Beginning | None = None) -> None:
        """Keep a beginning, `instead` of a shorter one that it contains; the ones unused for longest make room."""
        if len(beginning.tokens) > self._max_tokens:
            return
        if instead is not None and instead in self._kept and common(instead.tokens, beginning.tokens) == len(instead.tokens):
            self._drop(instead)
        self._kept[beginning] = None
        self._held += len(beginning.tokens)
        for key in _keys(beginning.tokens):
            self._blocks[key] = beginning
        while self._held > self._max_tokens:
            self._drop(next(iter(self._kept)))

    def _drop(self, beginning: Beginning) -> None:
        del self._kept[beginning]
        self._held -= len(beginning.tokens)
        for key in _keys(beginning.tokens):
            if self._blocks.get(key) is beginning:
                del self._blocks[key]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    limit = min(len(one), len(other))
    # Halving compares slices at C speed instead of tokens in a loop.
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _keys(tokens: Sequence[int]) -> Iterator[int]:
    key = 0
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        key = hash((key, tuple(tokens[end - BLOCK : end])))
        yield key
