"""Reads a folder that a stranger has made: plain files, no link, capped sizes, archives never unpacked whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.leaderboard.types import DIALOGUES, MANIFEST, RANKS, SUBMISSION

MAX_JSON = 4 << 20
MAX_PACKED = 200 << 20
MAX_LINE = 4 << 20
MAX_UNPACKED = 4 << 30
_PIECE = 1 << 16
_CONTROL = re.compile(r"control-[a-z0-9][a-z0-9.-]{0,60}\.(manifest\.json|ranks\.jsonl\.gz)")


class Problem(NamedTuple):
    """What is wrong, where."""

    file: str
    field: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


Told = Callable[[Problem], None]


def known_name(name: str) -> bool:
    """True for the names that a file of a submission can have; a path is none."""
    return name in (SUBMISSION, MANIFEST, DIALOGUES, RANKS) or _CONTROL.fullmatch(name) is not None


def control_files(control: str) -> tuple[str, str]:
    """Manifest and ranks of a control run."""
    return f"control-{control}.manifest.json", f"control-{control}.ranks.jsonl.gz"


def look_around(folder: Path) -> Iterator[Problem]:
    """Everything in the folder that doesn't belong into a submission."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            yield Problem(folder.name, "", "a submission is a folder, and no link to one")
            return
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Problem(folder.name, "", f"can't be read: {error.strerror}")
        return
    for entry in found:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            yield Problem(entry.name, "", "is a link; a submission has plain files only")
        elif stat.S_ISDIR(mode):
            yield Problem(entry.name, "", "is a folder; a submission has none inside")
        elif not stat.S_ISREG(mode):
            yield Problem(entry.name, "", "is no plain file")
        elif not known_name(entry.name):
            yield Problem(entry.name, "", "is no file of a submission; remove it")


def read_small(folder: Path, name: str, told: Told) -> bytes | None:
    """A JSON file, whole; None (and told) when it is missing, a link, or too large."""
    try:
        with _open(folder, name) as file:
            content = file.read(MAX_JSON + 1)
    except OSError as error:
        told(Problem(name, "", _why(error)))
        return None
    if len(content) > MAX_JSON:
        told(Problem(name, "", f"is larger than {MAX_JSON >> 20} MiB"))
        return None
    return bytes(content)


def sha256(folder: Path, name: str, told: Told) -> str | None:
    """Of a file as it lies there, at most MAX_PACKED bytes."""
    try:
        with _open(folder, name) as file:
            if os.fstat(file.fileno()).st_size > MAX_PACKED:
                told(Problem(name, "", f"is larger than {MAX_PACKED >> 20} MiB"))
                return None
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        told(Problem(name, "", _why(error)))
        return None


def unpack_lines(folder: Path, name: str, most: int, told: Told) -> Iterator[tuple[int, bytes]]:
    """(number, line) of a gzip file, a piece at a time. Ends, with one problem told, at whatever is wrong: more than `most`
    lines, a line above MAX_LINE, damaged or cut off data. No more than a line and a piece are ever in memory."""
    number, total, rest = 0, 0, b""
    try:
        with _open(folder, name) as packed, gzip.GzipFile(fileobj=packed, mode="rb") as file:
            while piece := file.read(_PIECE):
                total += len(piece)
                *whole, rest = (rest + piece).split(b"\n")
                if total > MAX_UNPACKED or len(rest) > MAX_LINE or any(len(line) > MAX_LINE for line in whole):
                    told(
                        Problem(name, f"line {number + 1}", "unpacks to more than a submission may hold: nothing more is read")
                    )
                    return
                for line in whole:
                    number += 1
                    if number > most:
                        told(Problem(name, f"line {number}", f"there are more lines than the {most:,} dialogues of this run"))
                        return
                    yield number, line
    except EOFError:
        told(Problem(name, f"line {number + 1}", "the compressed data end too early: the file is cut off"))
        return
    except (gzip.BadGzipFile, zlib.error) as error:
        told(Problem(name, f"line {number + 1}", f"is no sound gzip file: {error}"))
        return
    except OSError as error:
        told(Problem(name, "", _why(error)))
        return
    if rest:
        told(Problem(name, f"line {number + 1}", "the last line doesn't end: the file is cut off"))


def decode(content: bytes, kind: Any, told: Told, file: str, place: str = "") -> Any:
    """JSON -> `kind`; None (and told, with the field) for anything else."""
    try:
        decoded = msgspec.json.decode(content, type=kind)
        if (twice := _twice(content)) is not None:
            told(Problem(file, " ".join(part for part in (place, twice[:80]) if part), "stands twice in one object"))
        return decoded
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        field = path.strip("`").removeprefix("$").removeprefix(".")
        told(Problem(file, " ".join(part for part in (place, field) if part), message))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        told(Problem(file, place, f"is no JSON in UTF-8: {error}"))
    except RecursionError:
        told(Problem(file, place, "is nested too deeply"))
    return None


def _twice(content: bytes) -> str | None:
    """A key that an object has more than once: readers differ in which one they see, and people see both."""
    found: list[str] = []

    def pairs(held: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in held}) < len(held):
            found.append(next(key for number, (key, _) in enumerate(held) if key in (other for other, _ in held[:number])))

    json.loads(content, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return found[0] if found else None


def _open(folder: Path, name: str) -> Any:
    """A plain file right inside the folder; a link or a pipe raises OSError."""
    descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is no plain file")
    return os.fdopen(descriptor, "rb")


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is missing"
    return f"can't be read: {error.strerror or error}"
