"""A run as a table for spreadsheets: one row per turn.

A cell that a spreadsheet would take for a formula gets an apostrophe in front: what a model wrote must not run on the machine
of whoever opens the file. Take one apostrophe off each text that has one in front, and the very text is back.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.exchange.played import Played, PlayedDialogues, Turn

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a cell must not begin with; a text that begins with the apostrophe itself gets one too, so that nothing is ambiguous."""
COLUMNS: Final = (
    "recommender", "simulator", "dataset", "scenario", "source", "trial", "stop", "status", "targets", "target_titles", "turn",
    "recommender_text", "items", "titles", "target_ranks", "best_rank", "reasoning", "unknown", "repeated", "dropped",
    "user_text", "action", "accepted", "rejected", "leaks", "injection", "user_injection", "faults",
)  # fmt: skip


def safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith((*FORMULA, "'")) else text


def unsafe(cell: str) -> str:
    """The text that `safe` made a cell of."""
    return cell[1:] if cell.startswith("'") else cell


def write(played: PlayedDialogues, path: Path) -> None:
    """UTF-8, comma, quoted where needed, CR LF between rows (RFC 4180). Lists are JSON. A metric's column has its value at the
    turn, or the word unscored."""
    metrics = _turn_metrics(played)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *(safe(name) for name in metrics)])
        for dialogue in played:
            for row in _rows(played, dialogue, metrics):
                writer.writerow([safe(cell) if isinstance(cell, str) else cell for cell in row])


def _turn_metrics(played: PlayedDialogues) -> list[str]:
    metrics = (played.summary or {}).get("metrics", {})
    return [name for name, block in metrics.items() if block["level"] == "turn" and name not in COLUMNS]


def _rows(played: PlayedDialogues, dialogue: Played, metrics: list[str]) -> Iterator[list[Any]]:
    record = dialogue.record
    head = [
        *(str(played.run[name]) for name in ("recommender", "simulator", "dataset")),
        record.scenario,
        record.source,
        record.trial,
        record.stop,
        dialogue.status,
        _json(dialogue.targets),
        _json(played.titles(dialogue.targets)),
    ]
    by_turn = dialogue.row.get("by_turn", {})
    # A dialogue that broke off before its first turn has a row as well: none may be missing from a table.
    for turn in list(dialogue.turns()) or [Turn(0, None, (), record.faults)]:
        scores = [by_turn.get(name, [])[turn.number - 1 : turn.number] if turn.number else [] for name in metrics]
        yield [*head, turn.number, *_cells(played, turn), *(score[0] if score else "" for score in scores)]


def _cells(played: PlayedDialogues, turn: Turn) -> list[Any]:
    faults = _json([f"{fault.blame} {fault.kind}: {fault.message}" for fault in turn.faults])
    record = turn.record
    if record is None:
        return ["", "[]", "[]", _json(turn.ranks), 0, "", 0, 0, 0, "", "", "[]", "[]", "[]", False, False, faults]
    return [
        record.text,
        _json(record.items),
        _json(played.titles(record.items)),
        _json(turn.ranks),
        min((rank for rank in turn.ranks if rank), default=0),
        record.reasoning or "",
        record.unknown,
        record.repeated,
        record.dropped,
        record.user_text or "",
        record.action or "",
        _json(record.accepted),
        _json(record.rejected),
        _json(record.leaks),
        record.injection,
        record.user_injection,
        faults,
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
