"""The situations that the reasoning recommender learns from: a conversation, candidates in the order shown, and the targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from harness.api import Catalogue, Conversation, Item, Message, Scenario, Split, Statement
from harness.scenarios import novel

from ...recommenders.reading import Reader
from ...smtpo.cards import stated

_SHOWN: Final = 10
_WANTED: Final = ("Something with {}, please.", "I would rather have {}.", "I was hoping for {}.", "More like {}.")
_UNWANTED: Final = ("Not {}.", "No {} this time.", "I'd rather not have {}.")


class State(msgspec.Struct, frozen=True):
    """One situation. `groups` are the seeker's statements as prompts show them (`smtpo.cards.stated`)."""

    conversation: Conversation
    groups: dict[str, list[Statement]]
    candidates: tuple[Item, ...]
    targets: tuple[str, ...]


class RoughRetriever:
    """A stand-in for the trained retriever on catalogues that nobody has trained on: weighted matching, popularity and noise.

    How much a facet weighs is drawn per catalogue, so that no one weighting is learned from its order.
    """

    def __init__(self, split: Split, seed: int) -> None:
        self._catalogue: Catalogue = split.catalogue
        self.reader = Reader(split.catalogue)
        self._rows: dict[tuple[str, str], list[int]] = {}
        for row, item in enumerate(split.catalogue):
            for facet, values in item.attributes.items():
                for value in values:
                    self._rows.setdefault((facet, value), []).append(row)
        counts = np.zeros(len(split.catalogue))
        for dialogue in split.training:
            for message in dialogue.messages:
                for item_id in message.items:
                    if item_id in split.catalogue:
                        counts[split.catalogue.position(item_id)] += 1
        draw = Random(f"rough/{seed}")
        self._popularity = 0.7 * np.log1p(counts)
        self._weights = {facet: draw.uniform(0.5, 4.0) for facet in dict.fromkeys(facet for facet, _ in self._rows)}

    def recall(self, groups: dict[str, list[Statement]], k: int, exclude: Sequence[str], seed: int) -> tuple[Item, ...]:
        """The k best items that aren't excluded, best first."""
        scores = self._popularity + 0.8 * np.random.default_rng(seed).gumbel(size=len(self._catalogue))
        for name, sign in (("wants", 1.0), ("lately", 1.0), ("not", -1.0), ("lately not", -1.0)):
            for statement in groups[name]:
                rows = self._rows.get((statement.facet, statement.value))
                if rows:
                    scores[rows] += sign * self._weights[statement.facet]
        for item_id in exclude:
            if item_id in self._catalogue:
                scores[self._catalogue.position(item_id)] = -np.inf
        return tuple(self._catalogue[int(row)] for row in np.argsort(-scores, kind="stable")[:k])


def rough_states(split: Split, seed: int, candidates: int, turns: int = 3) -> Iterator[State]:
    """One state per scenario of the variant novel, in turns 1 to `turns`, with candidates of a `RoughRetriever`."""
    retriever = RoughRetriever(split, seed)
    for number, scenario in enumerate(novel(split.scenarios)):
        draw = Random(f"{seed}/{scenario.id}")
        conversation = Conversation(scenario.context, seed=draw.getrandbits(32))
        for turn in range(draw.randrange(turns)):
            shown = retriever.recall(
                stated(conversation, retriever.reader), _SHOWN, _excluded(conversation), seed * 7919 + number * 31 + turn
            )
            conversation = _answered(conversation, shown, scenario, draw)
        groups = stated(conversation, retriever.reader)
        found = retriever.recall(groups, candidates, _excluded(conversation), seed * 7919 + number * 31 + 30)
        yield State(conversation, groups, found, scenario.need.targets)


def _excluded(conversation: Conversation) -> list[str]:
    return [*conversation.rejected, *conversation.mentioned]


def _answered(conversation: Conversation, shown: Sequence[Item], scenario: Scenario, draw: Random) -> Conversation:
    """The next turn: a list, and an answer by attributes that the seeker holds."""
    wanted = [value for values in scenario.need.liked_attributes.values() for value in values]
    unwanted = [value for values in scenario.need.disliked_attributes.values() for value in values]
    said: list[str] = []
    if wanted and draw.random() < 0.8:
        said.append(draw.choice(_WANTED).format(draw.choice(wanted)))
    if unwanted and draw.random() < 0.4:
        said.append(draw.choice(_UNWANTED).format(draw.choice(unwanted)))
    ids = tuple(item.id for item in shown)
    rejected = tuple(item for item in ids if item not in scenario.need.targets)
    messages: tuple[Message, ...] = (
        *conversation.messages,
        Message("recommender", "How about these?", ranked=ids),
        Message("seeker", " ".join(said) or "Something else, please.", rejected=rejected),
    )
    changed: dict[str, Any] = {"messages": messages, "turn": conversation.turn + 1}
    return msgspec.structs.replace(conversation, **changed)
