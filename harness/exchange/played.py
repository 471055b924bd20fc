"""A run's dialogues one at a time, in the data set's order, with all that an export says of them.

Only the places of the lines are kept in memory: a run may be larger than it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.api import AttemptRecord, DialogueRecord, Message, TurnRecord
from harness.config import RunConfig
from harness.errors import StoreError, UsageError
from harness.registry import Registry
from harness.report.transcripts import Background, background
from harness.results import config_of, describe
from harness.store import DIALOGUES, SCORES, SUMMARY, read_manifest, read_summary
from harness.views import fault_turn, status, target_ranks
from harness.wholefiles import why

Key = tuple[str, int]


class _Head(msgspec.Struct):
    """As much of a line as its place needs."""

    scenario: str
    trial: int
    stop: str

    @property
    def complete(self) -> bool:
        return self.stop not in ("transport", "cancelled")


class Turn(msgspec.Struct, frozen=True):
    """A turn as it is exported: `ranks` has a place per target, 0 where it isn't in the list. `record` is None at a turn whose
    recommender failed before it gave anything; `faults` are those of this turn."""

    number: int
    record: TurnRecord | None
    ranks: tuple[int, ...]
    faults: tuple[AttemptRecord, ...]


class Played(msgspec.Struct, frozen=True):
    """One dialogue. `row` is its line of scores.jsonl, empty where the run isn't scored."""

    record: DialogueRecord
    context: tuple[Message, ...]
    row: dict[str, Any]

    @property
    def status(self) -> str:
        """valid | invalid | incomplete"""
        return status(self.record)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.record.targets))

    def turns(self) -> Iterator[Turn]:
        """The played turns, and the one at which the recommender failed."""
        record, failed = self.record, fault_turn(self.record)
        last = max(len(record.turns), failed or 0)
        for number in range(1, last + 1):
            turn = record.turns[number - 1] if number <= len(record.turns) else None
            items = turn.items if turn is not None and number != failed else ()
            faults = tuple(fault for fault in record.faults if fault.turn == number)
            yield Turn(number, turn, target_ranks(items, self.targets), faults)

    def scores(self) -> dict[str, float]:
        """Metric -> value, where it has one."""
        return {name: value for name, value in self.row.get("values", {}).items() if isinstance(value, (int, float))}

    def unscored(self) -> dict[str, str]:
        """Metric -> why it has no value."""
        return dict(self.row.get("unscored", {}))


class PlayedDialogues:
    """A run's dialogues, finished or not; iterate it as often as you like. Raises StoreError or UsageError for a folder that
    is no run."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.manifest = read_manifest(folder)
        self.config: RunConfig = config_of(self.manifest, folder)
        self.summary: dict[str, Any] | None = read_summary(folder) if (folder / SUMMARY).exists() else None
        try:
            self.run: dict[str, Any] = (self.summary or {}).get("run") or describe(self.manifest, self.config)
        except KeyError as error:
            raise StoreError(f"{folder}/manifest.json is damaged or of another version: it has no {error}") from None
        self.known: Background = background(registry, folder)
        self._records = _index(folder / DIALOGUES, finals=True)
        self._rows = _index(folder / SCORES, finals=False) if self.summary is not None else {}
        if not self._records:
            raise UsageError(f"{folder} holds no dialogue: there is nothing to export")
        place = {scenario: n for n, scenario in enumerate(self.known.scenarios)}
        self.keys = sorted(self._records, key=lambda key: (place.get(key[0], len(place)), key))

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Played]:
        record = msgspec.json.Decoder(DialogueRecord)
        row = msgspec.json.Decoder(dict[str, Any])
        scores = self.folder / SCORES
        try:
            with (self.folder / DIALOGUES).open("rb") as dialogues:
                scored = scores.open("rb") if self._rows else None
                try:
                    for key in self.keys:
                        found = _read(dialogues, self._records[key], record)
                        line = {} if scored is None or key not in self._rows else _read(scored, self._rows[key], row)
                        yield Played(found, tuple(self.known.context(key[0])), line)
                finally:
                    if scored is not None:
                        scored.close()
        except OSError as error:
            raise StoreError(f"can't read {self.folder}: {why(error)}") from error

    def titles(self, items: tuple[str, ...]) -> list[str]:
        """As people read them; the id where no title is known."""
        return [self.known.title(item) for item in items]

    @property
    def headline(self) -> list[str]:
        """Names of the metrics that head the run's table; empty where it isn't scored."""
        return [line["name"] for line in (self.summary or {}).get("headline", [])]

    def facts(self) -> Mapping[str, Any]:
        """Who played on what under which protocol, without what is long."""
        return {name: value for name, value in self.run.items() if name not in ("notes",)}


def _index(path: Path, *, finals: bool) -> dict[Key, tuple[int, int, int]]:
    """(scenario, trial) -> (line, place, length) of the line that counts: the finished one, else the last. A torn last line
    is left out, as everywhere. Raises StoreError with the line."""
    decoder = msgspec.json.Decoder(_Head)
    found: dict[Key, tuple[int, int, int]] = {}
    final: set[Key] = set()
    place = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    head = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise StoreError(f"{path}:{number} is damaged: {error}") from None
                key = (head.scenario, head.trial)
                if key not in final:
                    found[key] = (number, place, len(line))
                    if finals and head.complete:
                        final.add(key)
                place += len(line)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"can't read {path}: {why(error)}") from error
    return found


def _read(file: Any, where: tuple[int, int, int], decoder: Any) -> Any:
    number, place, length = where
    file.seek(place)
    try:
        return decoder.decode(file.read(length))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{file.name}:{number} is damaged: {error}") from None
