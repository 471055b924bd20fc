"""Requests per minute, and concurrency that adapts to 429."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from benchmarks.llm_server import Fault
from harness.llm.layers import Layers
from harness.llm.limits import Gate, TooManyRequests
from harness.llm.loops import PerLoop
from tests.llm.asking import ask, connect, quick, run


def test_requests_keep_their_distance():
    """1,200 a minute, all at once: the n-th starts no earlier than n times 50 ms after the first."""
    times: list[float] = []

    async def one(gate: Gate) -> None:
        async with gate.passage():
            times.append(time.monotonic())

    async def work():
        gate = Gate(8, per_minute=1_200)
        await asyncio.gather(*(one(gate) for _ in range(12)))

    began = time.monotonic()
    run(work())
    assert all(moment - began >= 0.05 * number for number, moment in enumerate(sorted(times)))


def test_a_429_halves_what_may_be_in_flight_once_per_volley():
    async def work():
        gate = Gate(16)
        failing = [asyncio.ensure_future(through(gate, TooManyRequests("429"))) for _ in range(16)]
        await asyncio.gather(*failing)
        assert gate.limit == 8
        await through(gate, TooManyRequests("429"))
        assert gate.limit == 1  # alone in flight, and still too many
        for _ in range(3):
            await through(gate)
        assert gate.limit == 1.75
        for _ in range(200):
            await through(gate)
        assert gate.limit == 16
        await through(gate, ValueError("no matter of load"))
        assert gate.limit == 16

    run(work())


def test_never_more_than_the_limit_of_the_moment():
    """Volleys with and without 429: what is in flight never exceeds the concurrency."""

    async def work():
        gate = Gate(10)
        inside = 0

        async def one(number: int) -> None:
            nonlocal inside
            try:
                async with gate.passage():
                    inside += 1
                    assert inside <= 10
                    await asyncio.sleep(0.001 * (number % 3))
                    inside -= 1
                    if number % 13 == 0:
                        raise TooManyRequests("429")
            except TooManyRequests:
                pass

        await asyncio.gather(*map(one, range(60)))
        assert inside == 0
        assert gate.limit <= 10

    run(work())


def test_cancelled_callers_give_their_place_back():
    async def work():
        gate = Gate(2)
        tasks = [asyncio.ensure_future(through(gate, pause=0.02)) for _ in range(20)]
        await asyncio.sleep(0.005)
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(through(gate, pause=0.01), through(gate, pause=0.01))
        both = [asyncio.ensure_future(through(gate, pause=0.05)) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in both)
        await asyncio.gather(*both)

    run(work())


def test_after_a_429_with_a_time_nobody_asks_before_it(serve):
    times: list[tuple[float, int]] = []

    def faults(number, body):
        times.append((time.monotonic(), number))
        return Fault("status", 429, retry_after="0.5") if number == 1 else None

    server = serve(faults=faults)

    async def work():
        model = connect(server)
        first = asyncio.ensure_future(model.chat(ask("first")))
        while not times:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await asyncio.gather(first, *(model.chat(ask(str(n))) for n in range(3)))

    run(work())
    assert all(moment - times[0][0] >= 0.45 for moment, _ in times[1:])


def test_without_a_time_the_pause_doubles_until_an_answer_comes():
    """Four failures in a row, one at a time, are at least 0.25, 0.5 and 1 s apart; after an answer the pause is short again."""

    async def work():
        gate = Gate(4)
        moments = []
        for _ in range(4):
            await through(gate, TooManyRequests("429"))
            moments.append(time.monotonic())
        await through(gate)
        answered = time.monotonic()
        await through(gate, TooManyRequests("429"))
        await through(gate)
        return moments, answered, time.monotonic()

    moments, answered, end = run(work())
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(gap >= least for gap, least in zip(gaps, (0.25, 0.5, 1.0), strict=True))
    assert answered - moments[-1] >= 2.0 > end - answered


def test_a_server_that_takes_four_at_a_time_is_served_in_the_end(serve):
    """429 whenever more than four are in flight: everything is answered, and the gate settles near what the server takes."""
    server = serve(latency=0.01)
    server.faults = lambda number, body: Fault("status", 429) if server.stats.in_flight > 4 else None

    async def work():
        layers = Layers(quick(concurrency=32))
        model = connect(server, layers)
        answers = await asyncio.gather(*(model.chat(ask(str(n))) for n in range(150)))
        return answers, layers.gate(server.url).limit

    answers, limit = run(work())
    assert len(answers) == 150
    assert limit < 16


def test_a_value_per_loop():
    values = PerLoop(object)

    async def twice():
        return values.get(), values.get()

    first, again = run(twice())
    other, _ = run(twice())
    assert first is again
    assert other is not first


async def through(gate: Gate, error: Exception | None = None, pause: float = 0.0) -> None:
    with pytest.raises(type(error)) if error is not None else _nothing():
        async with gate.passage():
            await asyncio.sleep(pause)
            if error is not None:
                raise error


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...
