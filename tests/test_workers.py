"""Where component code runs: time limits, threads that grow on need, loops that are blocked, and no call that is lost."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support import spin

from harness.workerloop import LoopHost
from harness.workers import CallTimeout, ThreadHost

LIMIT = 0.3


@contextmanager
def threads(limit: int = 8, timeout: float = LIMIT) -> Iterator[ThreadHost]:
    host = ThreadHost("test", limit=limit, timeout=timeout)
    try:
        yield host
    finally:
        host.close()


@contextmanager
def loop(timeout: float = LIMIT) -> Iterator[LoopHost]:
    host = LoopHost("test", timeout=timeout)
    try:
        yield host
    finally:
        host.close()


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main(), 30)

    return asyncio.run(bounded())


async def settled(*futures: asyncio.Future[Any]) -> list[Any]:
    return await asyncio.gather(*futures, return_exceptions=True)


class Gauge:
    """How many are inside at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, seconds: float) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self.lock:
            self.now -= 1


# ----------------------------------------------------------------------------------------------------------------- threads


def test_results_and_exceptions_come_back_to_their_callers() -> None:
    def odd(n: int) -> int:
        if n % 2:
            raise ValueError(n)
        return n

    async def main() -> list[Any]:
        with threads() as host:
            return await settled(*(host.submit(odd, n) for n in range(50)))

    for n, outcome in enumerate(run(main)):
        assert (outcome == n) if n % 2 == 0 else (isinstance(outcome, ValueError) and outcome.args == (n,))


@pytest.mark.parametrize(
    "raised", [SystemExit(3), StopIteration(4), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_an_exit_in_a_component_stays_in_the_component(raised: BaseException) -> None:
    def leave() -> None:
        raise raised

    async def leave_async() -> None:
        raise raised

    async def main() -> list[Any]:
        with threads() as host, loop() as looped:
            return await settled(host.submit(leave), host.submit(lambda: "fine"), looped.submit(leave_async))

    one, two, three = run(main)
    assert (type(one), two) == (RuntimeError, "fine")
    assert type(raised).__name__ in str(one)
    assert isinstance(three, RuntimeError)


def test_cheap_calls_share_a_thread_and_blocking_ones_get_their_own() -> None:
    async def main() -> tuple[int, int, int]:
        gauge = Gauge()
        with threads(limit=8, timeout=10) as host:
            await settled(*(host.submit(abs, -1) for _ in range(100)))
            cheap = len(host._threads)
            await settled(*(host.submit(gauge, 0.3) for _ in range(8)))
            return cheap, gauge.most, len(host._threads)

    cheap, most, grown = run(main)
    assert cheap < 8
    assert (most, grown) == (8, 8)


def test_an_idle_thread_does_not_hide_that_a_second_call_waits() -> None:
    """Two calls come at one moment while one thread is idle: each needs a thread, or the second waits for the first."""

    async def main() -> int:
        gauge = Gauge()
        with threads(limit=2, timeout=10) as host:
            await host.submit(abs, -1)
            await settled(host.submit(gauge, 0.15), host.submit(gauge, 0.15))
        return gauge.most

    assert run(main) == 2


def test_a_limit_of_one_is_one_at_a_time() -> None:
    async def main() -> int:
        gauge = Gauge()
        with threads(limit=1, timeout=10) as host:
            await settled(*(host.submit(gauge, 0.02) for _ in range(6)))
        return gauge.most

    assert run(main) == 1


@pytest.mark.parametrize("hang", [spin, lambda: time.sleep(3)], ids=["a Python loop", "time.sleep"])
@pytest.mark.parametrize("limit", [1, 4])
def test_a_call_that_hangs_is_given_up_and_the_others_go_on(hang: Callable[[], None], limit: int) -> None:
    async def main() -> list[Any]:
        with threads(limit) as host:
            return await settled(host.submit(hang), *(host.submit(abs, -n) for n in range(5)))

    hung, *others = run(main)
    assert isinstance(hung, CallTimeout)
    assert str(hung) == "no answer within 0.3 s"
    assert others == list(range(5))


def test_calls_that_only_queue_are_not_timed_out() -> None:
    async def main() -> list[Any]:
        with threads(limit=1) as host:
            return await settled(*(host.submit(lambda n=n: (time.sleep(0.08), n)[1]) for n in range(6)))

    assert run(main) == list(range(6))


def test_all_threads_may_hang_and_queued_calls_still_run() -> None:
    async def main() -> list[Any]:
        with threads(limit=3) as host:
            return await settled(*(host.submit(time.sleep, 3) for _ in range(3)), *(host.submit(abs, -n) for n in range(9)))

    outcomes = run(main)
    assert all(isinstance(outcome, CallTimeout) for outcome in outcomes[:3])
    assert outcomes[3:] == list(range(9))


def test_an_interrupted_python_loop_gives_its_thread_back() -> None:
    async def main() -> None:
        with threads() as host:
            await settled(host.submit(spin))

    before = threading.active_count()
    run(main)
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_an_interrupt_that_comes_too_late_hits_nobody() -> None:
    """A call ends just as its time is up: the thread has taken the next call meanwhile, which must not be interrupted."""

    async def main() -> tuple[bool, Any]:
        with threads(limit=1, timeout=20) as host:
            ended = host.submit(abs, -1)
            (job,) = host._running
            await ended
            innocent = host.submit(spin, 0.1)
            await asyncio.sleep(0.03)
            given_up = job.worker.abandon(job)
            return given_up, await innocent

    assert run(main) == (False, None)


# ------------------------------------------------------------------------------------------------------------- async calls


async def quick(n: int) -> int:
    await asyncio.sleep(0.01)
    return n


async def never() -> None:
    await asyncio.Event().wait()


async def deaf() -> None:
    """Swallows its cancellation."""
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            continue


async def block() -> None:
    spin()


async def sleep_through() -> None:
    time.sleep(60)  # longer than any test waits


async def block_in_a_task() -> None:
    await asyncio.gather(asyncio.create_task(block()), never())


async def block_after_a_step() -> None:
    await asyncio.sleep(0)
    spin()


@pytest.mark.parametrize("hang", [never, deaf, block, block_after_a_step, block_in_a_task, sleep_through])
def test_an_async_call_that_hangs_or_blocks_is_given_up_alone(hang: Callable[[], Awaitable[None]]) -> None:
    async def main() -> list[Any]:
        with loop() as host:
            futures = [host.submit(quick, n) for n in range(4)]
            futures.append(host.submit(hang))
            futures += [host.submit(quick, n) for n in range(4, 8)]
            return await settled(*futures, *[host.submit(quick, n) for n in range(8, 10)])

    outcomes = run(main)
    assert isinstance(outcomes.pop(4), CallTimeout)
    assert outcomes == list(range(10))


def test_one_that_blocks_the_loop_does_not_use_up_its_neighbours_time() -> None:
    """The neighbour's time is over while another call blocks the loop, which has time left: neither is at fault."""
    release = threading.Event()

    async def neighbour() -> str:
        await asyncio.sleep(0.45)
        return "fine"

    async def blocker() -> str:
        while not release.is_set():
            pass
        return "at last"

    async def main() -> list[Any]:
        with loop(timeout=0.5) as host:
            first = host.submit(neighbour)
            await asyncio.sleep(0.35)
            asyncio.get_running_loop().call_later(0.3, release.set)
            return await settled(first, host.submit(blocker))

    assert run(main) == ["fine", "at last"]


def test_blocking_again_and_again_ends_only_the_guilty() -> None:
    async def main() -> list[Any]:
        with loop() as host:
            return await settled(
                *(host.submit(block if n in (2, 5) else quick, *(() if n in (2, 5) else (n,))) for n in range(8))
            )

    outcomes = run(main)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, CallTimeout)] == [2, 5]
    assert [outcome for n, outcome in enumerate(outcomes) if n not in (2, 5)] == [0, 1, 3, 4, 6, 7]


def test_a_loop_that_was_given_up_ends_whatever_else_blocks_it() -> None:
    """Its other calls are made again elsewhere: what they still do in the old loop is for nobody."""

    async def main() -> list[Any]:
        with loop() as host:
            return await settled(*(host.submit(block) for _ in range(3)), host.submit(quick, 1))

    before = threading.active_count()
    *blocked, fine = run(main)
    assert all(isinstance(outcome, CallTimeout) for outcome in blocked)
    assert fine == 1
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_loop_that_is_stuck_in_c_code_is_replaced_and_its_calls_are_made_again() -> None:
    calls: list[int] = []

    async def counted(n: int) -> int:
        calls.append(n)
        await asyncio.sleep(0.05)
        return n

    async def main() -> list[Any]:
        with loop() as host:
            return await settled(host.submit(counted, 1), host.submit(sleep_through), host.submit(counted, 2))

    one, stuck, two = run(main)
    assert (one, two) == (1, 2)
    assert isinstance(stuck, CallTimeout)
    assert set(calls) == {1, 2}


def test_a_neighbour_that_an_interrupt_hits_is_called_again() -> None:
    calls = []

    async def innocent() -> str:
        calls.append(1)
        spin(0.2)
        return "done"

    async def main() -> Any:
        with loop(timeout=20) as host:
            future = host.submit(innocent)
            await asyncio.sleep(0.05)
            host._lane.interrupt(None)
            return await future

    assert run(main) == "done"
    assert len(calls) == 2


def test_async_calls_run_concurrently() -> None:
    inside = most = 0

    async def counted() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.05)
        inside -= 1

    async def main() -> None:
        with loop(timeout=20) as host:
            await settled(*(host.submit(counted) for _ in range(30)))

    run(main)
    assert most == 30


def test_a_call_that_nobody_waits_for_any_more_is_cancelled() -> None:
    ended = threading.Event()

    async def watched() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def main() -> bool:
        with loop(timeout=20) as host:
            future = host.submit(watched)
            await asyncio.sleep(0.05)
            future.cancel()
            return await asyncio.to_thread(ended.wait, 5)

    assert run(main)


def test_closing_with_calls_under_way_ends_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> threading.Thread:
        with loop(timeout=20) as host:
            for function in (never, deaf, never):
                host.submit(function)
            await asyncio.sleep(0.05)
            return host._lane._thread

    thread = run(main)
    thread.join(5)
    assert not thread.is_alive()
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------------------------------------------------------ stress


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_no_wake_up_is_lost(kind: str) -> None:
    """5,000 calls that come and end at random moments; every one of them comes back, and nothing waits for a timer."""
    draw = random.Random(0)
    pauses = [draw.choice((0, 0, 0, 0.0002, 0.001)) for _ in range(5000)]

    def plain(n: int) -> int:
        if pauses[n]:
            time.sleep(pauses[n])
        return n

    async def coroutine(n: int) -> int:
        if pauses[n]:
            await asyncio.sleep(pauses[n])
        return n

    async def main() -> list[Any]:
        with threads(8, timeout=60) as thread_host, loop(timeout=60) as loop_host:
            host, function = (thread_host, plain) if kind == "threads" else (loop_host, coroutine)
            numbers = iter(range(5000))
            back: list[int] = []

            async def worker() -> None:
                for n in numbers:
                    back.append(await host.submit(function, n))
                    if pauses[-n - 1] == 0.001:
                        await asyncio.sleep(0.0003)

            await asyncio.gather(*(worker() for _ in range(32)))
            return back

    assert sorted(run(main)) == list(range(5000))
