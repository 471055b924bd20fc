"""A catalogue of five made-up films, small enough to play dialogues by hand."""

from __future__ import annotations

from typing import Any

from harness.api import Catalogue, Conversation, Feedback, Item, Knowledge, Message, SimulatorSetup
from harness.text import AttributeIndex

FILMS = Catalogue(
    (
        Item(
            "f1",
            "Night Orchard",
            year=1984,
            attributes={"genre": ("Horror",), "director": ("Ana Sol",), "star": ("Bo R. Reed",), "decade": ("1980s",)},
        ),
        Item(
            "f2",
            "Paper Boats!",
            year=1993,
            attributes={"genre": ("Comedy", "Romance"), "director": ("Ana Sol",), "star": ("Cy Lane",), "decade": ("1990s",)},
        ),
        Item(
            "f3",
            "Iron Harbour",
            year=1995,
            attributes={"genre": ("Crime",), "director": ("Dov Moor",), "star": ("Cy Lane", "Eve Tarn"), "decade": ("1990s",)},
        ),
        Item("f4", "Never Been Found", year=2004, attributes={"genre": ("Crime", "Horror"), "director": ("Dov Moor",)}),
        Item("f5", "The Blank Reel"),
    )
)
INDEX = AttributeIndex(FILMS)


def prepared(simulator: Any, catalogue: Catalogue = FILMS) -> Any:
    simulator.prepare(SimulatorSetup(catalogue, (), 5, 0))
    return simulator


def conversation(
    *ranked: str,
    text: str = "How about these?",
    turn: int = 1,
    seed: int = 7,
    state: Any = None,
    context: tuple[Message, ...] = (),
) -> Conversation:
    """A seeker's view of a turn at which these ids are shown; earlier turns of the dialogue are filled with empty ones."""
    earlier = (Message("recommender", "Well."), Message("seeker", "Well.")) * (turn - 1)
    return Conversation((*context, *earlier, Message("recommender", text, ranked=ranked)), turn, seed, state)


def play(simulator: Any, knowledge: Knowledge, lists: list[tuple[str, ...]], seed: int = 7) -> list[Feedback]:
    """Answer these lists one after the other, as the runner would, until the simulator ends the dialogue."""
    messages: tuple[Message, ...] = ()
    state = None
    answers = []
    for turn, ranked in enumerate(lists, 1):
        messages += (Message("recommender", "How about these?", ranked=ranked),)
        answers.append(simulator.reply(Conversation(messages, turn, seed, state), knowledge))
        state = answers[-1].state
        messages += (Message("seeker", answers[-1].text, rejected=answers[-1].rejected or ()),)
        if answers[-1].action != "continue":
            break
    return answers
