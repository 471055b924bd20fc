"""`harness export`: which formats there are, and where each puts what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from harness.errors import UsageError
from harness.exchange import dialoguekit, hf, inspect_log, turns_csv
from harness.exchange.placing import new_file, new_folder
from harness.exchange.played import PlayedDialogues
from harness.registry import Registry


class Format(msgspec.Struct, frozen=True):
    """`ending` is that of the default name; `folder`: it writes a folder, not a file."""

    ending: str
    write: Callable[[PlayedDialogues, Path], None]
    folder: bool = False


FORMATS: Final = {
    "inspect": Format(".eval", inspect_log.write),
    "dialoguekit": Format(".dialoguekit.json", dialoguekit.write),
    "csv": Format(".csv", turns_csv.write),
    "hf": Format("-hf", hf.write, folder=True),
}


class Exported(msgspec.Struct, frozen=True):
    """What came of it. `notes` are what a reader of the export should know."""

    path: Path
    dialogues: int
    bytes: int
    notes: tuple[str, ...] = ()


def export(registry: Registry, folder: Path, to: str, out: Path | None = None, *, force: bool = False) -> Exported:
    """Write the run in `folder` in another format. Raises UsageError, StoreError; then nothing is left behind."""
    if to not in FORMATS:
        raise UsageError(f"unknown format {to!r}; there are {', '.join(FORMATS)}")
    form = FORMATS[to]
    path = out or Path(f"{folder.resolve().name}{form.ending}")
    if to == "inspect" and path.suffix != ".eval":
        raise UsageError(f"{path}: Inspect opens logs whose names end in .eval; choose such an --out")
    played = PlayedDialogues(registry, folder)
    with (new_folder if form.folder else new_file)(path, force=force) as place:
        form.write(played, place)
    size = sum(part.stat().st_size for part in path.rglob("*") if part.is_file()) if form.folder else path.stat().st_size
    return Exported(path, len(played), size, tuple(_notes(played)))


def _notes(played: PlayedDialogues) -> list[str]:
    notes = []
    if played.known.missing is not None:
        notes.append(f"without titles and contexts, because the data can't be had: {played.known.missing}")
    if played.summary is None:
        notes.append(f"without scores: the run isn't scored; harness score {played.folder} does that")
    return notes
