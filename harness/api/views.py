"""Recorded dialogues as metrics see them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.api.records import DialogueRecord, TurnRecord
from harness.api.talk import Scenario


class TurnView(msgspec.Struct, frozen=True):
    """One turn of one recorded dialogue, as a turn-level metric sees it.

    `ranks` has one entry per target: its 1-based place in the list, 0 when absent. A turn that was not played because the
    dialogue had ended before carries the last list (after accept or quit) or no list (after a recommender fault).
    """

    dialogue: DialogueRecord
    scenario: Scenario | None
    turn: int
    """1-based."""
    items: tuple[str, ...]
    ranks: tuple[int, ...]
    played: bool
    record: TurnRecord | None


class DialogueView(msgspec.Struct, frozen=True):
    """One recorded dialogue with its turn views (always `max_turns` of them). `scenario` is None when only the records are
    at hand: a metric that needs it returns `Unscored`."""

    dialogue: DialogueRecord
    scenario: Scenario | None
    turns: tuple[TurnView, ...]


class RunView(msgspec.Struct, frozen=True):
    """All valid dialogues of a run; iterate it once, it streams."""

    dialogues: Iterable[DialogueView]
