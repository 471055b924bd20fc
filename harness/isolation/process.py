"""The harness's end of an isolated process: start it, talk in frames, watch it, end it and whatever it started."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.isolation import messages
from harness.isolation.reach import Reach, artifact_folders
from harness.isolation.settings import Isolation

WALLS: Final = {
    "files": "reads code and artefacts only, writes nothing",
    "calls": "starts no process, signals none, opens no connection",
    "memory": "memory limit",
    "rights": "no privileges",
    "end": "ends with the harness",
}
"""What can stand around the process, in words."""
_KEPT: Final = (
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TOKENIZERS_PARALLELISM", "LD_LIBRARY_PATH", "TZ", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
    "SENTENCE_TRANSFORMERS_HOME",
)  # fmt: skip
_TAIL: Final = 4000
_LOOK_EVERY: Final = 0.1
_decode = msgspec.msgpack.Decoder(messages.Answer).decode


class Gone(Exception):
    """The process has ended, or was ended; the text says how."""


class Plan(msgspec.Struct, frozen=True):
    """How to start the process; the same for every start."""

    isolation: Isolation
    reach: Reach
    plugins: str
    """The distributions whose plugins it sees."""
    stay: bool = False
    """Start where the user stands, because options name files from there."""
    hash_seed: str = "0"
    """PYTHONHASHSEED: another one shows what depends on the order of a set."""


class Process:
    """One process. It is used in one event loop at a time: `attach` and `detach`."""

    def __init__(self, plan: Plan) -> None:
        """Start it. What it may not do is decided in it, before a plugin's code runs; `hello` says what was possible."""
        self.plan = plan
        self._reason = ""
        folder = tempfile.mkdtemp(prefix="harness-isolated-")
        for name, place in plan.reach.links.items():
            Path(folder, name).symlink_to(place)
        self._folder = folder
        self._socket, theirs = socket.socketpair()
        try:
            popen = subprocess.Popen(
                [sys.executable, "-S", "-s", "-P", str(Path(__file__).with_name("bootstrap.py")), str(theirs.fileno())],
                env=_environment(plan, folder), cwd=None if plan.stay else folder, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self._socket.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            theirs.close()
        self._popen = popen
        self._tail: collections.deque[bytes] = collections.deque(maxlen=8)
        threading.Thread(target=_drain, args=(popen.stderr, self._tail), name="harness-isolated-stderr", daemon=True).start()
        self.end = weakref.finalize(self, _end, popen, self._socket, folder)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._watch: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------------------------ talk

    async def attach(self) -> None:
        """Use it in the running loop."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGCONT)
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket.dup(), limit=1 << 20)
        self._watch = asyncio.ensure_future(self._look())

    def detach(self) -> None:
        """Leave the loop. Until it is attached again the process stands still."""
        if self._watch is not None:
            self._watch.cancel()
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = self._watch = None
        if self.end.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGSTOP)

    async def hello(self) -> dict[str, str]:
        """Send the policy. Returns the walls that can't stand, with the reasons. Raises Gone."""
        plan = self.plan
        policy = {
            "read": [*plan.reach.read, self._folder],
            "list": plan.reach.listed,
            "write": ["/dev/null"],
            "memory": plan.isolation.memory,
            "network": plan.isolation.network,
            "path": [self._folder, *plan.reach.path],
            # Linux ties a child's life to the thread that started it; others may end long before the harness does.
            "die_with": os.getpid() if threading.current_thread() is threading.main_thread() else 0,
        }
        content = json.dumps(policy).encode()
        self._send(len(content).to_bytes(4, "big") + content)
        missing = dict(json.loads(await self._frame())["missing"])
        if not policy["die_with"]:
            missing["end"] = "it was started by a thread"
        return missing

    def send(self, message: messages.Order) -> None:
        """Queue a message. Raises what `messages.frame` raises."""
        self._send(messages.frame(message))

    def _send(self, content: bytes) -> None:
        if self._writer is not None:
            self._writer.write(content)

    async def read(self) -> messages.Answer:
        """The next message. Raises Gone when there will be none; garbage ends the process."""
        content = await self._frame()
        try:
            message: messages.Answer = _decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            raise self.kill("it sent something that is no message") from None
        return message

    async def _frame(self) -> bytes:
        if self._reader is None:
            raise Gone("its process is not attached")
        try:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > messages.MOST:
                raise self.kill(f"it sent a message of {length:,} bytes, more than {messages.MOST:,}")
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            for _ in range(300):  # a busy machine may take its time to end it; records shall say the same there
                if self._status() is not None:
                    break
                await asyncio.sleep(0.01)
            raise self.kill("it closed its pipe to the harness") from None

    # ------------------------------------------------------------------------------------------------------- watch, end

    def kill(self, reason: str) -> Gone:
        """End it and its process group; `reason` is why, unless it has ended by itself. Returns what to raise."""
        status = self._status()
        if not self._reason:
            self._reason = reason if status is None else status
        self.end()
        return Gone(self._reason)

    def alive(self) -> bool:
        """It was not ended, and has not ended by itself."""
        return self.end.alive and self._status() is None

    def tail(self) -> str:
        """The last line of what it wrote to its standard error."""
        text = b"".join(self._tail)[-_TAIL:].decode("utf-8", "replace")
        lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def _status(self) -> str | None:
        """How it ended; None while it runs. It stays a zombie, so that its number can't be anybody else's."""
        if not hasattr(os, "waitid"):  # macOS
            code = self._popen.poll()
            return None if code is None else f"its process ended with status {code}"
        try:
            found = os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return "its process ended"
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return f"its process ended with exit status {found.si_status}"
        name = signal.Signals(found.si_status).name if found.si_status in set(signal.Signals) else "?"
        return f"its process was killed by signal {found.si_status} ({name})"

    async def _look(self) -> None:
        """Threads are the one thing without a limit of its own; memory has one where Linux holds it."""
        most = max(512, 16 * (os.cpu_count() or 1))
        status = Path(f"/proc/{self._popen.pid}/status")
        while status.exists():
            with contextlib.suppress(OSError, ValueError):
                fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
                if int(fields.get("Threads", "0")) > most:
                    self.kill(f"it had more than {most} threads")
                if int(fields.get("VmRSS", "0 kB").split()[0]) * 1024 > 1.25 * self.plan.isolation.memory:
                    self.kill("it took more memory than it may")
            await asyncio.sleep(_LOOK_EVERY)


def _environment(plan: Plan, folder: str) -> Mapping[str, str]:
    """Nothing of the user's but how many threads to use, and where models lie; no keys."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    folders = os.pathsep.join(map(str, artifact_folders()))
    return kept | {
        "PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONUTF8": "1",
        "PYTHONHASHSEED": plan.hash_seed, "PYTHONDONTWRITEBYTECODE": "1", "HARNESS_PLUGINS": plan.plugins,
        **({"HARNESS_ARTIFACTS": folders} if folders else {}),
    }  # fmt: skip


def _drain(stream: Any, tail: collections.deque[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while part := os.read(stream.fileno(), 1 << 16):
            tail.append(part[-_TAIL:])


def _end(popen: subprocess.Popen[bytes], link: socket.socket, folder: str) -> None:
    """Kill the whole group, which only children of a process without the wall `calls` could have left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, signal.SIGKILL)
    with contextlib.suppress(Exception):
        popen.wait(5)
    link.close()
    shutil.rmtree(folder, ignore_errors=True)
