"""The dialogues of one or several runs, side by side by scenario and trial, small enough to ride in one page.

A page of 10,000 dialogues must open at once: the list of them is one small table, and what was said lies beside it in
compressed chunks that the page unpacks when somebody opens or searches them.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Catalogue, DialogueRecord, Item, Message, Scenario
from harness.config import RunConfig
from harness.errors import HarnessError
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.results import config_of, played_on
from harness.store import read_manifest, read_records, read_summary

CHUNK: Final = 200
"""Dialogues per chunk: unpacking one must not be felt."""

Key = tuple[str, int]
"""Scenario and trial."""


class PlayedRun(msgspec.Struct, frozen=True):
    """A scored run with all that a report says of it."""

    folder: Path
    label: str
    config: RunConfig
    summary: dict[str, Any]
    rows: dict[Key, dict[str, Any]]
    records: dict[Key, DialogueRecord]

    @classmethod
    def read(cls, folder: Path, label: str) -> PlayedRun:
        """Raises StoreError or UsageError when the folder holds no scored run."""
        summary = read_summary(folder)
        return cls(
            folder,
            label,
            config_of(read_manifest(folder), folder),
            summary,
            {(row["scenario"], row["trial"]): row for row in read_rows(folder)},
            {(record.scenario, record.trial): record for record in read_records(folder)},
        )


class Background(msgspec.Struct, frozen=True):
    """What a data set adds to the records: titles, and the contexts that the dialogues go on from. `missing` says why both
    lack, where the data set can't be loaded or has changed."""

    catalogue: Catalogue | None = None
    scenarios: Mapping[str, Scenario] = {}
    missing: str | None = None

    def title(self, item_id: str) -> str:
        """ "Alien (1979)", or the id where nothing is known."""
        item: Item | None = None if self.catalogue is None else self.catalogue.get(item_id)
        if item is None:
            return item_id
        return item.title if item.year is None or str(item.year) in item.title else f"{item.title} ({item.year})"

    def context(self, scenario: str) -> Sequence[Message]:
        found = self.scenarios.get(scenario)
        return () if found is None else found.context


def background(registry: Registry, folder: Path) -> Background:
    """The data that a run was played on. Never fails: a transcript without titles is better than none."""
    try:
        manifest = read_manifest(folder)
        config = config_of(manifest, folder)
        _, split, scenarios = played_on(registry, manifest, config, folder)
        return Background(split.catalogue, {scenario.id: scenario for scenario in scenarios})
    except HarnessError as error:
        return Background(missing=str(error))


def labels(summaries: Sequence[Mapping[str, Any]], folders: Sequence[Path]) -> list[str]:
    """Short names that tell the runs apart: recommender, else recommender x simulator, else the folder's name too."""
    recommenders = [str(s["run"]["recommender"]) for s in summaries]
    pairs = [f"{s['run']['recommender']} × {s['run']['simulator']}" for s in summaries]
    if len(summaries) == 1 or len(set(pairs)) == len(pairs):
        return pairs if len(summaries) == 1 or len(set(recommenders)) < len(recommenders) else recommenders
    return [f"{pair}, {folder.name}" for pair, folder in zip(pairs, folders, strict=True)]


def ranks(record: DialogueRecord) -> list[int]:
    """The best target's place in each turn's list, from 1; 0 where no target is in it."""
    targets = set(record.targets)
    return [next((n for n, item in enumerate(turn.items, 1) if item in targets), 0) for turn in record.turns]


def order(runs: Sequence[PlayedRun]) -> list[Key]:
    """All dialogues of all runs, in the order of the first run's scores, then what only others have."""
    return list(dict.fromkeys(key for run in runs for key in (*run.rows, *run.records)))


# ------------------------------------------------------------------------------------------------------------------ packing


class Titles:
    """Numbers the items as they come up, so that a title stands in the page once."""

    def __init__(self, known: Background) -> None:
        self._known = known
        self._number: dict[str, int] = {}

    def number(self, item_id: str) -> int:
        return self._number.setdefault(item_id, len(self._number))

    def numbers(self, item_ids: Iterable[str]) -> list[int]:
        return [self.number(item_id) for item_id in item_ids]

    def table(self) -> list[str]:
        return [self._known.title(item_id) for item_id in self._number]


def packed(content: Any) -> str:
    """JSON, gzip, base64: what the page's `unpack` reads."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(content), compresslevel=9, mtime=0)).decode("ascii")


def pack(runs: Sequence[PlayedRun], known: Background, metric: str, keys: Sequence[Key]) -> tuple[str, list[str]]:
    """(the index, the chunks) of these dialogues, all packed. The index has one column per fact; `metric` is its score."""
    titles = Titles(known)
    chunks = [
        packed([_dialogue(key, runs, known, titles) for key in keys[start : start + CHUNK]])
        for start in range(0, len(keys), CHUNK)
    ]
    stops = sorted({record.stop for run in runs for record in run.records.values()})
    index = {
        "scenarios": [scenario for scenario, _ in keys],
        "trials": [trial for _, trial in keys],
        "stops": stops,
        "titles": titles.table(),
        "runs": [_columns(run, keys, stops, metric) for run in runs],
    }
    return packed(index), chunks


def _columns(run: PlayedRun, keys: Sequence[Key], stops: Sequence[str], metric: str) -> dict[str, list[Any]]:
    found = [run.records.get(key) for key in keys]
    scores = [run.rows.get(key, {}).get("values", {}).get(metric) for key in keys]
    return {
        "stop": [-1 if record is None else stops.index(record.stop) for record in found],
        "ranks": [[] if record is None else ranks(record) for record in found],
        "score": [round(score, 4) if isinstance(score, int | float) else None for score in scores],
        "flags": ["" if record is None else _flags(record) for record in found],
    }


def _flags(record: DialogueRecord) -> str:
    """f: a fault; l: a leak; i: an injection by either side."""
    return (
        ("f" if record.faults or record.stop in ("recommender_fault", "simulator_fault", "transport") else "")
        + ("l" if any(turn.leaks for turn in record.turns) else "")
        + ("i" if any(turn.injection or turn.user_injection for turn in record.turns) else "")
    )


def _dialogue(key: Key, runs: Sequence[PlayedRun], known: Background, titles: Titles) -> dict[str, Any]:
    there = [record for run in runs if (record := run.records.get(key)) is not None]
    return {
        "context": [[message.role[0], message.text] for message in known.context(key[0])],
        "targets": titles.numbers(there[0].targets if there else ()),
        "runs": [None if (record := run.records.get(key)) is None else _played(record, titles) for run in runs],
    }


def _played(record: DialogueRecord, titles: Titles) -> dict[str, Any]:
    return {
        "source": record.source,
        "turns": [_turn(turn, titles) for turn in record.turns],
        "faults": [[fault.blame, fault.kind, fault.message, fault.turn, fault.attempt] for fault in record.faults],
    }


def _turn(turn: Any, titles: Titles) -> dict[str, Any]:
    content: dict[str, Any] = {"text": turn.text, "items": titles.numbers(turn.items)}
    for name in ("reasoning", "user_text", "action", "unknown", "repeated", "dropped", "injection", "user_injection"):
        if getattr(turn, name):
            content[name] = getattr(turn, name)
    for name in ("accepted", "rejected", "leaks", "candidates"):
        if getattr(turn, name):
            content[name] = titles.numbers(getattr(turn, name))
    return content
