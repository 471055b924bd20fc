"""What every import has in common: files read strictly, and a foreign dialogue made a record of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Action, DialogueRecord, Message, Need, Scenario, StopReason, TurnRecord
from harness.errors import DataError
from harness.exchange.items import Linker
from harness.injection import is_injection
from harness.wholefiles import why

MAX_BYTES: Final = 2_000_000_000
_WORDS: Final = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
_REQUIRED: Final[Any] = object()


def plain_name(text: str) -> str:
    """A name of a file's as one printable line of at most 120 characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:120] or "unknown"


class Said(msgspec.Struct, frozen=True):
    """One turn: what the recommender said and listed (ids, best first), and the answer, if there was one."""

    text: str
    items: tuple[str, ...] = ()
    user_text: str | None = None
    action: Action | None = None
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class Foreign(msgspec.Struct, frozen=True):
    """A dialogue of another tool. `titles` are those of its targets. `stop` None: it ended, nobody knows why. `labels` is what
    its file says beside (scores of people, say); it is kept, and no metric reads it."""

    id: str
    source: str
    system: str
    context: tuple[Message, ...]
    turns: tuple[Said, ...]
    targets: tuple[str, ...] = ()
    titles: dict[str, str] = {}
    stop: StopReason | None = None
    trial: int = 0
    labels: dict[str, Any] = {}

    def scenario(self) -> Scenario:
        """Its public side, its targets, and its labels."""
        return Scenario(self.id, self.source, self.context, Need(self.targets), self.labels)

    def record(self, linker: Linker, k: int, turns: int) -> DialogueRecord:
        """As a run would have recorded it; lists are cut at `k`. A dialogue that ended early for reasons unknown counts as
        ended by the seeker: its last list stands, it is in every denominator."""
        targets = tuple(dict.fromkeys(self.targets))
        public = {item for message in self.context for item in (*message.items, *message.ranked)}
        done = []
        for said in self.turns:
            items = said.items[:k]
            public.update(items)
            leaks, named = self._answer(linker, said.user_text, [t for t in targets if t not in public])
            public.update((*leaks, *named))
            done.append(
                TurnRecord(
                    text=said.text,
                    items=items,
                    unknown=sum(not linker.known(item) for item in items),
                    repeated=len(items) - len(set(items)),
                    dropped=len(said.items) - len(items),
                    user_text=said.user_text,
                    action=said.action,
                    accepted=said.accepted,
                    rejected=said.rejected,
                    user_items=(*named, *leaks),
                    leaks=leaks,
                    injection=is_injection(said.text),
                    user_injection=is_injection(said.user_text or ""),
                )
            )
        stop = self.stop or "max_turns"
        if stop == "max_turns" and len(done) < turns:
            stop = "quit"
        return DialogueRecord(self.id, self.source, self.trial, stop, targets, tuple(done))

    def _answer(self, linker: Linker, text: str | None, hidden: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(targets that an answer leaks, the other items that it names)"""
        if not text:
            return (), ()
        leaks = linker.leaks(text, hidden, self.titles)
        return leaks, tuple(item for item in linker.named(text) if item not in leaks)


# -------------------------------------------------------------------------------------------------------------------- files


def read_json(path: Path) -> Any:
    """A whole JSON file. Raises DataError with the file, and the line where it is no JSON."""
    content = read_bytes(path)
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}{_line(content, error)}: this is no JSON ({error})") from None


def read_bytes(path: Path) -> bytes:
    """Raises DataError where the file can't be read or is too large to be a file of dialogues."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES:,} bytes; cut it into several files")
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise DataError(f"can't read {path}: {why(error)}") from None


def _line(content: bytes, error: Exception) -> str:
    """ ":12" from "... (byte 345)"."""
    _, found, rest = str(error).rpartition("(byte ")
    digits = rest.rstrip(")")
    if not found or not digits.isdigit():
        return ""
    return ":" + str(content.count(b"\n", 0, int(digits)) + 1)


def dialogues_of(path: Path) -> Iterator[tuple[str, Any]]:
    """(where, dialogue) for each entry of a JSON list, a single object, or a file of JSON lines."""
    if path.suffix == ".jsonl":
        for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
            if line.strip():
                try:
                    yield f"{path}:{number}", msgspec.json.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise DataError(f"{path}:{number}: this is no JSON ({error})") from None
        return
    content = read_json(path)
    if isinstance(content, list):
        for number, entry in enumerate(content, 1):
            yield f"{path}: dialogue {number}", entry
    else:
        yield f"{path}", content


def field(record: Any, name: str, kind: type, where: str, default: Any = _REQUIRED) -> Any:
    """`record[name]`, of that type. Raises DataError with the place, the field and what was found."""
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object, found {_kind(record)}")
    if name not in record or (record[name] is None and default is not _REQUIRED):
        if default is _REQUIRED:
            raise DataError(f"{where}: field {name!r} is missing; expected {_WORDS[kind]}")
        return default
    value = record[name]
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise DataError(f"{where}: field {name!r}: expected {_WORDS[kind]}, found {_kind(value)}")
    return value


def texts(value: list[Any], where: str, name: str) -> tuple[str, ...]:
    """A list of texts or whole numbers, as texts. Raises DataError."""
    for entry in value:
        if type(entry) not in (str, int) or entry == "":
            raise DataError(f"{where}: field {name!r}: expected texts or whole numbers, found {_kind(entry)}")
    return tuple(str(entry) for entry in value)


def _kind(value: Any) -> str:
    plain = isinstance(value, (str, int, float, bool)) or value is None
    word = {type(None): "null", bool: "a truth value"}.get(type(value)) or _WORDS.get(type(value), type(value).__name__)
    return f"{word} ({str(value)[:40]!r})" if plain and value is not None else word
