"""Worlds with other films: the same titles and attribute values, dealt out anew. For training that must not learn films by heart."""

from __future__ import annotations

from random import Random

import msgspec

from harness.api import Catalogue, Item, Split

from .films import load_films
from .generate import dialogues
from .levels import Difficulty
from .model import World
from .stored import Cutter


def fresh_catalogue(seed: int, films: Catalogue | None = None) -> Catalogue:
    """As many films as there are, each facet's values of one film drawn from another film, titles shuffled.

    How often a value occurs stays as it is; which values go together does not.
    """
    films = load_films() if films is None else films
    draw = Random(f"cinema/fresh/{seed}")
    titles = [item.title for item in films]
    draw.shuffle(titles)
    facets = {facet: [item.attributes[facet] for item in films] for facet in films[0].attributes}
    for held in facets.values():
        draw.shuffle(held)
    stars = [star for held in facets["star"] for star in held]
    draw.shuffle(stars)
    left = iter(stars)
    made: list[Item] = []
    for number, (item, title) in enumerate(zip(films, titles, strict=True)):
        attributes = {facet: held[number] for facet, held in facets.items()}
        attributes["star"] = tuple(dict.fromkeys(next(left) for _ in facets["star"][number]))
        year = int(attributes["decade"][0][:4]) + draw.randrange(10)
        made.append(msgspec.structs.replace(item, title=title, aliases=(), attributes=attributes, year=year))
    return Catalogue(made)


def fresh_split(seed: int, users: int, difficulty: Difficulty = "standard") -> Split:
    """A training split of that many users in a world of its own: another catalogue, other tastes, other dialogues."""
    world = World(fresh_catalogue(seed), seed)
    cutter = Cutter(world, difficulty)
    made = list(dialogues(world, difficulty, "train", users))
    return Split(
        name="train",
        scenarios=[scenario for dialogue in made for scenario in cutter.scenarios(dialogue)],
        training=[cutter.training(dialogue) for dialogue in made],
        catalogue=world.catalogue,
        notes=(f"generated data, a catalogue dealt out anew, seed {seed}",),
    )
