"""All checks of a submission in one call."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.errors import HarnessError, StoreError
from harness.leaderboard.contents import Contents, Problems, check_contents
from harness.leaderboard.replay import Loader, check_data, replay
from harness.leaderboard.safefiles import Problem
from harness.leaderboard.types import BOARD, MANIFEST, SUBMISSIONS, Board
from harness.registry import Registry


class Verdict(msgspec.Struct):
    """`problems` is empty for a sound submission; `notes` say what was not checked, and why."""

    folder: Path
    problems: list[Problem]
    notes: list[str]
    contents: Contents | None


def validate(registry: Registry, folder: Path, *, board: Path | None = None, loader: Loader | None = None) -> Verdict:
    """Check one submission. `board` is a board's folder (None: the one that the submission lies in, if any). Without a `loader`
    the data set is not looked at. Raises StoreError for a board that can't be read; whatever the submission holds is a problem,
    never an exception.
    """
    board = board or own_board(folder)
    rules = None if board is None else read_board(board)
    told = Problems()
    contents = check_contents(registry, folder, told, rules)
    notes: list[str] = []
    if contents is not None:
        if loader is None:
            notes.append("not checked against the data")
        elif rules is not None and any(problem.file == MANIFEST for problem in told.found):
            # Nothing that this board does not know is made or loaded for a stranger's manifest.
            notes.append("not checked against the data: its manifest is not one of this board")
        elif contents.records:
            notes += against_data(registry, contents, loader, told, known=rules is not None)
        if contents.config.limit is not None:
            notes.append(
                f"a run of the first {contents.config.limit} scenarios only (--limit): no board of whole runs takes it"
            )
    return Verdict(folder, told.listed(), notes, contents)


def against_data(registry: Registry, contents: Contents, loader: Loader, told: Problems, *, known: bool) -> list[str]:
    """Compare with the data set and play the simulator's side again. Returns what could not be checked, and why.

    `known`: a board's hash speaks for the scenarios where the data are not there.
    """
    try:
        data = loader(contents.config)
    except HarnessError as error:
        text = f"not checked against the data: {error}"
        if known and contents.submission.form == "ranks":
            return [f"{text}; its scenarios were compared with the board's hash"]
        told(Problem("", "", text))
        return []
    before = len(told.found)
    check_data(contents, data, told)
    if len(told.found) > before:
        return []
    try:
        skipped = replay(registry, contents, data, told)
    except HarnessError as error:
        skipped = str(error)
    return [f"the simulator's side was not played again: {skipped}"] if skipped else []


def own_board(folder: Path) -> Path | None:
    """The board in whose submissions a folder lies."""
    place = folder.absolute().parent
    return place.parent if place.name == SUBMISSIONS and (place.parent / BOARD).is_file() else None


def read_board(folder: Path) -> Board:
    """Raises StoreError."""
    path = folder / BOARD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Board)
    except FileNotFoundError:
        raise StoreError(f"there is no {path}: make the board with `harness leaderboard new {folder} RUN`") from None
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from None
