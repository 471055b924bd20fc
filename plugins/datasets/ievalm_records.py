"""The turn records of redial-ievalm: reading, speaker roles, linking titles to utterances, rebuilding whole dialogues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from harness.api import Message, Role
from harness.errors import DataError

from .cutting import strings
from .files import DataFile, field, read_jsonl


class TurnRecord(msgspec.Struct, frozen=True):
    """One checked line of a *_data_processed.jsonl."""

    dialogue: str
    turn: int
    context: tuple[str, ...]
    """Utterances before the reply, oldest first, without the empty one that stands for a silent seeker."""
    mentioned: tuple[str, ...]
    """Names of items among the linked entities of the context, without repeats."""
    recommended: tuple[str, ...]
    """Names of the items that the reply recommends, without repeats."""
    reply: str

    @property
    def id(self) -> str:
        """ "<dialog_id>:<turn_id>"."""
        return f"{self.dialogue}:{self.turn}"


def read_records(file: DataFile, names: Mapping[str, str]) -> list[TurnRecord]:
    """All records; `names` maps item names to ids. Raises DataError (file, line, field): also for a recommended name that is
    no item and for a turn that stands twice."""
    records: list[TurnRecord] = []
    lines: dict[str, int] = {}
    for line, content in read_jsonl(file):
        where = f"{file}:{line}"
        recommended = tuple(dict.fromkeys(strings(content, "rec", where)))
        if not recommended:
            raise DataError(f"{where}: field 'rec': expected at least one item name")
        for name in recommended:
            if name not in names:
                raise DataError(f"{where}: field 'rec': {name!r} is no item of id2info.json")
        record = TurnRecord(
            dialogue=field(content, "dialog_id", str, where),
            turn=field(content, "turn_id", int, where),
            context=tuple(text for text in strings(content, "context", where) if text.strip()),
            mentioned=tuple(name for name in dict.fromkeys(strings(content, "entity", where)) if name in names),
            recommended=recommended,
            reply=field(content, "resp", str, where),
        )
        if lines.setdefault(record.id, line) != line:
            raise DataError(
                f"{where}: dialog_id {record.dialogue!r} with turn_id {record.turn} stands already in line {lines[record.id]}"
            )
        records.append(record)
    return records


def context_messages(record: TurnRecord, names: Mapping[str, str]) -> tuple[Message, ...]:
    """The context as messages. The speakers alternate and the last before the reply is the seeker. Each mentioned item is
    linked to the utterances that name it, or to the last one if its title stands in none."""
    count = len(record.context)
    linked: list[dict[str, None]] = []
    unplaced = dict.fromkeys(record.mentioned)
    for text in record.context:
        found = place_names(text, record.mentioned)
        linked.append(dict.fromkeys(found))
        for name in found:
            unplaced.pop(name, None)
    if linked:
        linked[-1].update(unplaced)
    roles: tuple[Role, Role] = ("seeker", "recommender")
    return tuple(
        Message(roles[(count - 1 - n) % 2], text, tuple(dict.fromkeys(names[name] for name in linked[n])))
        for n, text in enumerate(record.context)
    )


def place_names(text: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that stand in the text, by their place. A longer name keeps its words: "Alien" isn't in "Alien 3"."""
    taken: list[tuple[int, int, str]] = []
    for name in sorted(names, key=len, reverse=True):
        start = text.find(name)
        while start >= 0:
            end = start + len(name)
            whole = not (text[:start][-1:].isalnum() and name[:1].isalnum()) and not (
                text[end : end + 1].isalnum() and name[-1:].isalnum()
            )
            if whole and all(end <= a or b <= start for a, b, _ in taken):
                taken.append((start, end, name))
            start = text.find(name, start + 1)
    return [name for _, _, name in sorted(taken)]


def rebuild(records: Sequence[TurnRecord], names: Mapping[str, str]) -> list[tuple[str, tuple[Message, ...]]]:
    """(dialogue id, messages) from the turns of one file, in order of first appearance: the longest context of each dialogue
    and its reply. What was said after the last recommendation isn't in the file."""
    last: dict[str, TurnRecord] = {}
    for record in records:
        if record.dialogue not in last or len(record.context) >= len(last[record.dialogue].context):
            last[record.dialogue] = record
    return [
        (dialogue, (*context_messages(r, names), Message("recommender", r.reply, tuple(names[n] for n in r.recommended))))
        for dialogue, r in last.items()
    ]
