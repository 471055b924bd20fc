"""Does harm, a different one in each dialogue: what it does is named by the number in the greeting."""

import _thread
import ctypes
import os
import signal
import socket
import struct
import threading
import time

import msgspec

from harness import Conversation, Recommendation

from .honest import answer


class Options(msgspec.Struct, frozen=True):
    only: str = ""
    """One of `WRECKS`, "hanging" or "ending" for some of them, or "start" or "never ready"."""


class Wrecker:
    def __init__(self, options: Options) -> None:
        self.only = options.only

    def prepare(self, setup) -> None:
        if self.only == "start":
            os._exit(7)
        if self.only == "never ready":
            time.sleep(60)

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        number = int(conversation.messages[0].text.split()[1])
        if conversation.turn == 2 and number < len(WRECKS):
            name = list(WRECKS)[number]
            if self.only in (name, "hanging" if name in HANGING else "ending"):
                WRECKS[name]()
        return answer(conversation, k)


def allocate():
    kept = []
    while True:
        kept.append(bytearray(1 << 24))


def allocate_natively():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:
        place = libc.malloc(ctypes.c_size_t(1 << 24))
        if not place:
            os.abort()
        ctypes.memset(place, 1, 1 << 24)


def hold_the_interpreter():
    """In C, without ever letting Python run again."""
    ctypes.PyDLL(None).sleep(60)


def pipe():
    """The descriptor whose other end the harness holds."""
    return next(n for n in range(3, 256) if _peer(n) == os.getppid())


def _peer(number):
    try:
        with socket.socket(fileno=os.dup(number)) as link:
            return struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    except OSError:
        return 0


def flood():
    link = pipe()
    while True:
        os.write(link, b"\0" * (1 << 16))


def answer_what_nobody_asked():
    from harness.isolation.messages import Row, frame

    link = socket.socket(fileno=pipe())
    while True:
        link.sendall(frame(Row(1, 0, ("m1",), "Here!")) * 100)


def breed():
    def forever():
        time.sleep(60)

    threading.stack_size(32768)
    while True:
        _thread.start_new_thread(forever, ())


HANGING = ("hangs", "holds the interpreter")
WRECKS = {
    "leaves": lambda: os._exit(3),
    "kills itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfaults": lambda: ctypes.string_at(0),
    "allocates": allocate,
    "allocates natively": allocate_natively,
    "hangs": lambda: time.sleep(60),
    "holds the interpreter": hold_the_interpreter,
    "garbage": lambda: (os.write(pipe(), b"\0\0\0\5hello"), time.sleep(60)),
    "huge": lambda: (os.write(pipe(), b"\x7f\xff\xff\xff"), time.sleep(60)),
    "floods": flood,
    "hangs up": lambda: (socket.socket(fileno=pipe()).shutdown(2), time.sleep(60)),
    "breeds threads": breed,
    "exits": lambda: exit(1),
    "raises": lambda: 1 / 0,
    "answers unasked": answer_what_nobody_asked,
}
