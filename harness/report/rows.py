"""Reading a run's scores.jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.errors import UsageError
from harness.store import SCORES


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's scores.jsonl, one per dialogue. Raises UsageError when it isn't scored or is damaged."""
    path = folder / SCORES
    if not path.exists():
        raise UsageError(f"{folder} has no {SCORES}; score it first: harness score {folder}")
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    try:
        return [decode(line) for line in path.read_bytes().splitlines()]
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is damaged ({error}); make it again: harness score {folder}") from None
