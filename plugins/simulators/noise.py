"""The seeker's taste as a rule-based simulator uses it, and the noise that turns some of what it says into something false."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Literal

import msgspec

from harness.api import Attributes, Catalogue, Item, Statement

from .wording import sayable

_DRAWS = 20


Value = tuple[str, str]
"""Facet and value."""


class Look(msgspec.Struct, frozen=True):
    """A shown item and which of its values are liked and disliked."""

    item: Item
    liked: tuple[Value, ...]
    disliked: tuple[Value, ...]


class Taste(msgspec.Struct, frozen=True):
    """Liked and disliked attribute values. No value is both: what the need lists as both counts as liked."""

    liked: Attributes
    disliked: Attributes

    @classmethod
    def of(cls, liked: Mapping[str, tuple[str, ...]], disliked: Mapping[str, tuple[str, ...]]) -> Taste:
        """Make consistent and drop what cannot be said (values without a letter or digit)."""
        wanted = {facet: tuple(v for v in dict.fromkeys(values) if sayable(v)) for facet, values in liked.items()}
        unwanted = {
            facet: tuple(v for v in dict.fromkeys(values) if sayable(v) and v not in wanted.get(facet, ()))
            for facet, values in disliked.items()
        }
        return cls({f: v for f, v in wanted.items() if v}, {f: v for f, v in unwanted.items() if v})

    def look(self, item: Item) -> Look:
        """What of an item matters to this taste."""
        return Look(item, _shared(self.liked, item), _shared(self.disliked, item))


def _shared(wanted: Attributes, item: Item) -> tuple[Value, ...]:
    return tuple((f, value) for f, held in item.attributes.items() if f in wanted for value in held if value in wanted[f])


class Noise:
    """With probability `eps` a statement is false: its value is replaced by another of the facet, or its polarity is flipped.

    The draw depends on (dialogue seed, facet, value) alone, so a seeker is wrong about a thing for a whole dialogue, whatever
    the turn. Replacements are drawn as often as the catalogue's items carry them and are neither liked nor disliked.
    """

    def __init__(self, eps: float, catalogue: Catalogue) -> None:
        self._eps = eps
        self._values: dict[str, list[str]] = {}
        if eps > 0:
            for item in catalogue:
                for facet, values in item.attributes.items():
                    self._values.setdefault(facet, []).extend(v for v in values if sayable(v))

    def spoken(self, statement: Statement, taste: Taste, seed: int) -> Statement:
        """What is said instead of a true statement; the statement itself where the draw spares it."""
        if self._eps <= 0:
            return statement
        rng = Random(f"{seed}|{statement.facet}|{statement.value}")
        if rng.random() >= self._eps:
            return statement
        if rng.random() < 0.5:
            return self._replaced(statement, taste, rng) or _flipped(statement)
        return _flipped(statement)

    def _replaced(self, statement: Statement, taste: Taste, rng: Random) -> Statement | None:
        values = self._values.get(statement.facet, ())
        known = {*taste.liked.get(statement.facet, ()), *taste.disliked.get(statement.facet, ())}
        if not values:
            return None
        for _ in range(_DRAWS):
            value = rng.choice(values)
            if value not in known:
                return Statement(statement.facet, value, statement.polarity)
        return next((Statement(statement.facet, v, statement.polarity) for v in values if v not in known), None)


def _flipped(statement: Statement) -> Statement:
    polarity: Literal[1, -1] = -1 if statement.polarity > 0 else 1
    return Statement(statement.facet, statement.value, polarity)
