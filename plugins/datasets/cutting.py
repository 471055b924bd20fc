"""From whole dialogues to scenarios, and the small rules that the loaders share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from harness.api import Catalogue, DatasetCard, Scenario, TrainingDialogue
from harness.errors import DataError, UsageError

from .needs import NEED_FACETS, make_need

SPLITS = ("train", "validation", "test")


def check_split(split: str, card: DatasetCard) -> None:
    """Raises UsageError unless `split` is train, validation or test."""
    if split not in SPLITS:
        raise UsageError(f"{card.name}: no split called {split!r}; use train, validation or test")


def hash_split(text: str) -> str:
    """A dialogue's split where the source has none: 70/15/15, equal texts on one side.

    The first 8 bytes of the text's SHA-256, big-endian, modulo 100: 0-69 train, 70-84 validation, 85-99 test.
    """
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100
    return "train" if bucket < 70 else "validation" if bucket < 85 else "test"


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """Without repeats, in order of first occurrence."""
    return tuple(dict.fromkeys(values))


def strings(record: dict[str, Any], name: str, where: str) -> list[str]:
    """`record[name]`, checked to be a list of strings. Raises DataError with place and field."""
    value = record.get(name)
    if not isinstance(value, list):
        problem = "is missing" if name not in record else f"expected a list of strings, found {type(value).__name__}"
        raise DataError(f"{where}: field {name!r} {problem}")
    for position, element in enumerate(value):
        if not isinstance(element, str):
            raise DataError(f"{where}: field {name!r}, element {position}: expected a string, found {element!r}")
    return value


def cut(dialogues: Iterable[TrainingDialogue], catalogue: Catalogue, facets: Sequence[str] = NEED_FACETS) -> list[Scenario]:
    """One scenario per recommender turn that names items: the turns before are the context, its items the targets.

    Ids are "<dialogue>:<turn>", turns counted from 0. `facets` are those of `make_need`.
    """
    return [
        Scenario(
            id=f"{dialogue.id}:{turn}",
            source=dialogue.id,
            context=dialogue.messages[:turn],
            need=make_need(catalogue, message.items, dialogue.liked, dialogue.disliked, dialogue.seen, facets),
        )
        for dialogue in dialogues
        for turn, message in enumerate(dialogue.messages)
        if message.role == "recommender" and message.items
    ]


def mentioned_before(scenarios: Iterable[Scenario]) -> int:
    """How many scenarios have a target that their context already mentions."""
    count = 0
    for scenario in scenarios:
        named = {item for message in scenario.context for item in message.items}
        count += not named.isdisjoint(scenario.need.targets)
    return count
