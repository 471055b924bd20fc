"""Noise on a finished text: with probability eps a sentence that states an attribute states something false instead."""

from __future__ import annotations

import re
from random import Random
from typing import Final, Literal

from harness.api import Catalogue, Statement
from harness.text import AttributeIndex

from ...facets import noun_of
from ..noise import Noise, Taste
from ..speech import UNWANTED, WANTED
from ..wording import phrase

_SENTENCE: Final = re.compile(r"[^.!?]*[.!?]+(?=\s|$)|[^.!?]+$|[.!?]+")


class NoisyText:
    """The noise of the simulator `rule` for texts that come from a model: a value is replaced by another of its facet, or its
    polarity flipped, by a draw from (dialogue seed, facet, value) alone. Sentences without an attribute stay as they are."""

    def __init__(self, eps: float, catalogue: Catalogue) -> None:
        self._eps = eps
        self._noise = Noise(eps, catalogue)
        self._index = AttributeIndex(catalogue) if eps > 0 else None
        self._noun = noun_of(catalogue)

    def said(self, text: str, seed: int) -> str:
        """What is said instead of `text`."""
        if self._index is None:
            return text
        sentences = [part.strip() for part in _SENTENCE.findall(text)]
        return " ".join(self._sentence(sentence, seed, self._index) for sentence in sentences if sentence)

    def _sentence(self, sentence: str, seed: int, index: AttributeIndex) -> str:
        statements = index.statements(sentence)
        spoken = [self._noise.spoken(s, _taste(s), seed) for s in statements]
        if all(a == b for a, b in zip(statements, spoken, strict=True)):
            return sentence
        # Rewritten whole, one plain sentence per statement: a value swapped inside would leave the old words around it.
        return " ".join(self._plainly(statement, seed) for statement in spoken)

    def _plainly(self, statement: Statement, seed: int) -> str:
        templates = (WANTED if statement.polarity > 0 else UNWANTED)["new"]
        template = Random(f"{seed}|{statement.value}").choice(templates)
        said = template.replace("{np}", phrase(statement.facet, (statement.value,), self._noun))
        return said[:1].upper() + said[1:]


def _taste(statement: Statement) -> Taste:
    """The value itself is no replacement for it."""
    held: dict[str, tuple[str, ...]] = {statement.facet: (statement.value,)}
    polarity: Literal[1, -1] = statement.polarity
    return Taste(held, {}) if polarity > 0 else Taste({}, held)
