"""What is recorded of a dialogue: one line of dialogues.jsonl."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.api.answers import Statement, Usage
from harness.api.talk import Action, StopReason


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that failed: who is to blame, how, and how often it had been tried before (0 = first try)."""

    blame: Literal["recommender", "simulator", "transport"]
    kind: str
    """exception | timeout | malformed | empty | out_of_catalogue | transport"""
    message: str
    attempt: int = 0
    turn: int = 0
    role: Literal["recommender", "simulator"] = "recommender"
    usage: Usage | None = None
    """What the failed call cost all the same."""


class TurnRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One played turn. `items` is the ranked list as given (at most K; unknown and repeated ids keep their place and count as
    misses). `user_text` is the gated text: exactly what the recommender read."""

    text: str = ""
    items: tuple[str, ...] = ()
    unknown: int = 0
    repeated: int = 0
    dropped: int = 0
    """Ids beyond K that were cut off."""
    reasoning: str | None = None
    user_text: str | None = None
    action: Action | None = None
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    statements: tuple[Statement, ...] | None = None
    user_items: tuple[str, ...] = ()
    """Catalogue ids that the gated user text names."""
    leaks: tuple[str, ...] = ()
    """Target ids that the simulator's raw text named before they were recommended."""
    injection: bool = False
    """The recommender's text contains an attempt to instruct the simulator."""
    user_injection: bool = False
    """The simulator's text contains an attempt to instruct the recommender or the evaluation."""
    recommender_usage: Usage | None = None
    simulator_usage: Usage | None = None
    candidates: tuple[str, ...] | None = None
    """What a retriever found this turn, best first (at most 100, known ids, each once); None where none is given."""


class DialogueRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of dialogues.jsonl: everything that scoring needs, so that no score needs the dialogue to be played again."""

    scenario: str
    source: str
    trial: int
    stop: StopReason
    targets: tuple[str, ...]
    turns: tuple[TurnRecord, ...]
    faults: tuple[AttemptRecord, ...] = ()
    seconds: dict[str, float] = {}
    """Wall seconds by role; the only part that may differ between two equal runs."""

    @property
    def complete(self) -> bool:
        """False for dialogues that a resume plays again."""
        return self.stop not in ("transport", "cancelled")
