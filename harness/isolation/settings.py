"""What `--isolate` was asked for."""

from __future__ import annotations

import re

import msgspec

from harness.errors import UsageError

GIB = 1 << 30
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


class Isolation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recommender in a process of its own. Nothing here changes a number of an honest recommender."""

    strict: bool = False
    """Refuse to run where a wall can't be raised."""
    memory: int = 4 * GIB
    """Bytes that its process may fill."""
    network: bool = False
    """It may connect to other machines (never to sockets of this one's file system)."""
    read: tuple[str, ...] = ()
    """Files and folders that it may read besides code and artefacts."""
    start: float = 1800.0
    """Seconds that starting it may take: imports, making the component, `prepare`."""
    restarts: int = 20
    """How often its process is started again after it ended, or was ended."""

    def __post_init__(self) -> None:
        if self.memory < 1 << 26:
            raise UsageError(f"isolate-memory must be at least 64M, not {self.memory} bytes: Python itself needs that much")
        if not self.start > 0:
            raise UsageError(f"isolate-start must be a number of seconds above 0, not {self.start:g}")
        if self.restarts < 0:
            raise UsageError(f"isolate-restarts must be at least 0, not {self.restarts}")


def size(text: str, flag: str = "--isolate-memory") -> int:
    """ "4G" -> bytes; K, M, G, T are powers of 1,024. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{flag} {text!r}: write a size as 512M or 4G")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
