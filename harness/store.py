"""The run directory: append, recover, validate.

    manifest.json     the resolved configuration and its fingerprint; written first, atomically
    dialogues.jsonl   one line per finished dialogue; appended, never rewritten
    dialogues.torn    bytes of lines that a crash left unfinished, kept for whoever wants to look
    scores.jsonl, summary.json    derived, can be made again at any time

Invariant: a dialogue counts when its line ends in a newline and decodes. A crash can tear only the last line; that dialogue is
played again. A record is acknowledged (progress, observers) after its write; power loss can cost at most the last second.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from harness.api import DialogueRecord
from harness.errors import StoreError
from harness.locks import hold
from harness.wholefiles import sync_folder, why, write_atomically

MANIFEST, DIALOGUES, TORN, SCORES, SUMMARY = (
    "manifest.json", "dialogues.jsonl", "dialogues.torn", "scores.jsonl", "summary.json",
)  # fmt: skip
SYNC_EVERY = 1.0
"""Seconds after which written records are on the disk (fdatasync)."""


class Store:
    """An open, locked run directory. Raises StoreError, with what to do, for everything that goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._encoder = msgspec.json.Encoder()
        self._lock = hold(folder)
        try:
            self._recover()
            self._file = os.open(folder / DIALOGUES, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._size = os.fstat(self._file).st_size
            sync_folder(folder)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(f"can't write to {folder}: {why(error)}") from error
        except BaseException:
            os.close(self._lock)
            raise
        self._failed: OSError | None = None
        """Why nothing can be written any more: the failed write, or the failed sync (which the system reports only once)."""
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_regularly, name="harness-sync", daemon=True)
        self._syncer.start()

    def _recover(self) -> None:
        """Move the bytes behind the last newline, if any, to dialogues.torn."""
        path = self.folder / DIALOGUES
        if not path.exists():
            return
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end > 0:
                start = max(0, end - 65_536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end == size:
                return
            file.seek(end)
            torn = file.read()
            with (self.folder / TORN).open("ab") as kept:
                kept.write(torn + b"\n")
            file.truncate(end)
            os.fsync(file.fileno())

    # --------------------------------------------------------------------------------------------------------- writing

    def append(self, record: DialogueRecord) -> None:
        """Write one record with one write call. After this returns, a crash of the process can't lose it."""
        if self._failed is not None:
            raise self._error(self._failed)
        line = self._encoder.encode(record) + b"\n"
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a full disk shortens writes before it refuses them
                written += os.write(self._file, line[written:])
        except OSError as error:
            self._failed = error
            with contextlib.suppress(OSError):  # a line that stays torn is recognised on the next start
                os.ftruncate(self._file, self._size)
            raise self._error(error) from error
        self._size += len(line)
        self._dirty.set()

    def _error(self, error: OSError) -> StoreError:
        return StoreError(
            f"can't write to {self.folder / DIALOGUES}: {why(error)}; everything up to here is kept. Mend that, then: "
            f"harness resume {self.folder}"
        )

    def _sync_regularly(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            if self._closing.wait(SYNC_EVERY / 2):
                return
            self._dirty.clear()
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._failed = error
                return

    def close(self) -> None:
        """Bring everything to the disk and let go of the directory. Raises StoreError if the disk refuses."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._dirty.set()
        self._syncer.join()
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._failed = error
        finally:
            os.close(self._file)
            os.close(self._lock)
        if self._failed is not None:
            raise self._error(self._failed) from self._failed

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except StoreError:
            if error is None:
                raise

    def write_json(self, name: str, content: Any) -> None:
        """Write a whole JSON file atomically (a reader sees the old or the new one)."""
        write_atomically(self.folder / name, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


# --------------------------------------------------------------------------------------------------------------- reading


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run directory. Raises StoreError when there is none."""
    return _read_object(folder / MANIFEST, "it is no run directory")


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a run directory. Raises StoreError when the run was not scored yet."""
    return _read_object(folder / SUMMARY, f"score it first: harness score {folder}")


def _read_object(path: Path, hint: str) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"there is no {path}: {hint}") from None
    except OSError as error:
        raise StoreError(f"can't read {path}: {why(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise StoreError(f"{path} is damaged: it holds no JSON object")
    return content


def read_lines(folder: Path) -> Iterator[DialogueRecord]:
    """Every record line in file order, superseded ones too; a torn last line is left out. Streams.

    Raises StoreError with the line number for a line that does not decode.
    """
    path = folder / DIALOGUES
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(DialogueRecord)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise StoreError(
                        f"{path}:{number} is damaged ({error}); remove that line and resume: the dialogue is played again"
                    ) from None
    except OSError as error:
        raise StoreError(f"can't read {path}: {why(error)}") from error


def finished(folder: Path) -> set[tuple[str, int]]:
    """(scenario, trial) of all dialogues that need not be played again."""
    return {(record.scenario, record.trial) for record in read_lines(folder) if record.complete}


def read_records(folder: Path) -> Iterator[DialogueRecord]:
    """One record per (scenario, trial): the finished one, else the last incomplete one. Streams with two passes."""
    last: dict[tuple[str, int], int] = {}
    final: set[tuple[str, int]] = set()
    for number, record in enumerate(read_lines(folder)):
        key = (record.scenario, record.trial)
        if key not in final:
            last[key] = number
            if record.complete:
                final.add(key)
    wanted = set(last.values())
    for number, record in enumerate(read_lines(folder)):
        if number in wanted:
            yield record
