"""A tiny world, and scripted recommenders and simulators (well-behaved and not) for the tests of the core."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness import runner
from harness.api import (
    Catalogue,
    Component,
    Conversation,
    DialogueRecord,
    Feedback,
    Item,
    Knowledge,
    Message,
    Need,
    Recommendation,
    Scenario,
    Split,
    TrainingDialogue,
)
from harness.assembly import Assembly, Part
from harness.config import Choice, RunConfig, Transport
from harness.registry import Entry
from harness.store import Store, read_records

COUNT = 60


def catalogue(count: int = COUNT) -> Catalogue:
    return Catalogue(Item(f"m{i}", f"Quibble {i}", 1950 + i % 70, {"genre": ("drama",)}) for i in range(count))


def scenarios(count: int, items: int = COUNT) -> list[Scenario]:
    """Scenario n wants item n (modulo the catalogue); three scenarios share a source dialogue."""
    return [Scenario(f"s{n}", f"d{n // 3}", (Message("seeker", f"hello {n}"),), Need((f"m{n % items}",))) for n in range(count)]


def world(count: int, items: int = COUNT) -> Split:
    training = [TrainingDialogue("t0", (Message("seeker", "hi"), Message("recommender", "m1?", items=("m1",))))]
    return Split("test", scenarios(count, items), training, catalogue(items))


def assembly(
    recommender: Any,
    simulator: Any = None,
    *,
    count: int = 6,
    split: Split | None = None,
    concurrency: int = 4,
    timeout: float = 20.0,
    transport_retries: int = 2,
    backoff: float = 0.001,
    **config: Any,
) -> Assembly:
    """A run of in-memory components."""
    split = split or world(count)
    settings = RunConfig(
        recommender=Choice("scripted"),
        simulator=None if simulator is None else Choice("scripted"),
        dataset=Choice("tiny"),
        transport=Transport(
            concurrency=concurrency,
            timeout=timeout,
            transport_retries=transport_retries,
            backoff=backoff,
            max_backoff=0.01,
        ),
        **{"turns": 3 if simulator is not None else 1, **config},
    )
    instances = {"recommender": recommender} | ({} if simulator is None else {"simulator": simulator})
    parts = {
        kind: Part(Entry(kind, Component("scripted", "support:Plain"), "tests", "0"), None, object)
        for kind in ("recommender", "simulator", "dataset")
    }
    return Assembly(
        config=settings,
        recommender=parts["recommender"],
        simulator=None if simulator is None else parts["simulator"],
        dataset=None,
        dataset_part=parts["dataset"],
        split=split,
        scenarios=split.scenarios,
        rows=len(split.scenarios),
        data_hash="hash",
        fields={},
        instances=instances,
        prepared=set(),
    )


def play(folder: Path, assembled: Assembly, **arguments: Any) -> tuple[runner.Outcome, dict[str, DialogueRecord]]:
    """Run it in a run directory; the records as they are read back, by scenario id (and #trial from the second on)."""
    with Store(folder) as store:
        outcome = runner.run(assembled, store, **{"done": set(), "finished": lambda record: None, **arguments})
    return outcome, by_scenario(read_records(folder))


def by_scenario(records: Iterable[DialogueRecord]) -> dict[str, DialogueRecord]:
    return {record.scenario + (f"#{record.trial}" if record.trial else ""): record for record in records}


def without_seconds(records: Iterable[DialogueRecord]) -> list[bytes]:
    """Records as bytes, sorted, without the one part that may differ between equal runs."""
    return sorted(msgspec.json.encode(msgspec.structs.replace(record, seconds={})) for record in records)


def number_of(conversation: Conversation) -> int:
    """Which scenario of `scenarios` a conversation belongs to, read from its public greeting."""
    return int(conversation.messages[0].text.split()[1])


def answer(conversation: Conversation, k: int = 10) -> Recommendation:
    """A sane list that depends on everything a recommender sees: the dialogue, the turn, the seed and its own state."""
    draw = random.Random(f"{conversation.seed}/{conversation.turn}/{len(conversation.messages)}")
    items = [f"m{i}" for i in draw.sample(range(COUNT), k) if f"m{i}" not in conversation.rejected]
    count = (conversation.state or 0) + 1
    return Recommendation(tuple(items), f"Turn {conversation.turn}, call {count}.", state=count)


def reaction(conversation: Conversation, knowledge: Knowledge) -> Feedback:
    draw = random.Random(f"{conversation.seed}/{conversation.turn}")
    shown = conversation.messages[-1].ranked
    if shown and draw.random() < 0.15:
        return Feedback("That one.", "accept", accepted=(draw.choice(shown),))
    return Feedback(f"Not yet {draw.randrange(1000)}.", state=(conversation.state or 0) + 1)


class Plain:
    """A recommender made of one function of the conversation."""

    def __init__(self, function: Callable[[Conversation, int], Any] = answer) -> None:
        self.function = function

    def recommend(self, conversation: Conversation, k: int) -> Any:
        return self.function(conversation, k)


class Async(Plain):
    async def recommend(self, conversation: Conversation, k: int) -> Any:
        await asyncio.sleep(0)
        outcome = self.function(conversation, k)
        return await outcome if asyncio.iscoroutine(outcome) else outcome


class Batched:
    """A batched recommender; keeps the sizes of its batches."""

    def __init__(self, function: Callable[[Conversation, int], Any] = answer, max_batch: int | None = None) -> None:
        self.function, self.max_batch = function, max_batch
        self.sizes: list[int] = []

    def recommend_batch(self, conversations: list[Conversation], k: int) -> list[Any]:
        self.sizes.append(len(conversations))
        return [self.function(conversation, k) for conversation in conversations]


class Seeker:
    """A simulator made of one function."""

    def __init__(self, function: Callable[[Conversation, Knowledge], Any] = reaction, knowledge: str = "profile") -> None:
        self.function, self.knowledge = function, knowledge

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Any:
        return self.function(conversation, knowledge)


class AsyncSeeker(Seeker):
    async def reply(self, conversation: Conversation, knowledge: Knowledge) -> Any:
        await asyncio.sleep(0)
        return self.function(conversation, knowledge)


class BatchedSeeker:
    def __init__(self, function: Callable[[Conversation, Knowledge], Any] = reaction, knowledge: str = "profile") -> None:
        self.function, self.knowledge = function, knowledge

    def reply_batch(self, conversations: list[Conversation], knowledge: list[Knowledge]) -> list[Any]:
        return [self.function(c, n) for c, n in zip(conversations, knowledge, strict=True)]


def spin(seconds: float = 30.0) -> None:
    """A plain Python loop: it can be interrupted, but swallows every ordinary exception."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sum(range(50))
        except Exception:
            continue
