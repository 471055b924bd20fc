"""What a component shares with everybody else in the process, and must leave alone: generators, settings, threads."""

from __future__ import annotations

import contextlib
import locale
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGALRM", "SIGPIPE")


@contextlib.contextmanager
def watched_generators() -> Iterator[list[str]]:
    """Gives a list that afterwards holds the names of the global random generators that were drawn from or seeded."""
    used: list[str] = []
    before = _generators()
    yield used
    after = _generators()
    used += [name for name, state in after.items() if name in before and before[name] != state]


def _generators() -> dict[str, Any]:
    import random

    found: dict[str, Any] = {"random": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        found["numpy.random"] = (name, keys.tobytes(), *rest)
    if torch is not None:
        found["torch"] = torch.random.get_rng_state().numpy().tobytes()
    return found


class Surroundings:
    """The process as it was when this was made."""

    def __init__(self) -> None:
        self._settings = _settings()
        self._environment = dict(os.environ)
        self._threads = set(threading.enumerate())

    def changed(self) -> list[str]:
        """What is no longer as it was, in words. An environment variable that is new harms nobody."""
        now = _settings()
        told = [
            f"{name} was {self._settings[name]}, now it is {now[name]}" for name in now if now[name] != self._settings[name]
        ]
        for name, value in self._environment.items():
            if os.environ.get(name) != value:
                told.append(f"the environment variable {name} was {'changed' if name in os.environ else 'removed'}")
        return told

    def left_behind(self) -> list[str]:
        """Threads and processes that have come since and that the end of the process would wait for."""
        pools = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())  # these end with the process
        new = [t for t in threading.enumerate() if t not in self._threads and not t.daemon and t not in pools]
        told = [f"the thread {thread.name}" for thread in new]
        processes = sys.modules.get("multiprocessing")
        if processes is not None:
            told += [f"the process {child.name}" for child in processes.active_children() if not child.daemon]
        return told


def _settings() -> dict[str, str]:
    """Settings of the whole process, by a name for people."""
    try:
        folder = os.getcwd()  # noqa: PTH109  compared, not used
    except OSError:
        folder = "gone"
    found = {"the working directory": folder, "the locale": str(locale.setlocale(locale.LC_ALL))}
    for stream in ("stdin", "stdout", "stderr"):
        found[f"sys.{stream}"] = f"{type(getattr(sys, stream)).__name__} {id(getattr(sys, stream)):x}"
    for name in _SIGNALS:
        if hasattr(signal, name):
            found[f"the handler of {name}"] = str(signal.getsignal(getattr(signal, name)))
    sockets, torch = sys.modules.get("socket"), sys.modules.get("torch")
    # A module that has only just been imported is held against its own defaults.
    found["the default time limit of sockets"] = str(sockets.getdefaulttimeout() if sockets else None)
    found["torch's default type"] = str(torch.get_default_dtype()) if torch else "torch.float32"
    return found
