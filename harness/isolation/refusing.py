"""Words for what the wall `calls` refuses: the kernel's own are "Operation not permitted", and libraries drop even those.

This is no wall: it only tells honest recommenders, in Python, what a socket would have met in the kernel a moment later.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any, Final

WORDS: Final = (
    "isolation keeps the recommender from the network: allow connections with --isolate-network, or play it without --isolate"
)
_NAMES: Final = frozenset(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"))
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_DEEP: Final = 50


class Refused(PermissionError):
    """A connection was asked for that isolation forbids."""


def explain_network() -> None:
    """A socket to the network, and the look-up of a name, fail with these words from now on: such a hook stays for good."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NAMES or (event == "socket.__new__" and arguments[1] in _INTERNET):
            raise Refused(errno.EPERM, WORDS)

    sys.addaudithook(hook)


def explained(error: BaseException, text: str) -> str:
    """The text of an error; where such a refusal is behind it, after these words, which libraries lose on the way."""
    waiting, seen = [error], 0
    while waiting and seen < _DEEP:
        found, seen = waiting.pop(), seen + 1
        if isinstance(found, Refused):
            return WORDS if text in ("", WORDS) else f"{WORDS} ({text.replace(WORDS, '...')})"
        waiting += [each for each in (found.__cause__, found.__context__) if each is not None]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
    return text
