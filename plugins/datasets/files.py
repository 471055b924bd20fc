"""Finding and reading data files: every error is a DataError that names the file, the line, the field and what was expected."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

import msgspec

from harness.api import DatasetCard
from harness.errors import DataError
from harness.paths import user_cache

__all__ = [
    "DataFile",
    "companion_folder",
    "data_folder",
    "field",
    "find_file",
    "need_file",
    "open_file",
    "read_json",
    "read_jsonl",
    "user_cache",
]

T = TypeVar("T")
_REQUIRED: Any = object()
_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


class DataFile(msgspec.Struct, frozen=True):
    """A file on disk, or a member of a zip archive. `str()` gives the name that error messages use."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    @property
    def name(self) -> str:
        """Name without folders."""
        return self.path.name if self.member is None else PurePosixPath(self.member).name


def data_folder(path: str | None, folder: str, card: DatasetCard) -> Path:
    """Where the files of a data set lie: `path` if given, else `folder` (or the card's name) under $HARNESS_DATA, else under
    `user_cache()/data`. The path that comes back exists; it may be a file if `path` names one.

    Raises DataError that lists what was looked for and says how to get the data.
    """
    if path is not None:
        given = Path(path).expanduser()
        if given.exists():
            return given
        raise DataError(f"{card.name}: the option path={path} names nothing that exists. {_how_to_get(card)}")
    names = tuple(dict.fromkeys((folder, card.name)))
    root = os.environ.get("HARNESS_DATA")
    places = [Path(root).expanduser() / name for name in names] if root else []
    places += [user_cache() / "data" / name for name in names]
    for place in places:
        if place.is_dir():
            return place
    looked = ", ".join(str(p) for p in places)
    hint = "" if root else " (the environment variable HARNESS_DATA is not set)"
    raise DataError(f"{card.name}: no data found; looked for {looked}{hint}. {_how_to_get(card)} Or give the folder: path=DIR.")


def _how_to_get(card: DatasetCard) -> str:
    how = card.how_to_get.rstrip(". ") + "." if card.how_to_get else ""
    return f"Run: harness data get {card.name}. {how}".rstrip() if card.files else how


def companion_folder(place: Path, folder: str) -> Path | None:
    """Another data set's folder: beside `place` (a file or folder), else under $HARNESS_DATA, else in the cache."""
    root = os.environ.get("HARNESS_DATA")
    near = place.parent.parent if place.is_file() else place.parent
    candidates = (near / folder, Path(root).expanduser() / folder if root else None, user_cache() / "data" / folder)
    return next((c for c in candidates if c is not None and c.is_dir()), None)


def find_file(place: Path, *names: str) -> DataFile | None:
    """The first of `names` that exists in `place`, plain, with ".gz" added, or inside a zip archive.

    `place` is a folder, or itself the wanted file or a zip archive. Archives of a folder are searched in alphabetical order,
    after all plain files; inside an archive only the last part of a member's path counts.
    """
    if place.is_file():
        if not zipfile.is_zipfile(place):
            return DataFile(place) if place.name.removesuffix(".gz") in names else None
        archives = [place]
    else:
        for name in names:
            for candidate in (place / name, place / f"{name}.gz"):
                if candidate.is_file():
                    return DataFile(candidate)
        archives = sorted(p for p in place.glob("*.zip") if p.is_file())
    for archive in archives:
        members = _members(archive)
        for name in names:
            for candidate_name in (name, f"{name}.gz"):
                if candidate_name in members:
                    return DataFile(archive, members[candidate_name])
    return None


def need_file(place: Path, *names: str, card: DatasetCard) -> DataFile:
    """As `find_file`, but a missing file raises DataError."""
    found = find_file(place, *names)
    if found is None:
        wanted = " or ".join(names)
        raise DataError(f"{card.name}: {place} holds no {wanted} (plain, .gz or inside a .zip). {_how_to_get(card)}".rstrip())
    return found


def _members(archive: Path) -> dict[str, str]:
    """Last path part -> full member name; the shortest path wins, macOS's shadow copies are left out."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [n for n in opened.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{archive}: can't be read as a zip archive ({error}); download it again") from None
    return {PurePosixPath(n).name: n for n in sorted(names, key=lambda n: (-n.count("/"), n))}


@contextmanager
def open_file(file: Path | DataFile) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed where its name ends in .gz. Trouble while opening or reading is a DataError."""
    source = file if isinstance(file, DataFile) else DataFile(file)
    with ExitStack() as stack:
        try:
            if source.member is None:
                raw: IO[bytes] = stack.enter_context(source.path.open("rb"))
            else:
                raw = stack.enter_context(stack.enter_context(zipfile.ZipFile(source.path)).open(source.member))
        except FileNotFoundError:
            raise DataError(f"{source}: no such file") from None
        # zipfile: KeyError for a member that is gone, RuntimeError for an encrypted one.
        except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{source}: can't be read ({error})") from None
        try:
            yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if source.name.endswith(".gz") else raw
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise DataError(f"{source}: the archive is damaged or cut off ({error}); fetch it again") from None
        except OSError as error:
            raise DataError(f"{source}: can't be read ({error})") from None


def read_jsonl(file: Path | DataFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) for each line that isn't blank; .gz and zip members are read directly.

    Raises DataError "file:line: ..." for a line that is no UTF-8, no JSON or no JSON object.
    """
    decode = msgspec.json.Decoder().decode
    with open_file(file) as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            yield number, _object(decode, line, f"{file}:{number}")


def read_json(file: Path | DataFile) -> Any:
    """The content of a JSON file. Raises DataError "file: ..." for a file that is no UTF-8 or no JSON."""
    with open_file(file) as opened:
        content = opened.read()
    return _decoded(msgspec.json.Decoder().decode, content.removeprefix(b"\xef\xbb\xbf"), str(file))


def _object(decode: Any, line: bytes, where: str) -> dict[str, Any]:
    value = _decoded(decode, line, where)
    if type(value) is not dict:
        raise DataError(f"{where}: expected a JSON object in one line, found {_kind(value)}")
    return value


def _decoded(decode: Any, content: bytes, where: str) -> Any:
    try:
        return decode(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start}); save the file as UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from None


def field(record: dict[str, Any], name: str, kind: type[T], where: str, default: T = _REQUIRED) -> T:
    """`record[name]`, checked to be of `kind` (str, int, float, bool, list or dict; an int passes as float, a bool as neither).

    `where` is the place for the message ("file:line"). A missing field gives `default` where there is one; null never passes.
    Raises DataError "file:line: field 'name': expected ..., found ...".
    """
    value = record.get(name, _REQUIRED)
    if value is _REQUIRED:
        if default is not _REQUIRED:
            return default
        raise DataError(f"{where}: field {name!r} is missing; expected {_WORDS.get(kind, kind.__name__)}")
    if type(value) is kind or (kind is float and type(value) is int):
        return cast(T, value)
    raise DataError(f"{where}: field {name!r}: expected {_WORDS.get(kind, kind.__name__)}, found {_kind(value)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    shown = msgspec.json.encode(value).decode()
    return f"{_WORDS.get(type(value), type(value).__name__)}: {shown[:60]}{'…' if len(shown) > 60 else ''}"
