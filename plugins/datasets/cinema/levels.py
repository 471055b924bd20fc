"""The levels of difficulty: how reliable and how complete statements are. All numbers of the statement model stand here."""

from __future__ import annotations

from typing import Literal

import msgspec

Difficulty = Literal["easy", "standard", "hard"]

USERS = 2000
"""Training users, unless said otherwise; a quarter as many in each other split."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of one level. Facet maps hold probabilities."""

    name: Difficulty
    reliability: dict[str, float]
    """A wanted value belongs to the target rather than to the user's taste at large."""
    unwanted_reliability: dict[str, float]
    """An unwanted value is one that the target does not have."""
    counts: dict[str, tuple[float, ...]]
    """Facet -> probability that the user could state 0, 1, 2 ... wanted values."""
    unwanted: dict[str, float]
    """Facet -> probability that the user could state one unwanted value."""
    said: tuple[tuple[float, ...], ...]
    """For the first, second, third and later wishes of a dialogue: probability that 0, 1, 2 ... statements are made in it."""


_UNWANTED_RELIABILITY = {"genre": 0.9, "country": 0.8, "decade": 0.7}
_UNWANTED = {"genre": 0.4, "country": 0.1, "decade": 0.15}

# In every level people are sure of genre, cast and country, mistake the decade, and name a director whom they like in general
# where they mean a film of somebody else.
LEVELS: dict[Difficulty, Level] = {
    "easy": Level(
        name="easy",
        reliability={"genre": 0.95, "director": 0.6, "star": 0.98, "country": 0.95, "decade": 0.6},
        unwanted_reliability=_UNWANTED_RELIABILITY,
        counts={
            "genre": (0.0, 0.4, 0.6),
            "director": (0.4, 0.6),
            "star": (0.3, 0.6, 0.1),
            "country": (0.3, 0.7),
            "decade": (0.15, 0.75, 0.1),
        },
        unwanted=_UNWANTED,
        said=((0.05, 0.25, 0.4, 0.3), (0.0, 0.15, 0.35, 0.35, 0.15), (0.0, 0.1, 0.3, 0.4, 0.2)),
    ),
    "standard": Level(
        name="standard",
        reliability={"genre": 0.9, "director": 0.2, "star": 0.95, "country": 0.85, "decade": 0.25},
        unwanted_reliability=_UNWANTED_RELIABILITY,
        counts={
            "genre": (0.05, 0.55, 0.4),
            "director": (0.5, 0.5),
            "star": (0.55, 0.4, 0.05),
            "country": (0.5, 0.5),
            "decade": (0.2, 0.65, 0.15),
        },
        unwanted=_UNWANTED,
        said=((0.2, 0.4, 0.3, 0.1), (0.05, 0.35, 0.4, 0.2), (0.0, 0.3, 0.4, 0.3)),
    ),
    "hard": Level(
        name="hard",
        reliability={"genre": 0.75, "director": 0.1, "star": 0.85, "country": 0.6, "decade": 0.1},
        unwanted_reliability=_UNWANTED_RELIABILITY,
        counts={
            "genre": (0.1, 0.6, 0.3),
            "director": (0.5, 0.5),
            "star": (0.7, 0.28, 0.02),
            "country": (0.55, 0.45),
            "decade": (0.25, 0.55, 0.2),
        },
        unwanted=_UNWANTED,
        said=((0.3, 0.45, 0.2, 0.05), (0.1, 0.45, 0.3, 0.15), (0.05, 0.4, 0.35, 0.2)),
    ),
}
