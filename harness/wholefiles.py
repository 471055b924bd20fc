"""Files that are whole or not there: written beside their place, synced, renamed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from harness.errors import StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, sync, rename. Raises StoreError; the old file stays whole then."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise StoreError(f"can't write {path}: {why(error)}") from error


def sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only after its directory is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def why(error: OSError) -> str:
    """What the system says is wrong, without number and path."""
    return error.strerror or str(error)
