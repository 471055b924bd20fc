"""One process per folder: an advisory lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from harness.errors import StoreError

LOCK = ".lock"


def hold(folder: Path) -> int:
    """Make the folder if need be and lock it; gives the file descriptor to close. Raises StoreError with who holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"can't write to {folder}: {error.strerror or error}; choose another --out") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = _owner(folder / LOCK)
        os.close(lock)
        who = f" (pid {owner})" if owner else ""
        raise StoreError(f"{folder} is in use by another process{who}; wait for it or choose another --out") from error
    try:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except OSError as error:
        os.close(lock)
        raise StoreError(f"can't write to {folder}: {error.strerror or error}") from error
    return lock


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
