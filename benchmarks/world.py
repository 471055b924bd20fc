"""Zero-cost components and an in-memory world, so that what is measured is the harness alone."""

from __future__ import annotations

from harness import Catalogue, Feedback, Item, Message, Need, Recommendation, Scenario, Split
from harness.api import Conversation, Knowledge
from harness.assembly import Assembly
from harness.config import Choice, RunConfig, Transport

ITEMS = tuple(str(n) for n in range(10))
LIST = Recommendation(ITEMS, "Try one of these.")
ANSWER = Feedback("Something else, please.")


class Plain:
    """Answers at once, one call at a time."""

    knowledge = "profile"

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        return LIST

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        return ANSWER


class Batched:
    """Answers at once, in batches."""

    knowledge = "profile"

    def recommend_batch(self, conversations: list[Conversation], k: int) -> list[Recommendation]:
        return [LIST] * len(conversations)

    def reply_batch(self, conversations: list[Conversation], knowledge: list[Knowledge]) -> list[Feedback]:
        return [ANSWER] * len(conversations)


class Async:
    """Answers at once, as coroutines."""

    knowledge = "profile"

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        return LIST

    async def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        return ANSWER


FORMS = {"plain": Plain, "batched": Batched, "async": Async}


def world(dialogues: int, form: str, *, concurrency: int = 8, turns: int = 5) -> Assembly:
    """An assembly of that many scenarios on a catalogue of 1,000 items."""
    catalogue = Catalogue(Item(str(n), f"Film {n}", 1950 + n % 70, {"genre": ("drama",)}) for n in range(1000))
    scenarios = [
        Scenario(f"s{n}", f"d{n // 3}", (Message("seeker", "I'd like a film."),), Need((str(n % 1000),)))
        for n in range(dialogues)
    ]
    config = RunConfig(
        recommender=Choice("bench"),
        simulator=Choice("bench"),
        dataset=Choice("bench"),
        turns=turns,
        transport=Transport(concurrency=concurrency),
    )
    component = FORMS[form]()
    parts = {"recommender": component, "simulator": component}
    split = Split("test", scenarios, (), catalogue)
    none: object = None
    return Assembly(config, none, none, none, none, split, scenarios, dialogues, "0" * 64, {}, parts, set(parts))  # type: ignore[arg-type]
