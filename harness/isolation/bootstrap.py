"""The first program of an isolated process: `python -S bootstrap.py FD`. Takes everything away before a plugin's code runs.

The standard library only, without `site`: what a package puts into site-packages to be run at every start runs behind the
walls too. The first frame on the socket says what may be kept (see `process.policy`), the answer says which walls stand.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any


def main(descriptor: int) -> None:
    """Read the policy, obey it, answer, and become the worker."""
    link = socket.socket(fileno=descriptor)
    link.set_inheritable(False)
    policy = json.loads(_read(link))
    missing = confine(policy)
    answer = json.dumps({"missing": missing}).encode()
    link.sendall(struct.pack(">I", len(answer)) + answer)
    sys.path[:] = policy["path"]
    import site

    site.main()  # import hooks of editable installations; what else it adds to the path is taken off again
    sys.path[:] = policy["path"]
    import tempfile

    tempfile.tempdir = os.environ["TMPDIR"]  # some libraries want its name when they are imported; nothing can be written there
    from harness.isolation.worker import work

    work(link, network=policy["network"])


def confine(policy: dict[str, Any]) -> dict[str, str]:
    """Raise the walls. Returns those that can't stand here, each with the reason."""
    landlock, seccomp, limits = _sibling("landlock"), _sibling("seccomp"), _sibling("limits")
    missing: dict[str, str] = {}
    if policy["die_with"] and not limits.end_with_parent(policy["die_with"]):
        missing["end"] = f"{sys.platform} doesn't end a process with the one that started it"
    if not limits.limit(policy["memory"]):
        missing["memory"] = f"{sys.platform} doesn't hold a process to a memory limit"
    if not limits.give_up_rights():
        missing["rights"] = f"{sys.platform} can't take rights away from a process"
    else:
        with contextlib.ExitStack() as failing:
            failing.enter_context(_noting(missing, "files"))
            if not landlock.version():
                raise OSError("there is no Landlock: the kernel is too old, or a container forbids it")
            landlock.restrict(policy["read"], policy["list"], policy["write"], network=policy["network"])
        with contextlib.ExitStack() as failing:
            failing.enter_context(_noting(missing, "calls"))
            reason = seccomp.available()
            if reason:
                raise OSError(reason)
            seccomp.refuse(network=policy["network"])
    if "rights" in missing:
        missing |= dict.fromkeys(("files", "calls"), missing["rights"])
    return missing


@contextlib.contextmanager
def _noting(missing: dict[str, str], name: str) -> Any:
    try:
        yield
    except OSError as error:
        missing[name] = str(error)


def _sibling(name: str) -> Any:
    """A module of this folder: the package itself can't be imported yet."""
    spec = importlib.util.spec_from_file_location(f"_isolation_{name}", Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(link: socket.socket) -> bytes:
    (length,) = struct.unpack(">I", _exactly(link, 4))
    return _exactly(link, length)


def _exactly(link: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = link.recv(min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main(int(sys.argv[1]))
