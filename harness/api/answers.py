"""What components return, and what a simulator may know."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.api.talk import Action, Attributes, KnowledgeLevel


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call cost: LLM calls, tokens, money in US dollars where a price is known, cache hits."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    cache_hits: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.cache_hits + other.cache_hits,
        )


class Recommendation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recommender's turn: reply text and ranked catalogue ids, best first (at most the k that was asked for).

    `items=()` with a text is an honest turn without a recommendation (a question): it scores as a miss, it is no fault.
    `scores`, if given, has one finite number per item. `state` comes back with the next turn; it must be JSON-serialisable.
    `candidates`, if given, are the ids that a retriever found this turn and that `items` were chosen from, best first: they are
    recorded (the first 100 known ones) and measured by `candidate-recall`, and nobody else sees them.
    """

    items: tuple[str, ...] = ()
    text: str = ""
    reasoning: str | None = None
    scores: tuple[float, ...] | None = None
    state: Any = None
    usage: Usage | None = None
    candidates: tuple[str, ...] | None = None


class Statement(msgspec.Struct, frozen=True):
    """A stated attribute preference: facet ("genre"), value ("horror"), polarity +1 wanted, -1 unwanted."""

    facet: str
    value: str
    polarity: Literal[1, -1] = 1


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True):
    """A simulator's turn. The action is explicit: nothing inside the text can end a dialogue.

    `accepted` are the shown items that an "accept" refers to. `rejected=None` means: all items shown this turn, unless
    accepted; an empty tuple says that the seeker did not turn anything down. `statements` is what the text says, where the
    simulator knows it (simulator-quality metrics use it; recommenders never see it).
    """

    text: str
    action: Action = "continue"
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] | None = None
    statements: tuple[Statement, ...] | None = None
    state: Any = None
    usage: Usage | None = None


class Unscored(msgspec.Struct, frozen=True, tag="unscored"):
    """No value, and why. Never NaN, None or 0."""

    reason: str


class Knowledge(msgspec.Struct, frozen=True):
    """What a simulator may see of the need, cut to its declared level by the runner.

    label_free: everything empty. profile: labels and attributes, with the targets removed from every item list.
    target_aware: all of it.
    """

    level: KnowledgeLevel = "label_free"
    liked_items: tuple[str, ...] = ()
    disliked_items: tuple[str, ...] = ()
    seen_items: tuple[str, ...] = ()
    liked_attributes: Attributes = {}
    disliked_attributes: Attributes = {}
    targets: tuple[str, ...] = ()
