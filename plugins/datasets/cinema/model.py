"""The generative model: who likes what, and how reliably people say what they want.

**Taste.** There are K taste types. Type z draws films from a fixed distribution P[z, i] over the N films,

    P[z, i] ~ exp( fame_i + genre . g_z + persons . f_z + country . c_z + years . d_z + tone_i . t_z )

with one weight per film (fame), weights of the type for what is in the catalogue (genres, favourite directors and stars,
countries, a favourite period) and a dot product with a tone of the film that *no* attribute shows. The genre weights and the
tone weights of all types are combinations of a few shared factors, so that types overlap: this is the collaborative
structure, and the tone is the part of it that content cannot replace. Films that a type can't stand come from
D[z, i] ~ exp(fame_i - taste part), for people dislike what they have heard of.

**A dialogue.** A user has one type, drawn uniformly. Liked films, targets ~ P[z], disliked films ~ D[z], one after another and
each without all films that the dialogue has named before.

**Statements.** For each target the user holds a list of values per facet that they would state if asked (the noisy need).
A wanted value of facet f is, with probability r_f, one of the target's own values (uniformly), else the value of *another*
film drawn from the user's taste, P[z]: an unreliable statement is about taste, not about this wish. Further values of the same
facet follow the same law given that they differ. An unwanted value is, with probability u_f, one that the target doesn't have
(drawn by its share in the catalogue), else one that it has. How many values a facet gets does not depend on the target.

The r_f are hidden from recommenders and far from equal, so that weighing statements pays. Everything is exactly computable: see
`ceilings`.

Random numbers come from `random.Random.random()` alone, whose sequence Python guarantees over versions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from random import Random

import numpy as np
from numpy.typing import NDArray

from harness.api import Catalogue

from .films import FACETS
from .levels import Level

Floats = NDArray[np.float64]

TYPES = 40
_FACTORS = 7
_TONES = 6
_FAVOURITE_DIRECTORS = 8
_FAVOURITE_STARS = 12
# Standard deviations or sizes of the terms in the exponent of P.
_FAME = 1.1
_GENRE = 1.3
_PERSON = 1.3
_COUNTRY = 0.5
_PERIOD = 1.2
_TONE = 1.8
_DISLIKE = 0.8


def normal(draw: Random) -> float:
    """A standard normal number by Box and Muller."""
    return math.sqrt(-2.0 * math.log(1.0 - draw.random())) * math.cos(2.0 * math.pi * draw.random())


def normals(draw: Random, *shape: int) -> Floats:
    """An array of standard normal numbers."""
    return np.array([normal(draw) for _ in range(math.prod(shape))]).reshape(shape)


def categorical(draw: Random, weights: Floats) -> int:
    """An index drawn in proportion to non-negative weights."""
    return _within(draw, weights.cumsum())


def _within(draw: Random, edges: Floats) -> int:
    """As `categorical`, by the weights' running sums."""
    return min(int(edges.searchsorted(draw.random() * edges[-1], side="right")), len(edges) - 1)


class World:
    """The films and the taste types over them; the same for every level of difficulty.

    `values[f]` are the values of a facet, `code[f]` their numbers. The tables are computed when they are first needed.
    """

    def __init__(self, catalogue: Catalogue, seed: int) -> None:
        self.catalogue = catalogue
        self.seed = seed
        self.values: dict[str, list[str]] = {
            facet: sorted({value for item in catalogue for value in item.attributes[facet]}) for facet in FACETS
        }
        self.code: dict[str, dict[str, int]] = {
            facet: {value: n for n, value in enumerate(names)} for facet, names in self.values.items()
        }

    @cached_property
    def share(self) -> dict[str, Floats]:
        """Per facet V x N: 1 / number of the film's values where the film has value v, else 0."""
        out = {}
        for facet, code in self.code.items():
            share = np.zeros((len(code), len(self.catalogue)))
            held = [item.attributes[facet] for item in self.catalogue]
            values = [code[value] for of_film in held for value in of_film]
            counts = [len(of_film) for of_film in held]
            share[values, np.repeat(np.arange(len(held)), counts)] = np.repeat(1.0 / np.array(counts), counts)
            out[facet] = share
        return out

    @cached_property
    def _exponents(self) -> tuple[Floats, Floats]:
        return self._draw_exponents(Random(f"cinema/world/{self.seed}"))

    @cached_property
    def taste(self) -> Floats:
        """P[z, i], K x N; each row sums to 1."""
        fame, inclination = self._exponents
        return _softmax(fame + inclination)

    @cached_property
    def distaste(self) -> Floats:
        """D[z, i], K x N; each row sums to 1."""
        fame, inclination = self._exponents
        return _softmax(fame - _DISLIKE * inclination)

    def _draw_exponents(self, draw: Random) -> tuple[Floats, Floats]:
        count = len(self.catalogue)
        fame = _FAME * normals(draw, count)
        factors = normals(draw, TYPES, _FACTORS) / math.sqrt(_FACTORS)
        of_genre = factors @ normals(draw, _FACTORS, len(self.values["genre"]))
        tone = normals(draw, count, _TONES) / math.sqrt(_TONES)
        of_tone = 0.7 * factors @ normals(draw, _FACTORS, _TONES) + 0.7 * normals(draw, TYPES, _TONES)
        has_genre = self.share["genre"] > 0
        out: Floats = _GENRE * (of_genre @ self.share["genre"]) * np.sqrt(has_genre.sum(axis=0))
        out += _TONE * (of_tone @ tone.T)
        out += _COUNTRY * normals(draw, TYPES, len(self.values["country"])) @ self.share["country"]
        years = np.array([item.year or 0 for item in self.catalogue], dtype=np.float64)
        for z in range(TYPES):
            middle, width = 1965.0 + 55.0 * draw.random(), 9.0 + 12.0 * draw.random()
            out[z] += _PERIOD * np.exp(-(((years - middle) / width) ** 2) / 2.0)
        for facet, favourites in (("director", _FAVOURITE_DIRECTORS), ("star", _FAVOURITE_STARS)):
            # Only people with several films bind films together.
            has = (self.share[facet] > 0).astype(np.float64)
            has = has[has.sum(axis=1) > 1]
            films = has.sum(axis=1)
            appeal = films * np.exp(out @ has.T / films)
            for z in range(TYPES):
                loved = np.zeros(len(films))
                for _ in range(favourites):
                    person = categorical(draw, appeal[z])
                    appeal[z, person] = 0.0
                    loved[person] = 1.0
                out[z] += _PERSON * np.minimum(loved @ has, 1.0)
        return fame, out

    def averaged(self) -> World:
        """A world with one type, the average of all: what is known to somebody who knows nobody's taste."""
        out = World(self.catalogue, self.seed)
        out.share = self.share
        out.taste = self.taste.mean(axis=0, keepdims=True)
        out.distaste = self.distaste.mean(axis=0, keepdims=True)
        return out

    @cached_property
    def own_share(self) -> dict[str, Floats]:
        """Per facet K x V: probability that a film drawn from the type's taste gives value v."""
        return {facet: self.taste @ share.T for facet, share in self.share.items()}

    @cached_property
    def base(self) -> dict[str, Floats]:
        """Per facet V: share of a value in the whole catalogue."""
        return {facet: share.mean(axis=1) for facet, share in self.share.items()}

    @cached_property
    def foreign(self) -> dict[str, Floats]:
        """Per facet N: mass in `base` of the values that the film does not have."""
        return {facet: 1.0 - self.base[facet] @ (self.share[facet] > 0) for facet in FACETS}

    # ------------------------------------------------------------------------------------------------- statements

    def draw_wanted(self, draw: Random, level: Level, facet: str, film: int, taste: int) -> int:
        """The code of a wanted value that a user of that type states about the film."""
        if draw.random() >= level.reliability[facet]:
            film = _within(draw, self._taste_edges[taste])
        values, edges = self._share_edges[facet][film]
        return int(values[_within(draw, edges)])

    @cached_property
    def _taste_edges(self) -> Floats:
        return self.taste.cumsum(axis=1)

    @cached_property
    def _share_edges(self) -> dict[str, list[tuple[NDArray[np.intp], Floats]]]:
        """Per facet and film the codes of its values and the running sums of their shares: all other values have none."""
        held = {facet: [np.flatnonzero(of_film) for of_film in share.T] for facet, share in self.share.items()}
        return {
            facet: [(values, self.share[facet][values, film].cumsum()) for film, values in enumerate(of_films)]
            for facet, of_films in held.items()
        }

    def draw_unwanted(self, draw: Random, level: Level, facet: str, film: int) -> int:
        """The code of a value that the user says they do not want."""
        if draw.random() < level.unwanted_reliability[facet]:
            return categorical(draw, np.where(self.share[facet][:, film] > 0, 0.0, self.base[facet]))
        return categorical(draw, self.share[facet][:, film])

    def wanted(self, level: Level, facet: str, value: int, types: NDArray[np.intp], films: Sequence[int] | slice) -> Floats:
        """P(a wanted statement gives `value` | film, type): len(types) x len(films)."""
        trust = level.reliability[facet]
        own, elsewhere = self.share[facet][value, films], self.own_share[facet][types, value]
        out: Floats = trust * own[None, :] + (1.0 - trust) * elsewhere[:, None]
        return out

    def unwanted(self, level: Level, facet: str, value: int, films: Sequence[int] | slice) -> Floats:
        """P(an unwanted statement gives `value` | film): 1 x len(films)."""
        trust = level.unwanted_reliability[facet]
        held = self.share[facet][value, films]
        other = self.base[facet][value] / self.foreign[facet][films]
        return np.where(held > 0, (1.0 - trust) * held, trust * other)[None, :]

    def likelihood(
        self,
        level: Level,
        facet: str,
        said: Iterable[tuple[int, int]],
        types: NDArray[np.intp],
        films: Sequence[int] | slice = slice(None),
        given: Iterable[int] = (),
    ) -> Floats:
        """P(the values stated of one facet, in their order | film, type): len(types) or 1 x len(films).

        said = (value, polarity) pairs; all values differ, and differ from those stated before, `given`.
        """
        out: Floats = np.ones((1, 1))
        earlier = list(given)
        for value, polarity in said:
            if polarity > 0:
                out = out * self.wanted(level, facet, value, types, films)
                taken = [self.wanted(level, facet, other, types, films) for other in earlier]
            else:
                out = out * self.unwanted(level, facet, value, films)
                taken = [self.unwanted(level, facet, other, films) for other in earlier]
            if taken:
                out = out / (1.0 - sum(taken))
            earlier.append(value)
        return out


def _softmax(logits: Floats) -> Floats:
    weights: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
