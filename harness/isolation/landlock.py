"""Files, TCP and signals that a process can't reach any more (Linux, Landlock). Standard library only."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
# What each version of the interface can refuse of files; it refuses all of it but what a rule allows.
_FILES: Final = ((5, (1 << 16) - 1), (3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))
_TCP, _SCOPES = 0b11, 0b11
TCP_FROM, SCOPES_FROM = 4, 6


def version() -> int:
    """The kernel's version of the interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    found = int(_library().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    return max(found, 0)


def restrict(read: Iterable[str], listed: Iterable[str], write: Iterable[str], *, network: bool) -> None:
    """From now on this process opens nothing but: what lies below `read`, for reading; folders below `listed`, for their
    names; the files `write`. It changes nothing in any folder. Paths that aren't there are left out. Needs no_new_privs.

    Raises OSError where the kernel refuses.
    """
    known = version()
    files = next(mask for least, mask in _FILES if known >= least)
    attributes = struct.pack("QQQ", files, 0 if network or known < TCP_FROM else _TCP, 0 if known < SCOPES_FROM else _SCOPES)
    size = 24 if known >= SCOPES_FROM else 16 if known >= TCP_FROM else 8
    ruleset = _called(_CREATE, ctypes.create_string_buffer(attributes, 24), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for paths, wanted in (
            (read, _READ_FILE | _READ_DIR),
            (listed, _READ_DIR),
            (write, _READ_FILE | _WRITE_FILE | _TRUNCATE),
        ):
            for path in paths:
                _allow(ruleset, path, wanted & files)
        _called(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, wanted: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            wanted &= ~_READ_DIR
        if wanted:
            rule = ctypes.create_string_buffer(struct.pack("=Qi", wanted, place), 12)
            _called(_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0))
    finally:
        os.close(place)


def _called(number: int, *arguments: object) -> int:
    result = int(_library().syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library
