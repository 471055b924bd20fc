"""Worlds with other films: the same titles and attribute values, dealt out anew, so that nothing was learned by heart."""

from __future__ import annotations

from random import Random

import msgspec

from harness.api import Catalogue, Item, Split

from ..cutting import mentioned_before
from .films import load_films
from .generate import dialogues
from .levels import Difficulty
from .model import World
from .stored import Cutter


def fresh_catalogue(seed: int, films: Catalogue | None = None) -> Catalogue:
    """As many films as there are, each facet's values of one film dealt to another one, titles shuffled.

    How often a value occurs stays as it is, but for a star that one film would get twice; which values go together does not.
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


def fresh_split(seed: int, users: int, difficulty: Difficulty = "standard", split: str = "train") -> Split:
    """A split with so many training users in a world of its own: another catalogue, other tastes, other dialogues."""
    world = World(fresh_catalogue(seed), seed)
    cutter = Cutter(world, difficulty)
    training = list(dialogues(world, difficulty, "train", users))
    made = training if split == "train" else list(dialogues(world, difficulty, split, users))
    scenarios = [scenario for dialogue in made for scenario in cutter.scenarios(dialogue)]
    repeated = mentioned_before(scenarios)
    return Split(
        name=split,
        scenarios=scenarios,
        training=[cutter.training(dialogue) for dialogue in training],
        catalogue=world.catalogue,
        notes=(
            f"generated data, difficulty {difficulty}, attributes dealt out anew by seed {seed}",
            f"{repeated} of {len(scenarios)} rows have a target that their context already names",
        ),
    )
