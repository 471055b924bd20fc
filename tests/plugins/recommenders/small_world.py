"""A made-up catalogue and made-up dialogues, small enough to work out every score by hand."""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from typing import Any

from harness import Catalogue, Conversation, Item, Message, RecommenderSetup, TrainingDialogue
from harness_plugins.recommenders import harness_recommenders

FILMS = Catalogue(
    [
        Item("f0", "Harbour Lights", 1991, {"genre": ("drama",), "director": ("Ana Ferro",)}),
        Item("f1", "The Long Tunnel", 1984, {"genre": ("horror", "thriller"), "director": ("Ivo Brandt",)}),
        Item("f2", "Two Left Feet", 2003, {"genre": ("comedy", "romance"), "star": ("Mira Olsen",)}),
        Item("f3", "Never Come Back", 1999, {"genre": ("horror",), "director": ("Ana Ferro",)}),
        Item("f4", "Horror Express Nine", 1975, {"genre": ("comedy",)}),
        Item("f5", "Paper Moons", 2010, {"genre": ("drama", "romance"), "star": ("Mira Olsen",)}),
        Item("f6", "Cold Orbit", 2015, {"genre": ("science fiction",), "director": ("Ivo Brandt",)}),
        Item("f7", "Cold Orbit Two", 2018, {"genre": ("science fiction", "thriller")}),
    ]
)


def seeker(text: str, *items: str, rejected: Sequence[str] = ()) -> Message:
    return Message("seeker", text, items=items, rejected=tuple(rejected))


def human(text: str, *items: str) -> Message:
    """A human recommender's message of the context or of a training dialogue."""
    return Message("recommender", text, items=items)


def shown(*ranked: str, text: str = "How about these?") -> Message:
    """An earlier turn of the recommender under test."""
    return Message("recommender", text, ranked=ranked)


def talk(*messages: Message, turn: int = 1, seed: int = 7) -> Conversation:
    return Conversation(messages, turn, seed)


def dialogue(number: int, *messages: Message, liked: Sequence[str] = (), disliked: Sequence[str] = ()) -> TrainingDialogue:
    return TrainingDialogue(f"d{number}", messages, tuple(liked), tuple(disliked))


def of_items(*baskets: Sequence[str]) -> list[TrainingDialogue]:
    """One dialogue per basket, in which the seeker names all of its items."""
    return [dialogue(n, seeker("I like these", *basket)) for n, basket in enumerate(baskets)]


ASKING = ("llm-zeroshot", "llm-rerank", "llm-embed", "http", "smtpo", "smtpo-retriever", "smtpo-search")
"""They ask a model or a server for each turn, or need a trained one."""


def names() -> list[str]:
    """The recommenders that need nothing but the data set."""
    return [component.name for component in harness_recommenders() if component.name not in ASKING]


def build(name: str, **options: Any) -> Any:
    """A recommender as the registry builds it: from its descriptor, with the options given."""
    component = next(c for c in harness_recommenders() if c.name == name)
    assert component.options is not None
    return _load(component.target)(_load(component.options)(**options))


def prepared(
    name: str, training: Sequence[TrainingDialogue], catalogue: Catalogue = FILMS, seed: int = 3, **options: Any
) -> Any:
    recommender = build(name, **options)
    recommender.prepare(RecommenderSetup(catalogue, training, 10, seed))
    return recommender


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


GENRES = ("action", "comedy", "crime", "drama", "fantasy", "horror", "musical", "western")
OPENINGS = ("I would like a {} film", "anything but {}", "no {} please, but something with {}", "I loved {}", "hello there")


def random_world(seed: int, items: int = 40, dialogues: int = 60) -> tuple[Catalogue, list[TrainingDialogue]]:
    """Films whose genres decide which are mentioned together."""
    draw = random.Random(seed)
    films = [
        Item(f"m{n}", f"Film {n:02d} of {draw.choice(GENRES)}", 1950 + n, {"genre": tuple(draw.sample(GENRES, 2))})
        for n in range(items)
    ]
    training = []
    for number in range(dialogues):
        genre = draw.choice(GENRES)
        fitting = [film for film in films if genre in film.attributes["genre"]] or films
        liked = draw.sample(fitting, min(3, len(fitting)))
        training.append(
            dialogue(
                number,
                seeker(f"I would like a {genre} film like {liked[0].title}", liked[0].id),
                *(human(f"have you seen {film.title}?", film.id) for film in liked[1:]),
                seeker("no, thank you"),
                liked=[film.id for film in liked[:2]],
                disliked=[film.id for film in liked[2:]],
            )
        )
    return Catalogue(films), training


def random_conversation(catalogue: Catalogue, seed: int, turns: int) -> Conversation:
    """A context of a few messages and `turns` - 1 turns of lists and answers, some of which turn everything down."""
    draw = random.Random(seed)

    def utterance() -> str:
        return draw.choice(OPENINGS).replace("{}", draw.choice(GENRES))

    messages = []
    for _ in range(draw.randrange(4)):
        item = draw.choice(catalogue.ids)
        film = catalogue.get(item)
        assert film is not None
        messages.append(Message(draw.choice(("seeker", "recommender")), f"{utterance()} {film.title}", items=(item,)))
    for _ in range(turns - 1):
        ranked = tuple(draw.sample(catalogue.ids, 5))
        messages.append(Message("recommender", "How about these?", ranked=ranked))
        messages.append(Message("seeker", utterance(), rejected=ranked if draw.random() < 0.8 else ()))
    return Conversation(tuple(messages), turns, seed)
