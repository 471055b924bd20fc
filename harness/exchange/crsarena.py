"""Dialogues of real users with nine recommenders: CRSArena-Dial (Bernard et al., WSDM 2025), in DialogueKit's form, and
CRSArena-Eval (the same dialogues with scores of people)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Message
from harness.errors import DataError
from harness.exchange import dialoguekit
from harness.exchange.foreign import Foreign, Said, dialogues_of, field
from harness.exchange.items import Linker

ROLES: Final = {"USER": "USER", "ASST": "AGENT"}


def read(path: Path, linker: Linker) -> Iterator[Foreign]:
    """The dialogues of a file. The user is the source of a dialogue: people talked with two systems. What people said of a
    dialogue is kept as its labels. Raises DataError with the file, the dialogue and the field."""
    for where, entry in dialogues_of(path):
        if not isinstance(entry, dict):
            raise DataError(f"{where}: expected an object")
        if "conv_id" in entry:
            yield _evaluated(entry, where, linker)
        else:
            yield dialoguekit.dialogue(entry, where, linker, by_user=True)


def _evaluated(entry: dict[str, Any], where: str, linker: Linker) -> Foreign:
    """A dialogue of CRSArena-Eval: "conv_id" is SYSTEM_DATASET_USER."""
    name = field(entry, "conv_id", str, where)
    where = f"{where} ({name[:60]})"
    system, _, user = name.rpartition("_")
    if not system or not user:
        raise DataError(f"{where}: field 'conv_id': expected SYSTEM_DATASET_USER")
    context: list[Message] = []
    turns: list[Said] = []
    by_turn = []
    for number, raw in enumerate(field(entry, "dialogue", list, where)):
        place = f"{where}, turn {number}"
        role, text = ROLES.get(field(raw, "role", str, place)), field(raw, "utterance", str, place).strip()
        if role is None:
            raise DataError(f"{place}: field 'role': expected USER or ASST, found {raw['role'][:40]!r}")
        if role == "AGENT":
            turns.append(Said(text, linker.listed(text)))
            by_turn.append(field(raw, "turn_level_aggregated", dict, place, {}))
        elif turns:
            before = turns[-1].user_text
            turns[-1] = msgspec.structs.replace(turns[-1], user_text=text if before is None else f"{before}\n{text}")
        else:
            context.append(Message("seeker", text, items=linker.named(text)))
    labels = {"dialogue": field(entry, "dial_level_aggregated", dict, where, {}), "turns": by_turn}
    return Foreign(name, user, system, tuple(context), tuple(turns), labels=labels)
