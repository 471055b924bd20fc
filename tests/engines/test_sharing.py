"""The desk's purse: what several workers hold together never passes the limit, and a lost worker's calls count in full."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import msgspec
import pytest

from harness.config import Asking, Choice, RunConfig
from harness.engines.messages import Sharing
from harness.engines.sharing import Desk, SharedBudget, config_for_worker
from harness.errors import BudgetExceeded


class Method:
    """A method of an actor, called in the running loop instead of another process."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def remote(self, *arguments: Any) -> Reference:
        return Reference(self._function(*arguments))


class Reference:
    def __init__(self, work: Any) -> None:
        self._outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        asyncio.ensure_future(work).add_done_callback(self._done)

    def _done(self, task: Any) -> None:
        if not self._outcome.cancelled():
            self._outcome.set_result(task.result())

    def future(self) -> concurrent.futures.Future[Any]:
        return self._outcome


class Near:
    """A desk as workers see it."""

    def __init__(self, **limits: Any) -> None:
        self.sharing = Sharing(**limits)
        self.desk = Desk(msgspec.msgpack.encode(self.sharing))

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self.desk, name))

    def worker(self, name: str) -> SharedBudget:
        return SharedBudget(self, name, self.sharing)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_workers_spend_from_one_purse() -> None:
    async def spend() -> None:
        near = Near(max_tokens=100, spent_tokens=10)
        one, two = near.worker("worker-1"), near.worker("worker-2")
        async with one.hold(50, 0.0) as bill:
            bill.tokens = 20
        async with two.hold(70, 0.0) as bill:  # 10 + 20 + 70: it just fits
            bill.tokens = 65
        await settled()
        with pytest.raises(BudgetExceeded, match="--max-tokens 100: 95 tokens are spent"):
            async with one.hold(6, 0.0):
                raise AssertionError("it must not be granted")
        assert await near.desk.spent() == (95, 0.0)

    asyncio.run(spend())


def test_a_call_waits_while_another_workers_holds_what_it_needs() -> None:
    async def spend() -> None:
        near = Near(max_cost=1.0)
        one, two = near.worker("worker-1"), near.worker("worker-2")
        order: list[str] = []

        async def second() -> None:
            async with two.hold(0, 0.8):
                order.append("second")

        async with one.hold(0, 0.8) as bill:
            waiting = asyncio.ensure_future(second())
            await settled()
            order.append("first")
            bill.cost = 0.1
        await asyncio.wait_for(waiting, 5)
        assert order == ["first", "second"]

    asyncio.run(spend())


def test_a_lost_worker_is_charged_what_its_calls_may_have_cost() -> None:
    async def spend() -> None:
        near = Near(max_tokens=100)
        lost = near.worker("worker-1").hold(60, 0.0)
        await lost.__aenter__()
        near.worker("worker-1")
        await near.desk.forget("worker-1")
        assert await near.desk.spent() == (60, 0.0)
        with pytest.raises(BudgetExceeded):
            async with near.worker("worker-2").hold(41, 0.0):
                pass
        async with near.worker("worker-2").hold(40, 0.0):
            pass

    asyncio.run(spend())


def test_who_gives_up_waiting_holds_nothing() -> None:
    async def spend() -> None:
        near = Near(max_tokens=100)

        async def wait() -> None:
            async with near.worker("worker-2").hold(90, 0.0):
                raise AssertionError("cancelled before it was granted")

        async with near.worker("worker-1").hold(50, 0.0):
            waiting = asyncio.ensure_future(wait())
            await settled()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await settled()
        await settled()
        async with near.worker("worker-3").hold(100, 0.0):
            pass

    asyncio.run(spend())


def test_requests_per_minute_are_split_and_judges_stay_with_the_driver() -> None:
    config = RunConfig(
        recommender=Choice("r"), simulator=None, dataset=Choice("d"), turns=1, judge_llm=Choice("openai:judge"),
        asking=Asking(rpm=60, max_tokens=5, cache="read", prices="prices.toml"),
    )  # fmt: skip
    mine = config_for_worker(config, 4)
    assert mine.asking == Asking(rpm=15)
    assert mine.judge_llm is None
    assert config_for_worker(msgspec.structs.replace(config, asking=Asking()), 4).asking == Asking()
