"""Fetches one file from its official address: resumable, checked, atomic.

A file grows under `NAME.part`; `NAME.part.json` beside it holds the address and the server's version of what was fetched, so
that a later call asks for the rest only if the file there is still the same. Only a complete and checked file gets its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from harness.api import RemoteFile
from harness.errors import DataError
from harness.paths import user_cache

__all__ = ["Progress", "download", "user_cache"]

Progress = Callable[[int, int | None], None]
"""Called with (bytes that are here, bytes of the whole file or None) whenever something arrived."""

_CHUNK = 1 << 18
_LONGEST_WAIT = 60
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Version(msgspec.Struct):
    """What a .part file holds the beginning of. `validator` is a strong ETag or a Last-Modified date ("" if the server gave
    neither)."""

    url: str
    validator: str = ""


class _Interrupted(Exception):
    """The connection ended early, or the server asked to come back, perhaps after some seconds; what arrived is kept."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only, and never from https to http."""

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise DataError(f"{req.full_url}: the server redirects to no safe address ({newurl}); fetch it by hand")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    file: RemoteFile,
    folder: Path,
    *,
    progress: Progress | None = None,
    timeout: float = 30.0,
    tries: int = 5,
    pause: float = 1.0,
) -> Path:
    """Brings `file` to `folder/file.name` and returns that path; a file that is already there and correct is left alone.

    A broken connection or a 429/5xx answer is tried again up to `tries` times in a row without progress, after `pause` seconds,
    doubled each time; what arrived stays for the next call. `timeout` is the seconds of silence before a connection counts as
    broken.

    Raises DataError, with what to do, for an unsafe name or address, an answer other than success, a size or SHA-256 that isn't
    the expected one, and a folder that can't be written.
    """
    _check(file)
    target = folder / file.name
    try:
        if target.exists():
            return _accept_existing(file, target, progress)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{file.name}.part") as part:
            _fetch(file, part, progress, timeout, tries, pause)
            os.fsync(part.fileno())
            Path(part.name).replace(target)
            _version_path(part.name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{target}: can't be written ({error.strerror or error}); choose another folder or make room") from None
    return target


def _check(file: RemoteFile) -> None:
    name = file.name
    if not name or name.startswith(".") or re.search(r"[/\\:\x00-\x1f]", name):
        raise DataError(f"{name!r} is no plain file name; a download may not choose its folder")
    parts = urllib.parse.urlsplit(file.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError(f"{file.url}: only http and https addresses are fetched")


def _accept_existing(file: RemoteFile, target: Path, progress: Progress | None) -> Path:
    size = target.stat().st_size
    problem = ""
    if file.bytes is not None and size != file.bytes:
        problem = f"has {size:,} bytes instead of {file.bytes:,}"
    elif file.sha256 is not None and (found := _sha256(target)) != file.sha256.lower():
        problem = f"has the SHA-256 {found} instead of {file.sha256}"
    if problem:
        raise DataError(f"{target} is there but {problem}: it isn't the official file; remove it to fetch it again")
    if progress is not None:
        progress(size, size)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The .part file, open for reading and writing, for this process alone."""
    with path.open("a+b") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{path}: another process is fetching this file; wait for it to finish") from None
        # Between our opening and locking another process may have finished and renamed what we hold.
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(part.fileno())):
            raise DataError(f"{path}: another process has just fetched this file; run it again")
        yield part


def _fetch(file: RemoteFile, part: IO[bytes], progress: Progress | None, timeout: float, tries: int, pause: float) -> None:
    """Fills the .part file until it is complete and its checksum right."""
    failures, restarted = 0, False
    while True:
        before = _size(part)
        try:
            resumed = _receive(file, part, progress, timeout)
        except _Interrupted as reason:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= tries:
                raise DataError(
                    f"{file.url}: {reason}; {_size(part):,} bytes are kept in {part.name}: run it again to go on from there"
                ) from None
            time.sleep(max(reason.wait, pause * 2 ** (failures - 1)))
            continue
        if file.sha256 is None:
            return
        part.flush()
        found = _sha256(Path(part.name))
        if found == file.sha256.lower():
            return
        _clear(part)
        # A wrong sum after a resume may only mean that the pieces came from two versions: once more from the start.
        if not resumed or restarted:
            raise DataError(
                f"{file.url}: the SHA-256 of what came is {found}, expected {file.sha256}; it was thrown away. Either the "
                "official file has changed or something on the way alters it: fetch it by hand and compare"
            )
        restarted = True


def _receive(file: RemoteFile, part: IO[bytes], progress: Progress | None, timeout: float) -> bool:
    """One request for what is still missing; returns whether it continued an older piece. Raises _Interrupted if the rest may
    come with another request."""
    have = _size(part)
    version = _read_version(part.name)
    # Without a validator only the checksum can tell that both pieces belong together.
    if have and (version is None or version.url != file.url or not (version.validator or file.sha256)):
        _clear(part)
        have = 0
    request = urllib.request.Request(file.url, headers={"User-Agent": "crs-harness", "Accept-Encoding": "identity"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version is not None and version.validator:
            request.add_header("If-Range", version.validator)
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=timeout) as answer:
            start, total = _place(answer, have, file)
            if start == 0:
                _clear(part)
            _write_version(part.name, _Version(file.url, _validator(answer)))
            return _copy(answer, part, start, total, progress)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, file, part, have)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _Interrupted(f"the server can't be reached or the connection broke ({reason})") from None


def _place(answer: Any, have: int, file: RemoteFile) -> tuple[int, int | None]:
    """(where the answer's first byte belongs, size of the whole file or None)."""
    start, total = 0, None
    if answer.status == 206:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != have:
            raise DataError(f"{file.url}: the server answered with another part than was asked for; fetch it by hand")
        start, total = have, None if found[2] == "*" else int(found[2])
    elif (length := answer.headers.get("Content-Length")) is not None and length.isdecimal():
        total = int(length)
    if total is not None and file.bytes is not None and total != file.bytes:
        raise DataError(
            f"{file.url}: the server's file has {total:,} bytes, expected {file.bytes:,}: the official file has changed"
        )
    return start, total if total is not None else file.bytes


def _copy(answer: Any, part: IO[bytes], start: int, total: int | None, progress: Progress | None) -> bool:
    have = start
    if progress is not None:
        progress(have, total)
    while True:
        try:
            chunk = answer.read1(_CHUNK)
        except (http.client.HTTPException, OSError) as error:
            raise _Interrupted(f"the connection broke after {have:,} bytes ({error})") from None
        if not chunk:
            break
        part.write(chunk)
        have += len(chunk)
        if total is not None and have > total:
            raise DataError(f"{answer.url}: more than the announced {total:,} bytes came; fetch it by hand")
        if progress is not None:
            progress(have, total)
    part.flush()
    if total is not None and have < total:
        raise _Interrupted(f"the connection ended after {have:,} of {total:,} bytes")
    return start > 0


def _refused(error: urllib.error.HTTPError, file: RemoteFile, part: IO[bytes], have: int) -> bool:
    """What an HTTP error means: a complete .part file (True: it was resumed), a reason to try again, or the end."""
    if error.code == 416 and have:
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return True
        _clear(part)
        raise _Interrupted("the server's file is not longer than what was here; starting over")
    if error.code in (408, 429) or error.code >= 500:
        wait = error.headers.get("Retry-After", "")
        seconds = min(int(wait), _LONGEST_WAIT) if wait.isdecimal() else 0
        raise _Interrupted(f"the server answers HTTP {error.code} {error.reason}", seconds)
    if 300 <= error.code < 400:
        raise DataError(f"{file.url}: the server redirects to no safe address ({error.reason}); fetch it by hand")
    raise DataError(f"{file.url}: HTTP {error.code} {error.reason}; the file may have moved: look at the data set's homepage")


def _validator(answer: Any) -> str:
    """What If-Range may name: a strong ETag, else the date of last change."""
    etag = str(answer.headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))


def _size(part: IO[bytes]) -> int:
    part.flush()
    return os.fstat(part.fileno()).st_size


def _clear(part: IO[bytes]) -> None:
    part.truncate(0)


def _version_path(part: str) -> Path:
    return Path(f"{part}.json")


def _read_version(part: str) -> _Version | None:
    try:
        return msgspec.json.decode(_version_path(part).read_bytes(), type=_Version)
    except (OSError, msgspec.DecodeError):
        return None


def _write_version(part: str, version: _Version) -> None:
    _version_path(part).write_bytes(msgspec.json.encode(version))


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
