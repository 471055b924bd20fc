"""Draws users, their dialogues' films and what they would state: everything but the words.

One dialogue is a list of *wishes*. For each wish the recommender's answer is one new film, the target; a recommending turn
may instead, or in addition, come back to a film that was named before, as people do.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from .levels import Level
from .model import TYPES, Floats, World, categorical

Reaction = Literal["loved", "will_watch", "seen", "disliked", "none"]

BACK_ONLY = 0.07
"""Probability that a recommending turn names only a film that was named before (if there is one); such turns may repeat."""
BACK_TOO = 0.08
"""Probability that it names one beside the target."""
_WISHES = (0.0, 0.0, 0.4, 0.42, 0.18)
_FIRST_LIKED = (0.2, 0.34, 0.32, 0.14)
_LATER_LIKED = (0.55, 0.35, 0.1)
_FIRST_DISLIKED = 0.15
_LATER_DISLIKED = 0.12
_REACTIONS: tuple[tuple[Reaction, float], ...] = (
    ("loved", 0.3),
    ("will_watch", 0.35),
    ("seen", 0.1),
    ("disliked", 0.1),
    ("none", 0.15),
)
_RETRACTED = 0.05
_DIALOGUES = (0.0, 0.25, 0.4, 0.35)
"""Probability that a training user has 0, 1, 2 ... dialogues."""
# Weights with which the next statement made in a dialogue is of a facet.
_SPOKEN = {"genre": 5.0, "star": 3.0, "decade": 2.0, "director": 2.0, "country": 1.5}


class Said(msgspec.Struct, frozen=True, array_like=True):
    """One value that the user states or would state, coded as in `World`. `retracted`: a value said by mistake just before."""

    facet: str
    value: int
    polarity: int
    retracted: int = -1


class Wish(msgspec.Struct, frozen=True):
    """What leads to one target. Film numbers are catalogue positions.

    `liked`, `disliked`: films named with this wish. `said`: statements made, in order. `unsaid`: what the user could have
    added.
    `backs`: for each recommending turn before the one that names the target, the old film that it names and how many of the
    statements were made by then. `beside`: an old film named together with the target, or -1.
    """

    target: int
    liked: tuple[int, ...]
    disliked: tuple[int, ...]
    said: tuple[Said, ...]
    unsaid: tuple[Said, ...]
    backs: tuple[tuple[int, int], ...]
    beside: int
    reaction: Reaction


class Plan(msgspec.Struct, frozen=True):
    """One dialogue without words. `later_liked`, `later_disliked` are films that the user would have named next."""

    id: str
    user: str
    wishes: tuple[Wish, ...]
    later_liked: tuple[int, ...]
    later_disliked: tuple[int, ...]


class Style(msgspec.Struct, frozen=True):
    """How a user writes. All in 0..1: rate of typing errors, of vague words, of small talk, and of lower-case writing."""

    typos: float
    vague: float
    chatty: float
    lower: float


def draw_user(draw: Random) -> tuple[int, Style]:
    """A taste type and a way of writing."""
    taste = min(int(draw.random() * TYPES), TYPES - 1)
    typos = 0.03 * draw.random() if draw.random() < 0.4 else 0.004
    return taste, Style(typos, 0.35 * draw.random(), draw.random(), 1.0 if draw.random() < 0.3 else 0.0)


def draw_count(draw: Random) -> int:
    """How many dialogues a training user has."""
    return _choose(draw, _DIALOGUES)


def draw_plan(draw: Random, world: World, level: Level, taste: int, name: str, user: str) -> Plan:
    """The films, statements and repetitions of one dialogue."""
    named: list[int] = []
    welcome: list[int] = []

    def film(weights: Floats) -> int:
        left = weights.copy()
        left[named] = 0.0
        named.append(categorical(draw, left))
        return named[-1]

    def favourites(first: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        count = _choose(draw, _FIRST_LIKED if first else _LATER_LIKED)
        liked = tuple(film(world.taste[taste]) for _ in range(count))
        welcome.extend(liked)
        hated = draw.random() < (_FIRST_DISLIKED if first else _LATER_DISLIKED)
        return liked, (film(world.distaste[taste]),) if hated else ()

    wishes: list[Wish] = []
    liked, disliked = favourites(first=True)
    for number in range(_choose(draw, _WISHES)):
        old = tuple(welcome)
        target = film(world.taste[taste])
        said, unsaid = _tell(draw, world, level, _would_say(draw, world, level, target, taste), number)
        backs: list[tuple[int, int]] = []
        while old and draw.random() < BACK_ONLY:
            made = backs[-1][1] if backs else 0
            backs.append((_pick(draw, old), made + int(draw.random() * (len(said) - made + 1))))
        # Given that the turn names a new film, hence the quotient.
        beside = _pick(draw, old) if old and draw.random() < BACK_TOO / (1.0 - BACK_ONLY) else -1
        reaction = _REACTIONS[_choose(draw, tuple(weight for _, weight in _REACTIONS))][0]
        if reaction != "disliked":
            welcome.append(target)
        wishes.append(Wish(target, liked, disliked, said, unsaid, tuple(backs), beside, reaction))
        liked, disliked = favourites(first=False)
    return Plan(name, user, tuple(wishes), liked, disliked)


def _pick(draw: Random, films: tuple[int, ...]) -> int:
    return films[int(draw.random() * len(films))]


def _choose(draw: Random, weights: tuple[float, ...]) -> int:
    mark = draw.random() * sum(weights)
    for number, weight in enumerate(weights):
        mark -= weight
        if mark < 0.0:
            return number
    return len(weights) - 1


def _would_say(draw: Random, world: World, level: Level, target: int, taste: int) -> dict[str, list[Said]]:
    """All values that the user holds for this wish, per facet in the order in which they would be stated."""
    out: dict[str, list[Said]] = {}
    for facet, counts in level.counts.items():
        said: list[Said] = []
        wanted_count = _choose(draw, counts)
        total = wanted_count + (draw.random() < level.unwanted.get(facet, 0.0))
        while len(said) < total:
            wanted = len(said) < wanted_count
            if wanted:
                value = world.draw_wanted(draw, level, facet, target, taste)
            else:
                value = world.draw_unwanted(draw, level, facet, target)
            if all(value != other.value for other in said):
                said.append(Said(facet, value, 1 if wanted else -1))
        if said:
            out[facet] = said
    return out


def _tell(
    draw: Random, world: World, level: Level, values: dict[str, list[Said]], number: int
) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
    """Which values come out in the dialogue: of each facet the beginning of its list, so that being untold says nothing."""
    left = {facet: list(said) for facet, said in values.items()}
    told: list[Said] = []
    for _ in range(_choose(draw, level.said[min(number, len(level.said) - 1)])):
        open_facets = [facet for facet, said in left.items() if said]
        if not open_facets:
            break
        facet = open_facets[_choose(draw, tuple(_SPOKEN[f] for f in open_facets))]
        said = left[facet].pop(0)
        if said.polarity > 0 and draw.random() < _RETRACTED:
            wrong = world.base[facet].copy()
            wrong[said.value] = 0.0
            said = msgspec.structs.replace(said, retracted=categorical(draw, wrong))
        told.append(said)
    return tuple(told), tuple(said for facet in left.values() for said in facet)
