"""Concurrent single calls become batches when every dialogue waits or the maximum is reached, and one bad row fails alone."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.batching import Batcher, Flow, is_async
from harness.errors import BudgetExceeded, TransportError


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main(), 20)

    return asyncio.run(bounded())


class Desk:
    """A batched component: answers each number with its double; keeps every batch."""

    def __init__(self, answer: Callable[[list[int]], Any] = lambda batch: [2 * n for n in batch], pause: float = 0.0) -> None:
        self.answer, self.pause = answer, pause
        self.batches: list[list[int]] = []
        self.inside = self.most = 0

    async def send(self, batch: list[int]) -> Any:
        self.batches.append(batch)
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(self.pause)
        self.inside -= 1
        return self.answer(batch)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


async def dialogues(flow: Flow, *scripts: Callable[[], Awaitable[Any]]) -> list[Any]:
    async def one(script: Callable[[], Awaitable[Any]]) -> Any:
        with flow:
            return await script()

    return await asyncio.gather(*(one(script) for script in scripts), return_exceptions=True)


def asking(flow: Flow, batcher: Batcher, *numbers: int) -> Callable[[], Awaitable[list[int]]]:
    async def script() -> list[int]:
        return [await flow.wait(batcher.call(n)) for n in numbers]

    return script


# ------------------------------------------------------------------------------------------------------ when it is sent


def test_a_batch_is_sent_when_every_dialogue_waits() -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk()
        batcher = Batcher(flow, desk.send, maximum=64)
        outcomes = await dialogues(flow, *(asking(flow, batcher, n, n + 100) for n in range(8)))
        assert outcomes == [[2 * n, 2 * n + 200] for n in range(8)]
        assert desk.sizes == [8, 8]

    run(main)


def test_a_batch_is_sent_when_the_maximum_is_reached_though_others_are_busy() -> None:
    async def main() -> None:
        flow, desk, free = Flow(), Desk(), asyncio.Event()
        batcher = Batcher(flow, desk.send, maximum=3)

        async def busy() -> None:
            await free.wait()  # it computes: nobody knows for how long

        asked = [asking(flow, batcher, n) for n in range(4)]
        playing = asyncio.ensure_future(dialogues(flow, busy, *asked))
        await asyncio.sleep(0.02)
        assert desk.sizes == [3]
        free.set()
        assert (await playing)[1:] == [[0], [2], [4], [6]]
        assert desk.sizes == [3, 1]

    run(main)


def test_no_batch_is_larger_than_the_maximum() -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk(pause=0.001)
        batcher = Batcher(flow, desk.send, maximum=5)
        await dialogues(flow, *(asking(flow, batcher, *range(4)) for _ in range(23)))
        assert max(desk.sizes) == 5
        assert sum(desk.sizes) == 23 * 4
        assert desk.most == 1

    run(main)


def test_waiting_for_something_else_counts_as_waiting() -> None:
    """Two dialogues wait for a slow server: the third's call isn't held back for them."""

    async def main() -> None:
        flow, desk, server = Flow(), Desk(), asyncio.Event()
        batcher = Batcher(flow, desk.send, maximum=64)

        async def at_the_server() -> None:
            await flow.wait(server.wait())

        async def third() -> int:
            result = await flow.wait(batcher.call(7))
            server.set()
            return result

        assert (await dialogues(flow, at_the_server, at_the_server, third))[2] == 14

    run(main)


def test_a_dialogue_that_ends_lets_the_others_go_on() -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk()
        batcher = Batcher(flow, desk.send, maximum=64)

        async def computes_and_ends() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        outcomes = await dialogues(flow, asking(flow, batcher, 1), asking(flow, batcher, 2), computes_and_ends)
        assert outcomes[:2] == [[2], [4]]
        assert desk.sizes == [2]

    run(main)


def test_calls_that_come_while_a_batch_is_under_way_make_up_the_next() -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk(pause=0.02)
        batcher = Batcher(flow, desk.send, maximum=64)
        with flow:
            first = batcher.call(0)
            waiting = asyncio.ensure_future(flow.wait(first))
            await asyncio.sleep(0.005)
            later = [batcher.call(n) for n in range(1, 5)]
            assert desk.sizes == [1]
            await waiting
            await flow.wait(asyncio.gather(*later))
        assert desk.sizes == [1, 4]

    run(main)


def test_two_batchers_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        flow = Flow()
        desks = [Desk(pause=0.001), Desk(pause=0.003)]
        batchers = [Batcher(flow, desk.send, maximum=64) for desk in desks]

        async def turn_by_turn() -> list[int]:
            return [await flow.wait(batchers[n % 2].call(n)) for n in range(6)]

        assert await dialogues(flow, *[turn_by_turn] * 9) == [[0, 2, 4, 6, 8, 10]] * 9
        assert sum(desks[0].sizes) == sum(desks[1].sizes) == 27
        assert max(desks[0].sizes) > 1

    run(main)


def test_a_cancelled_call_is_not_sent_and_holds_nobody_up() -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk()
        batcher = Batcher(flow, desk.send, maximum=64)
        with flow, flow:
            given_up = batcher.call(1)
            given_up.cancel()
            waiting = asyncio.ensure_future(flow.wait(asyncio.sleep(0.2)))
            assert await flow.wait(batcher.call(2)) == 4
            waiting.cancel()
        assert desk.batches == [[2]]

    run(main)


# ------------------------------------------------------------------------------------------------------------- failures


def failing_on(bad: int, wrong: Any) -> Callable[[list[int]], Any]:
    def answer(batch: list[int]) -> Any:
        if bad in batch:
            if isinstance(wrong, Exception):
                raise wrong
            return wrong(batch)
        return [2 * n for n in batch]

    return answer


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (RuntimeError("row 3"), "row 3"),
        (lambda batch: [0] * (len(batch) - 1), "a batch of 1 returned 0 results"),
        (lambda batch: [0] * (len(batch) + 1), "a batch of 1 returned 2 results"),
        (lambda batch: None, "a batch of 1 returned NoneType"),
        (lambda batch: (n for n in batch), "a batch of 1 returned generator"),
        (lambda batch: dict.fromkeys(batch), "a batch of 1 returned dict"),
    ],
)
@pytest.mark.parametrize("maximum", [1, 2, 64])
def test_only_the_culprit_of_a_failed_batch_fails_and_its_words_are_the_same_in_any_company(
    wrong: Any, message: str, maximum: int
) -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk(failing_on(3, wrong))
        batcher = Batcher(flow, desk.send, maximum=maximum)
        outcomes = await dialogues(flow, *(asking(flow, batcher, n) for n in range(6)))
        assert str(outcomes[3]) == message
        assert [o for n, o in enumerate(outcomes) if n != 3] == [[2 * n] for n in range(6) if n != 3]

    run(main)


@pytest.mark.parametrize("error", [TransportError("429", retry_after=1.0), BudgetExceeded("spent")])
def test_a_refusing_server_is_not_asked_again_row_by_row(error: Exception) -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk(failing_on(3, error))
        batcher = Batcher(flow, desk.send, maximum=64)
        outcomes = await dialogues(flow, *(asking(flow, batcher, n) for n in range(6)))
        assert outcomes == [error] * 6
        assert desk.sizes == [6]

    run(main)


def test_after_a_failed_batch_the_next_one_goes_out() -> None:
    async def main() -> None:
        flow, desk = Flow(), Desk(failing_on(3, RuntimeError("no")))
        batcher = Batcher(flow, desk.send, maximum=64)

        async def tries_again(n: int) -> list[int]:
            try:
                await flow.wait(batcher.call(n))
            except RuntimeError:
                n += 10
            return [await flow.wait(batcher.call(n))]

        outcomes = await dialogues(flow, *(functools.partial(tries_again, n) for n in range(6)))
        assert outcomes == [[0], [2], [4], [26], [8], [10]]
        assert desk.sizes[-1] == 6

    run(main)


# ---------------------------------------------------------------------------------------------------------------- forms


def test_coroutine_functions_are_known_in_every_form() -> None:
    class Forms:
        async def method(self) -> None: ...

        @classmethod
        async def of_class(cls) -> None: ...

        @staticmethod
        async def static() -> None: ...

        def plain(self) -> None: ...

    class Callable_:
        async def __call__(self) -> None: ...

    forms = Forms()
    assert all(map(is_async, (forms.method, forms.of_class, forms.static, functools.partial(forms.method), Callable_())))
    assert not any(map(is_async, (forms.plain, len, functools.partial(forms.plain), Forms)))
