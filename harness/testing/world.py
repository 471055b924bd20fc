"""Where components are tried: a small world that needs no file, or the first rows of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.api import Attributes, Catalogue, Item, Message, Need, Scenario, Split, TrainingDialogue
from harness.errors import DataError
from harness.scenarios import novel

TRIED = 12
"""Scenarios of a data set that are tried."""

# title; year; genres; director; star (empty where the world doesn't know)
_FILMS = """
The Lamplighter; 1961; drama; Ada Lindqvist; Tom Farrow
Salt on the Wind; 1974; drama, romance; Ada Lindqvist; Mina Okafor
Seven Small Lies; 1988; crime, thriller; Ivo Brandt; Tom Farrow
Still; 1999; horror; Ivo Brandt; Lena Marsh
Seven Small Lies; 2012; crime, thriller; Sara Quist; Lena Marsh
Orbit of Glass; 2003; science fiction; Sara Quist; Mina Okafor
Orbit of Glass II; 2006; science fiction, thriller; Sara Quist; Mina Okafor
Two Left Gloves; 1995; comedy; Jo Pelham; Bert Aldous
The Wrong Wedding Cake; 2001; comedy, romance; Jo Pelham; Lena Marsh
Cellar Door; 1982; horror, thriller; Ivo Brandt; Bert Aldous
Señor Búho; 1979; comedy, western; Jo Pelham; Tom Farrow
Dust & Silver; 1968; western; Ada Lindqvist; Bert Aldous
A Winter Abroad; 2015; drama, romance; Sara Quist; Tom Farrow
Kite Season; 2019; drama; Noor Haddad; Mina Okafor
The Paper General; 1991; war, drama; Noor Haddad; Bert Aldous
Midnight at Pier 9; 1956; crime; Ada Lindqvist; Tom Farrow
Neon Orchard; 2021; science fiction, romance; Noor Haddad; Lena Marsh
Wolves Don't Wait; 2009; horror, western; Ivo Brandt; Mina Okafor
Grandmother's Heist; 2017; comedy, crime; Jo Pelham; Bert Aldous
The Last Ferry Home; 1985; war, romance; Noor Haddad; Lena Marsh
Clockwork Parish; 1972; horror, comedy; Jo Pelham; Lena Marsh
海の灯; 2008; drama; Noor Haddad; Mina Okafor
Fourteen; ; ; ;
Untitled Reel (Lost); 1927; ; ;
"""
_ALIASES = {"Dust & Silver": ("Dust and Silver", "The Silver Trail"), "海の灯": ("Light of the Sea",)}
FACETS = ("genre", "director", "star")


class World(msgspec.Struct, frozen=True):
    """A catalogue, training dialogues and scenarios to try a component on."""

    name: str
    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    scenarios: Sequence[Scenario]


def small_world() -> World:
    """24 invented films, 48 training dialogues in which films of a genre are mentioned together, 12 scenarios.

    It has what makes components stumble: two films of one title, a title that is an ordinary word, one in another script,
    items without attributes or year, an empty context, several targets, a need without liked attributes. Made anew by each
    call, so that nobody can spoil it for others.
    """
    catalogue = Catalogue(_films())
    films = [item for item in catalogue if item.attributes]
    return World("the small world", catalogue, _training(films), _scenarios(films))


def world_of(split: Split, name: str, count: int = TRIED) -> World:
    """`count` scenarios of a split (variant "novel"), spread evenly over it. Raises DataError when it has none."""
    scenarios = novel(split.scenarios)
    if not scenarios:
        raise DataError(f"{name} has no scenarios in split {split.name!r}: name another data set to try the component on")
    step = max(1, len(scenarios) // count)
    return World(name, split.catalogue, split.training, scenarios[::step][:count])


def _films() -> list[Item]:
    items = []
    for number, line in enumerate(_FILMS.strip().splitlines(), start=1):
        title, year, *values = (part.strip() for part in line.split(";"))
        named = {
            facet: tuple(v.strip() for v in value.split(",")) for facet, value in zip(FACETS, values, strict=True) if value
        }
        items.append(Item(f"w{number:02}", title, int(year) if year else None, named, _ALIASES.get(title, ())))
    return items


def _training(films: list[Item]) -> list[TrainingDialogue]:
    """Each film is talked about with the next two that share a genre; every third dialogue ends with a dislike."""
    dialogues: list[TrainingDialogue] = []
    for position, film in enumerate(films):
        genre = film.attributes["genre"][0]
        alike = [f for f in (*films[position + 1 :], *films[:position]) if genre in f.attributes["genre"]]
        for other in (alike * 2)[:2] or films[:1]:
            number = len(dialogues)
            liked = number % 3 != 2
            answer = f"{other.title} was too slow for me." if not liked else f"Yes, {other.title} is lovely."
            messages = (
                Message("seeker", f"Hello! Something in the way of {film.title}, some {genre} perhaps?", (film.id,)),
                Message("recommender", f"Have you seen {other.title} by {other.attributes['director'][0]}?", (other.id,)),
                Message("seeker", answer, (other.id,)),
            )
            good, bad = ((film.id, other.id), ()) if liked else ((film.id,), (other.id,))
            dialogues.append(TrainingDialogue(f"t{number:03}", messages, good, bad, seen=(other.id,)))
    return dialogues[:48]


def _scenarios(films: list[Item]) -> list[Scenario]:
    scenarios = []
    for number in range(TRIED):
        target, other, disliked = films[number], films[(number + 5) % len(films)], films[(number + 11) % len(films)]
        targets = (target.id,) if number % 4 else (target.id, films[(number + 2) % len(films)].id)
        wanted = target.attributes
        unwanted = tuple(g for g in disliked.attributes["genre"] if g not in wanted["genre"])
        said = (
            Message("seeker", "Hi, I'm looking for something to watch tonight."),
            Message("recommender", f"Sure. What did you think of {other.title}?", (other.id,)),
            Message("seeker", f"It was all right. Something with {wanted['star'][0]}, please."),
            Message("seeker", f"And no {disliked.attributes['genre'][0]}!"),
        )
        likes: Attributes = {} if number == 7 else dict(wanted)
        need = Need(
            targets,
            liked_items=(target.id, other.id),
            disliked_items=(disliked.id,) if disliked.id not in targets else (),
            seen_items=(other.id,),
            liked_attributes=likes,
            disliked_attributes={"genre": unwanted} if unwanted else {},
        )
        scenarios.append(Scenario(f"s{number:02}", f"d{number:02}", said[: number % 5], need))
    return scenarios
