"""Tokens of the semantic view: words, and attribute values as (facet, value).

A value that training never saw still matches itself: its vector is made of its name by a hash, the same on both sides.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Catalogue
from harness.text import normalise

Floats = NDArray[np.float32]
Value = tuple[str, str]
"""(facet, normalised value)"""


class Vocabulary(msgspec.Struct, frozen=True):
    """What has a learned vector. Words that are not here share `buckets` vectors; facets that are not here share row 0."""

    words: tuple[str, ...]
    values: tuple[Value, ...]
    facets: tuple[str, ...]
    buckets: int

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], catalogue: Catalogue, *, least: int, buckets: int) -> Vocabulary:
        """Words that stand in at least `least` texts, and all values of the catalogue."""
        counts = Counter(word for text in texts for word in set(text))
        words = tuple(sorted(word for word, count in counts.items() if count >= least))
        values = dict.fromkeys(_key(f, v) for item in catalogue for f, held in item.attributes.items() for v in held)
        return cls(words, tuple(values), tuple(dict.fromkeys(f for f, _ in values)), buckets)


class Tokens:
    """Token numbers for one catalogue: the vocabulary's first, then the catalogue's values that training never saw.

    0..W-1 words, W..W+buckets-1 other words, then values. `rarity` is each value's log((items + 1) / (items with it + 1)) in
    *this* catalogue (0 for words), `facet` its row of the facet table, `names` the hash vectors' source.
    """

    def __init__(self, vocabulary: Vocabulary, catalogue: Catalogue) -> None:
        self._words = {word: n for n, word in enumerate(vocabulary.words)}
        self._buckets = vocabulary.buckets
        self.first_value = len(vocabulary.words) + vocabulary.buckets
        known = {value: n for n, value in enumerate(vocabulary.values)}
        self.known = len(known)
        held = Counter(key for item in catalogue for key in {_key(f, v) for f, named in item.attributes.items() for v in named})
        for key in sorted(held):
            known.setdefault(key, len(known))
        self._values = known
        self.keys = list(known)
        rows = {facet: n + 1 for n, facet in enumerate(vocabulary.facets)}
        self.facet = np.array([rows.get(facet, 0) for facet, _ in self.keys], dtype=np.int64)
        items = len(catalogue)
        self.rarity = np.array([math.log((items + 1) / (held[key] + 1)) for key in self.keys], dtype=np.float32)
        self.count = self.first_value + len(self.keys)
        self._bucket = lru_cache(maxsize=65_536)(self._hash)

    def word(self, word: str) -> int:
        """The token of a folded word."""
        known = self._words.get(word)
        return self._bucket(word) if known is None else known

    def value(self, facet: str, value: str) -> int | None:
        """The token of a value; None for one that neither training nor the catalogue knows."""
        place = self._values.get(_key(facet, value))
        return None if place is None else self.first_value + place

    def _hash(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        return len(self._words) + int.from_bytes(digest, "big") % self._buckets


def hash_vectors(keys: Sequence[Value], size: int) -> Floats:
    """One vector of +-1/sqrt(size) per value, made of facet and value alone: equal on every machine. Shape (keys, size)."""
    if not keys:
        return np.zeros((0, size), dtype=np.float32)
    digests = [hashlib.shake_256("\x1f".join(key).encode()).digest((size + 7) // 8) for key in keys]
    bits = np.unpackbits(np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(keys), -1), axis=1)[:, :size]
    return np.asarray((bits * 2.0 - 1.0) / math.sqrt(size), dtype=np.float32)


@lru_cache(maxsize=65_536)
def _key(facet: str, value: str) -> Value:
    return facet, normalise(value) or value
