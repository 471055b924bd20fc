"""All checks of a submission in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import DataError, HarnessError, PluginError, StoreError
from harness.leaderboard.contents import Contents, Problems, check_contents
from harness.leaderboard.replay import check_data, load, replay
from harness.leaderboard.safefiles import Problem
from harness.leaderboard.types import BOARD, SUBMISSIONS, Board
from harness.registry import Registry


class Verdict(msgspec.Struct):
    """`problems` is empty for a sound submission; `notes` say what was not checked, and why."""

    folder: Path
    problems: list[Problem]
    notes: list[str]
    contents: Contents | None


def validate(
    registry: Registry, folder: Path, *, board: Path | None = None, options: Mapping[str, Any] | None = None, data: bool = True
) -> Verdict:
    """Check one submission. `board` is a board's folder (None: the one that the submission lies in, if any), `options` those of
    the data set on this machine. Raises StoreError for a board that can't be read; whatever the submission holds is a problem,
    never an exception.
    """
    board = board or own_board(folder)
    rules = None if board is None else read_board(board)
    told = Problems()
    contents = check_contents(registry, folder, told, rules)
    notes: list[str] = []
    if contents is not None and data and contents.records:
        try:
            loaded = load(registry, contents.config, options or {})
        except (DataError, PluginError, HarnessError) as error:
            text = f"not checked against the data: {error}"
            if rules is None or contents.submission.form == "transcripts":
                told(Problem("", "", text))
            else:
                notes.append(f"{text}; its scenarios were compared with the board's hash")
        else:
            before = len(told.found)
            check_data(contents, loaded, told)
            if len(told.found) == before:
                try:
                    skipped = replay(registry, contents, loaded, told)
                except HarnessError as error:
                    skipped = str(error)
                if skipped:
                    notes.append(f"the simulator's side was not played again: {skipped}")
    elif contents is not None and not data:
        notes.append("not checked against the data")
    if contents is not None and contents.config.limit is not None:
        notes.append(
            f"a run of the first {contents.config.limit} scenarios only (--limit): it stands on no board of whole runs"
        )
    return Verdict(folder, told.listed(), notes, contents)


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
