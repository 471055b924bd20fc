"""What a component's call spends and how long it may take."""

from __future__ import annotations

import asyncio

from harness.api import Usage
from harness.llm.metering import add, meter, remaining
from tests.llm.asking import ask, connect, run


def test_a_call_pays_for_the_tasks_that_it_starts_and_for_nobody_elses(serve):
    server = serve(latency=0.02, reply=lambda body: "a b")

    async def call(model, questions: int) -> Usage:
        with meter() as spent:
            await asyncio.gather(*(model.chat(ask(f"{questions} {n}")) for n in range(questions)))
        return spent.total

    async def work():
        model = connect(server)
        return await asyncio.gather(*(call(model, n) for n in (1, 2, 5)))

    assert [(u.calls, u.completion_tokens) for u in run(work())] == [(1, 2), (2, 4), (5, 10)]


def test_meters_inside_of_each_other_and_none_at_all():
    add(Usage(1))
    with meter() as outer:
        add(Usage(1, 10))
        with meter() as inner:
            add(Usage(1, 5))
        add(Usage(1, 1))
    assert (inner.total, outer.total) == (Usage(1, 5), Usage(2, 11))
    assert remaining() == float("inf")
    with meter():
        assert remaining() == float("inf")


def test_the_time_that_is_left_is_less_than_the_limit():
    with meter(seconds=10):
        assert 0 < remaining() < 10
    with meter(seconds=1e-9):
        assert remaining() == 0
