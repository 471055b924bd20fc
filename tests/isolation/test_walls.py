"""Where a wall can't stand: it is said, and strictness refuses."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from harness.isolation import seccomp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")

# Makes this system look older for itself and its children: the calls with these numbers are unknown.
PROGRAM = """
import ctypes, json, sys
from harness.config import Choice, RunConfig
from harness.errors import UsageError
from harness.isolation import limits, seccomp
from harness.isolation.opening import facts, open_isolated
from harness.isolation.settings import Isolation
from harness.registry import Registry

unknown = json.loads(sys.argv[1])
limits.give_up_rights()
steps = [(0x20, 0, 0, 0)]
for number in unknown:
    steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]
seccomp.install([*steps, (0x06, 0, 0, 0x7FFF0000)])
def opened(strict):
    return open_isolated(Registry(), RunConfig(recommender=Choice("random"), simulator=None, turns=1, dataset=Choice("cinema"),
                                               isolation=Isolation(strict=strict)))[1]
answer = {"facts": facts(opened(False))}
try:
    opened(True)
except UsageError as error:
    answer["refused"] = str(error)
print(json.dumps(answer))
"""


def older(*unknown: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(unknown)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return json.loads(done.stdout)


def test_a_kernel_without_landlock_is_told_and_strictness_refuses() -> None:
    answer = older(444, 445, 446)
    assert list(answer["facts"]["missing"]) == ["files"]
    assert "there is no Landlock" in answer["facts"]["missing"]["files"]
    assert set(answer["facts"]["walls"]) == {"calls", "memory", "rights", "end"}
    assert "files: there is no Landlock" in answer["refused"]


def test_a_kernel_with_everything_is_told_too() -> None:
    answer = older()
    assert answer["facts"]["missing"] == {}
    assert "refused" not in answer


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
@pytest.mark.parametrize("network", [False, True])
def test_every_jump_of_the_filter_stays_inside_of_it(machine: str, network: bool) -> None:
    """The kernel refuses another one; of the machine that this isn't, nobody else would tell."""
    filter_ = seccomp.program(4321, machine, network=network)
    assert len(filter_) < 4096
    returns = 0
    for place, (code, yes, no, _) in enumerate(filter_):
        assert place + 1 + max(yes, no) < len(filter_) or code == 0x06
        returns += code == 0x06
    assert filter_[-1] == (0x06, 0, 0, 0x7FFF0000)
    assert returns > 50


def run_filter(filter_: list[seccomp.Instruction], machine: str, number: int, *arguments: int) -> int:
    """What the filter returns for a system call, by an interpreter of its few instructions."""
    place, value = 0, 0
    data = {0: number, 4: seccomp.ARCHITECTURES[machine][1], **{16 + 8 * n: a & 0xFFFFFFFF for n, a in enumerate(arguments)}}
    while True:
        code, yes, no, operand = filter_[place]
        place += 1
        if code == 0x20:
            value = data.get(operand, 0)
        elif code == 0x15:
            place += yes if value == operand else no
        elif code == 0x35:
            place += yes if value >= operand else no
        elif code == 0x54:
            value &= operand
        elif code == 0x06:
            return operand
        else:
            raise AssertionError(code)


ALLOW, EPERM, ENOMEM, ENOSYS = 0x7FFF0000, 0x50001, 0x5000C, 0x50026
X86 = [
    (0, (), ALLOW),  # read
    (57, (), EPERM),  # fork
    (59, (), EPERM),  # execve
    (56, (0x3D0F00,), ALLOW),  # clone of a thread
    (56, (17,), EPERM),  # clone as fork does it
    (435, (), ENOSYS),  # clone3
    (62, (4321,), ALLOW),  # kill: itself
    (62, (4322,), EPERM),
    (62, (-1,), EPERM),
    (62, (0,), EPERM),
    (41, (1,), EPERM),  # socket, of this machine
    (41, (2,), EPERM),  # socket, of the Internet
    (9, (0, 4096, 3, 0x22), ALLOW),  # mmap, private
    (9, (0, 4096, 3, 0x21), ENOMEM),  # mmap, shared and of no file
    (9, (0, 4096, 3, 0x122), ENOMEM),  # mmap, growing down
    (9, (0, 4096, 1, 0x01), ALLOW),  # mmap, shared, of a file
    (302, (0,), ALLOW),  # prlimit of itself
    (302, (1,), EPERM),
    (72, (3, 4), ALLOW),  # fcntl F_SETFL
    (72, (3, 8), EPERM),  # fcntl F_SETOWN
    (0x40000000 | 57, (), ENOSYS),  # fork by the other numbers of the processor
    (999, (), ENOSYS),
]


@pytest.mark.parametrize(("number", "arguments", "expected"), X86)
def test_what_the_filter_says(number: int, arguments: tuple[int, ...], expected: int) -> None:
    assert run_filter(seccomp.program(4321, "x86_64", network=False), "x86_64", number, *arguments) == expected


def test_the_network_is_opened_and_local_sockets_stay_closed() -> None:
    filter_ = seccomp.program(4321, "aarch64", network=True)
    assert [run_filter(filter_, "aarch64", 198, family) for family in (1, 2, 10, 16)] == [EPERM, ALLOW, ALLOW, EPERM]
    other = seccomp.program(1, "x86_64", network=True)
    assert run_filter(other, "aarch64", 0) == 0x80000000, "another architecture's calls end the process"


def test_this_system_has_what_the_tests_above_are_about() -> None:
    if platform.machine() in seccomp.ARCHITECTURES:
        assert seccomp.available() == ""
