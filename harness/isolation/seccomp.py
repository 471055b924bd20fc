"""System calls that a process gives up for good (Linux, seccomp-BPF). Standard library only."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

ARCHITECTURES: Final = MappingProxyType({"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)})
"""Machine -> (column of the numbers below, audit architecture)."""
LAST: Final = 451
"""Calls with a higher number didn't exist when this list was made: they are answered as if the kernel were older."""

# The kernel's numbers (x86_64, aarch64) of what is refused whatever the arguments; None where there is no such call.
_REFUSED: Final = {
    # new processes, other programs, other namespaces
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97),
    "setns": (308, 268),
    # other processes: signals, memory, priorities
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "migrate_pages": (256, 238), "move_pages": (279, 239), "setpgid": (109, 154),
    "setsid": (112, 157),
    # memory that no limit counts, and that other processes can share
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "userfaultfd": (323, 282),
    # files by other ways than opening them; owners, modes and times, which Landlock leaves alone
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "mknod": (133, None),
    "mknodat": (259, 33), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "fanotify_init": (300, 262),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "swapon": (167, 224), "swapoff": (168, 225), "sync": (162, 81), "syncfs": (306, 267),
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "syslog": (103, 116), "iopl": (172, None), "ioperm": (173, None), "vhangup": (153, 58), "personality": (135, 92),
}  # fmt: skip
_LOOKED_AT: Final = {
    "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129), "tgkill": (234, 131), "socket": (41, 198), "mmap": (9, 222),
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "fcntl": (72, 25), "ioctl": (16, 29),
}  # fmt: skip

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CLONE_THREAD = 0x10000
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_GROWSDOWN = 0x01, 0x20, 0x100
_OWNERS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: files that send signals
_IOCTL_OWNERS = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
_INTERNET = (2, 10)
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]


def available() -> str:
    """Why system calls can't be refused here; empty where they can."""
    if sys.platform != "linux":
        return f"{sys.platform} has no seccomp"
    if platform.machine() not in ARCHITECTURES:
        return f"the list of system calls is not written for {platform.machine()}"
    library = ctypes.CDLL(None, use_errno=True)
    # A null filter: EFAULT says that filters are known, EINVAL that they are not.
    library.prctl(_PR_SET_SECCOMP, _MODE_FILTER, None, 0, 0)
    return "" if ctypes.get_errno() == errno.EFAULT else "the kernel has no seccomp filters"


def refuse(*, network: bool) -> None:
    """Give up what an isolated process doesn't get; its threads to come inherit it. Needs no_new_privs. Raises OSError."""
    install(program(os.getpid(), platform.machine(), network=network))


def install(filter_: Iterable[Instruction]) -> None:
    """Put a filter into force in this process, for good. Raises OSError."""
    code = b"".join(struct.pack("HBBI", *each) for each in filter_)
    buffer = ctypes.create_string_buffer(code, len(code))
    where = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(where, len(where)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


def program(own: int, machine: str, *, network: bool) -> list[Instruction]:
    """The filter of a process with that id, as (code, jump if true, jump if false, operand)."""
    column, architecture = ARCHITECTURES[machine]

    def numbers(names: Iterable[str]) -> list[int]:
        return [n for n in (_REFUSED[name][column] for name in names) if n is not None]

    def call(name: str) -> int:
        number = _LOOKED_AT[name][column]
        return number

    filter_: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, LAST + 1),  # the numbers of x86's 32-bit kin are among them
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in numbers(_REFUSED):
        filter_ += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    looked: dict[str, list[Instruction]] = {
        "clone": [_argument(0), (_AND, 0, 0, _CLONE_THREAD), *_unless((_CLONE_THREAD,))],
        "clone3": [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)],  # its flags lie in memory; the C library takes clone instead
        "kill": [_argument(0), *_unless((own,))],
        "tgkill": [_argument(0), *_unless((own,))],
        "socket": [_argument(0), *_unless(_INTERNET if network else ())],
        "mmap": [
            _argument(3), (_AND, 0, 0, _MAP_GROWSDOWN), *_if((_MAP_GROWSDOWN,), errno.ENOMEM, last=False),
            _argument(3), (_AND, 0, 0, _MAP_SHARED | _MAP_ANONYMOUS), *_if((_MAP_SHARED | _MAP_ANONYMOUS,), errno.ENOMEM),
        ],
        "prlimit64": [_argument(0), *_unless((0, own))],
        "sched_setaffinity": [_argument(0), *_unless((0, own))],
        "fcntl": [_argument(1), *_if(_OWNERS, errno.EPERM)],
        "ioctl": [_argument(1), *_if(_IOCTL_OWNERS, errno.EPERM)],
    }  # fmt: skip
    for name, steps in looked.items():
        filter_ += [(_EQUAL, 0, len(steps), call(name)), *steps]
    return [*filter_, (_RETURN, 0, 0, _ALLOW)]


def _argument(position: int) -> Instruction:
    """The lower half of an argument: what is looked at is an int, or flags below 2**32 (both machines are little-endian)."""
    return (_LOAD, 0, 0, 16 + 8 * position)


def _unless(values: Iterable[int]) -> list[Instruction]:
    """Allowed for those values, refused for all others."""
    tests: list[Instruction] = []
    for value in values:
        tests += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*tests, (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _if(values: Iterable[int], error: int, *, last: bool = True) -> list[Instruction]:
    """Refused for those values, allowed for all others (`last`) or looked at further."""
    tests: list[Instruction] = []
    for value in values:
        tests += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ERRNO | error)]
    return [*tests, (_RETURN, 0, 0, _ALLOW)] if last else tests
