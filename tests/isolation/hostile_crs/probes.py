"""Looks for targets, and at everything that isn't its own. What it finds is in the text of its reply."""

import base64
import ctypes
import fcntl
import gc
import importlib
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import msgspec

from harness import Conversation, Recommendation
from harness.api import DialogueRecord, Feedback, Knowledge, Need, Scenario, Split


class Options(msgspec.Struct, frozen=True):
    places: str = ""


class Prober:
    def __init__(self, options: Options) -> None:
        self.places = json.loads(base64.b64decode(options.places)[::-1])

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        found = {}
        for name, probe in PROBES.items():
            try:
                found[name] = f"got: {probe(self.places)!r}"[:500]
            except BaseException as error:
                found[name] = f"{type(error).__name__}: {error}"[:200]
        return Recommendation(("m1",), json.dumps(found))


def interpreter(places):
    hidden = (Scenario, Need, Knowledge, Split, DialogueRecord, Feedback)
    tracked = gc.get_objects()
    # The collector tracks no texts, and no object that holds nothing but texts; what holds those is tracked.
    beside = [each for holder in tracked for each in gc.get_referents(holder) if not gc.is_tracked(each)]
    objects = [type(each).__name__ for each in (*tracked, *beside) if isinstance(each, hidden)]
    frames = list(sys._current_frames().values())
    while frames:
        frame = frames.pop()
        objects += [name for name, value in frame.f_locals.items() if isinstance(value, hidden)]
        frames += [frame.f_back] if frame.f_back else []
    texts = {each for each in beside if type(each) is str}
    texts.update(each for holder in beside for each in gc.get_referents(holder) if type(each) is str)
    return objects, "hello 0" in texts, [text for text in texts if text[::-1] in (places["tes"], places["ecruos"])]


def read(name):
    return lambda places: Path(places[name]).read_bytes()[:50]


def listing(name):
    return lambda places: os.listdir(places[name])


def written(places):
    gone = []
    for folder in (".", tempfile.gettempdir(), os.environ["HOME"], "/tmp", "/dev/shm", places["run"], Path(__file__).parent):
        try:
            (Path(folder) / "mine").write_text("x")
        except OSError:
            gone.append(str(folder))
    return len(gone), "of 7 refused"


def changed(places):
    os.chmod(places["file"], 0)


def forked(places):
    if os.fork() == 0:
        os._exit(0)


def raw_clone(places):
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.syscall(56 if os.uname().machine == "x86_64" else 220, signal.SIGCHLD, 0, 0, 0, 0)
    if number == 0:
        os._exit(0)
    if number < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return number


def executed(places):
    return subprocess.check_output(["/bin/ls", places["run"]])


def connected(places):
    """Without Python's own sockets: it is the kernel that must refuse."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", places["port"]) + socket.inet_aton("127.0.0.1") + bytes(8)
    if number < 0 or libc.connect(number, address, 16) < 0:
        raise OSError(ctypes.get_errno(), "connect")


def unix_socket(places):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(places["sock"])


def environment(places):
    return [name for name, value in os.environ.items() if "key" in name.lower() or "hush" in value]


def descriptors(places):
    """Sockets and files that are open, but the standard ones and the pipe."""
    found = []
    for number in range(3, 256):
        try:
            kind = os.fstat(number).st_mode & 0o170000
        except OSError:
            continue
        name = ""
        if kind == 0o140000:
            with socket.socket(fileno=os.dup(number)) as link:
                name = str(link.getpeername() or "")
        found.append((oct(kind), name))
    return found


def memory_of_parent(places):
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(16)
    ours = Vector(ctypes.addressof(buffer), 16)
    theirs = Vector(places["address"], 16)
    if libc.process_vm_readv(os.getppid(), ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")
    return buffer.raw


def traced(places):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, os.getppid(), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def killed(name, number=signal.SIGKILL):
    return lambda places: os.kill(places[name], number)


def signalled_by_a_file(places):
    """A descriptor whose owner gets a signal when something can be read."""
    one, other = socket.socketpair()
    fcntl.fcntl(one, fcntl.F_SETOWN, places["victim"])
    fcntl.fcntl(one, 10, signal.SIGKILL)
    fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC)
    other.send(b"x")


def shared_memory(places):
    return len(mmap.mmap(-1, 1 << 20))


def nameless_file(places):
    return os.memfd_create("x")


def imported(name):
    return lambda places: importlib.import_module(name).__name__


def raised_limit(places):
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def privileged(places):
    os.setuid(12345)


def threads(places):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(1))
    thread.start()
    thread.join()
    return seen


PROBES = {
    "interpreter": interpreter,
    "run folder": read("file"),
    "run folder's names": listing("run"),
    "data folder": read("data"),
    "bundled data": read("bundled"),
    "data generator": imported("harness_plugins.datasets.cinema.dataset"),
    "data generator's source": read("generator"),
    "home": listing("home"),
    "other package's source folder": listing("source"),
    "parent's environment": lambda places: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "parent's memory": memory_of_parent,
    "parent's memory file": lambda places: open(f"/proc/{os.getppid()}/mem", "rb").read(1),
    "parent's files": lambda places: os.listdir(f"/proc/{os.getppid()}/fd"),
    "tracing": traced,
    "own environment": environment,
    "descriptors": descriptors,
    "writing": written,
    "modes": changed,
    "links": lambda places: os.symlink("/", "root"),
    "fork": forked,
    "clone": raw_clone,
    "programs": executed,
    "killing a sibling": killed("victim"),
    "killing the parent": killed("parent", signal.SIGTERM),
    "killing everybody": lambda places: os.kill(-1, signal.SIGKILL),
    "killing the group": lambda places: os.killpg(os.getpgid(places["parent"]), signal.SIGTERM),
    "a file's signals": signalled_by_a_file,
    "parent's priority": lambda places: os.setpriority(os.PRIO_PROCESS, places["parent"], 19),
    "parent's limits": lambda places: resource.prlimit(places["parent"], resource.RLIMIT_NOFILE, (3, 3)),
    "network": connected,
    "local sockets": unix_socket,
    "shared memory": shared_memory,
    "nameless files": nameless_file,
    "limits": raised_limit,
    "users": privileged,
    "threads": threads,
}
