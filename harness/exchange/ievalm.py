"""Simulated dialogues as iEvaLM (Wang et al., EMNLP 2023) saves them: one JSON file per test case, in a folder like
`save_5/chat/kbrd/redial_eval`.

A file is the test case (`dialog_id, turn_id, context, rec, ...`) with `simulator_dialog.context`: the human context, then turn
by turn the recommender's message with `rec_items` (entity ids, best first) and `rec_success`, and the answer. Item ids become
names: by entity2id.json where it is given, else by the list that a recommender's last message spells out, which stands in the
order of `rec_items`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Message, StopReason
from harness.errors import DataError
from harness.exchange.foreign import Foreign, Said, dialogues_of, field, read_json, texts
from harness.exchange.items import Linker

PLAYED: Final = ("rec_items", "option")
"""Fields that only the recommender's messages in the simulation have."""
_LISTED: Final = re.compile(r"^(?:I would recommend the following items:\s*)?\d{1,3}: (.+?)\s*$", re.MULTILINE)


class Names:
    """Entity id -> name."""

    def __init__(self, entities: Path | None = None) -> None:
        self._names: dict[str, str] = {}
        self.given = entities is not None
        if entities is None:
            return
        content = read_json(entities)
        if not isinstance(content, dict) or not content:
            raise DataError(f"{entities}: expected an object of names and entity ids, as iEvaLM's entity2id.json")
        for name, entity in content.items():
            if type(entity) is not int:
                raise DataError(f"{entities}: {name[:60]!r}: expected a whole number, the entity's id")
            self._names[str(entity)] = name

    def learn(self, entries: Iterable[tuple[str, Any]]) -> None:
        """Names from the lists that messages spell out."""
        for _, entry in entries:
            for message in _messages(entry):
                items, content = message.get("rec_items"), message.get("content")
                if isinstance(items, list) and isinstance(content, str):
                    listed = _LISTED.findall(content)
                    if 1 < len(listed) <= len(items):
                        for item, name in zip(items, listed, strict=False):
                            self._names.setdefault(str(item), name)

    def name(self, entity: str) -> str:
        """The entity's name, or "entity:ID" where nobody said it."""
        return self._names.get(entity, f"entity:{entity}")


def read(path: Path, linker: Linker, names: Names, system: str) -> Iterator[tuple[Foreign, bool | None]]:
    """Each dialogue, and whether iEvaLM recorded a success. Raises DataError with the file and the field."""
    for where, entry in dialogues_of(path):
        yield _dialogue(entry, where, linker, names, system)


def system_of(path: Path) -> tuple[str, str]:
    """(recommender, chat or ask) by the folder that iEvaLM saves to; "unknown" where the path isn't one of its."""
    parts = path.resolve().parts
    for mode in ("chat", "ask"):
        if mode in parts[:-1]:
            return parts[len(parts) - parts[::-1].index(mode)], mode
    return "unknown", "unknown"


def _messages(entry: Any) -> list[dict[str, Any]]:
    """The messages of an entry that may be anything."""
    played = entry.get("simulator_dialog") if isinstance(entry, dict) else None
    context = played.get("context") if isinstance(played, dict) else None
    return [message for message in context if isinstance(message, dict)] if isinstance(context, list) else []


def _dialogue(entry: Any, where: str, linker: Linker, names: Names, system: str) -> tuple[Foreign, bool | None]:
    dialog = _number(entry, "dialog_id", where)
    name = f"{dialog}:{_number(entry, 'turn_id', where)}"
    where = f"{where} ({name})"
    wanted = texts(field(entry, "rec", list, where), where, "rec")
    if not wanted:
        raise DataError(f"{where}: field 'rec': no target")
    titles = {linker.name(title): title for title in wanted}
    targets = tuple(titles)
    messages = field(field(entry, "simulator_dialog", dict, where), "context", list, where)
    first = next((n for n, m in enumerate(messages) if isinstance(m, dict) and any(key in m for key in PLAYED)), None)
    if first is None:
        raise DataError(f"{where}: no message has 'rec_items': this holds no simulated turn")
    context, turns = [], []
    success: bool | None = None
    for number, message in enumerate(messages):
        place = f"{where}, message {number}"
        role, text = field(message, "role", str, place), field(message, "content", str, place)
        if role not in ("user", "assistant"):
            raise DataError(f"{place}: field 'role': expected user or assistant, found {role[:40]!r}")
        if number < first:
            context.append(Message("seeker" if role == "user" else "recommender", text, items=linker.named(text)))
        elif role == "assistant":
            items = texts(field(message, "rec_items", list, place, []), place, "rec_items")
            success = field(message, "rec_success", bool, place, success)
            turns.append(Said(text, tuple(linker.name(names.name(item)) for item in items)))
        elif turns:
            before = turns[-1].user_text
            turns[-1] = msgspec.structs.replace(turns[-1], user_text=text if before is None else f"{before}\n{text}")
    labels = {key: entry[key] for key in ("persuasiveness_score",) if key in entry}
    stop: StopReason | None = "accepted" if success else None
    return Foreign(name, dialog, system, tuple(context), tuple(turns), targets, titles, stop, 0, labels), success


def _number(entry: Any, name: str, where: str) -> str:
    """dialog_id is a number in one data set and a text in the other."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if type(value) not in (str, int) or value == "":
        raise DataError(f"{where}: field {name!r}: expected a text or a whole number")
    return str(value)
