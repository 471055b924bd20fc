"""Limits and rights of a process (Linux; what there is of them elsewhere). Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from typing import Final

SPACE: Final = 16
"""Times the memory limit that addresses may span, mapped files and reserved room included: the kernel's own tables for them
stay small beside the limit."""
OPEN_FILES: Final = 256
_SET_PDEATHSIG, _BOUNDING_DROP, _NO_NEW_PRIVS = 1, 24, 38


def limit(memory: int) -> bool:
    """Memory in bytes; no core files, no bytes in any file. True where the system holds a process to its memory limit."""
    amounts = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0}
    if memory:
        amounts |= {"RLIMIT_DATA": memory, "RLIMIT_AS": memory * SPACE}
    for name, amount in amounts.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            least = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (least, least))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails instead of ending the process
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("1000")  # the first to go where the whole machine runs out of memory
    return sys.platform == "linux" and bool(memory)


def end_with_parent(parent: int) -> bool:
    """Be killed when the thread that started this process ends. False where the system doesn't offer it."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        return False
    if os.getppid() != parent:  # it ended before
        os._exit(0)
    return True


def give_up_rights() -> bool:
    """Drop all capabilities, for good, and never gain privileges again. False where that isn't possible."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        library.prctl(_BOUNDING_DROP, capability, 0, 0, 0)  # fails for who has none to drop
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
    none = ctypes.create_string_buffer(struct.pack("6I", *[0] * 6), 24)
    dropped = not library.capset(header, none)
    return not library.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) and dropped
