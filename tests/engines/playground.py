"""A plugin whose components do as their options say, installed for tests that start real workers."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import msgspec

from harness import Component, hookimpl
from harness.api import (
    Catalogue,
    Conversation,
    DatasetCard,
    Feedback,
    Item,
    Message,
    Need,
    Recommendation,
    Scenario,
    Split,
    TrainingDialogue,
)

ITEMS = 60


class GridOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A made-up world."""

    count: int = 60


class Grid:
    card = DatasetCard("grid", "Grid", "CC0", "none", "https://example.org", "made up")

    def __init__(self, options: GridOptions) -> None:
        self.count = options.count

    def load(self, split: str) -> Split:
        items = Catalogue(Item(f"m{i}", f"Quibble {i}", 1950 + i) for i in range(ITEMS))
        scenarios = [
            Scenario(f"s{n}", f"d{n // 3}", (Message("seeker", f"hello {n}"),), Need((f"m{n % ITEMS}",)))
            for n in range(self.count)
        ]
        return Split(split, scenarios, [TrainingDialogue("t", (Message("seeker", "hi"),))], items)


class Steady:
    """Recommends by the seed. As told, it writes its process's number into a folder, dies of a scenario, or asks its model."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What to do."""

        pids: str = ""
        deadly: tuple[int, ...] = ()
        delay: float = 0.0
        ask: bool = False

    def __init__(self, options: Steady.Options) -> None:
        self.options = options
        if options.ask:
            self.recommend = self.asking

    def prepare(self, setup: object) -> None:
        self.llm = setup.llm
        if self.options.pids:
            (Path(self.options.pids) / str(os.getpid())).touch()

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        if int(conversation.messages[0].text.split()[1]) in self.options.deadly and not os.environ.get("HARNESS_SPARED"):
            os._exit(1)
        time.sleep(self.options.delay)
        draw = random.Random(f"{conversation.seed}/{conversation.turn}")
        return Recommendation(tuple(f"m{i}" for i in draw.sample(range(ITEMS), k)), f"Turn {conversation.turn}.")

    async def asking(self, conversation: Conversation, k: int) -> Recommendation:
        from harness.llm.api import ChatMessage, ChatRequest

        text = conversation.messages[0].text
        answer = await self.llm.chat(ChatRequest((ChatMessage("user", text),), max_tokens=8))
        return Recommendation(tuple(f"m{i}" for i in range(k)), answer.text)


class Seeker:
    knowledge = "label_free"

    def __init__(self, options: object) -> None:
        pass

    def reply(self, conversation: Conversation, knowledge: object) -> Feedback:
        draw = random.Random(f"{conversation.seed}/{conversation.turn}")
        shown = conversation.messages[-1].ranked
        if draw.random() < 0.2:
            return Feedback("That one.", "accept", accepted=(draw.choice(shown),))
        return Feedback(f"Not yet {draw.randrange(1000)}.")


@hookimpl
def harness_datasets() -> object:
    yield Component("grid", f"{__name__}:Grid", options=f"{__name__}:GridOptions")


@hookimpl
def harness_recommenders() -> object:
    yield Component("steady", f"{__name__}:Steady", options=f"{__name__}:Steady.Options")


@hookimpl
def harness_simulators() -> object:
    yield Component("seeker", f"{__name__}:Seeker", knowledge="label_free")
