"""A component in any form behind one async call: blame, retries of the transport, and concurrency."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import spin

from harness.api import Conversation, Feedback, Message, Recommendation
from harness.calls import Hosts
from harness.config import Transport
from harness.errors import BudgetExceeded, ComponentFault, PluginError, TransportError, TransportExhausted

FORMS = ("plain", "async", "batched", "async batched")


def component(function: Callable[[int], Any], form: str, **attributes: Any) -> Any:
    """A component whose `work` is `function`, in one of the four forms."""

    class Of:
        if form == "plain":

            def work(self, n: int) -> Any:
                return function(n)

        elif form == "async":

            async def work(self, n: int) -> Any:
                await asyncio.sleep(0)
                return function(n)

        elif form == "batched":

            def work_batch(self, numbers: list[Any]) -> list[Any]:
                return [function(n) for n in numbers]

        else:

            async def work_batch(self, numbers: list[Any]) -> list[Any]:
                await asyncio.sleep(0)
                return [function(n) for n in numbers]

    for name, value in attributes.items():
        setattr(Of, name, value)
    return Of()


def call_all(made: Any, arguments: list[Any], **transport: Any) -> list[Any]:
    """Every argument is one dialogue's call; they are all made at once. Outcomes in order, exceptions as values."""
    settings = {"concurrency": 8, "timeout": 20.0, "transport_retries": 2, "backoff": 0.001, "max_backoff": 0.01, **transport}

    async def main() -> list[Any]:
        hosts = Hosts(Transport(**settings))

        async def dialogue(argument: Any) -> Any:
            with hosts.flow:
                return await call(argument)

        try:
            call = hosts.adapt(made, "work", "recommender")
            return await asyncio.gather(*map(dialogue, arguments), return_exceptions=True)
        finally:
            hosts.close()

    return asyncio.run(main())


class N:
    """An argument that is no plain number (a batch gets a list of them)."""

    def __init__(self, n: int) -> None:
        self.n = n


def numbers(count: int) -> list[N]:
    return [N(n) for n in range(count)]


# ------------------------------------------------------------------------------------------------------------------ blame


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_answers(form: str) -> None:
    assert call_all(component(lambda a: a.n * 2, form), numbers(20)) == [2 * n for n in range(20)]


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


RAISED = {
    "ValueError": (ValueError("bad row"), "ValueError: bad row"),
    "SystemExit": (SystemExit(2), "RuntimeError: SystemExit: 2"),
    "StopIteration": (StopIteration(), "RuntimeError"),
    "surrogates": (ValueError("lone \ud800"), r"ValueError: lone \ud800"),
    "unprintable": (Silent(), "Silent: (its text can't be had)"),
    "an address": (ValueError("<Thing at 0x7f00deadbeef>"), "ValueError: <Thing at 0x...>"),
    "our own words": (TransportExhausted("mine", 1), "TransportExhausted: mine"),
    "time-out of its own": (TimeoutError("socket"), "TimeoutError: socket"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", RAISED)
def test_what_a_component_raises_is_its_fault_alone(form: str, what: str) -> None:
    raised, message = RAISED[what]

    def third_fails(argument: N) -> int:
        if argument.n == 3:
            raise raised
        return argument.n

    outcomes = call_all(component(third_fails, form), numbers(6))
    fault = outcomes.pop(3)
    assert outcomes == [0, 1, 2, 4, 5]
    assert isinstance(fault, ComponentFault)
    assert fault.kind == "exception"
    assert str(fault).startswith(message)
    str(fault).encode()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hang", [spin, lambda: time.sleep(1.5)], ids=["loop", "sleep"])
def test_what_hangs_is_a_timeout_of_its_own(form: str, hang: Callable[[], None]) -> None:
    def third_hangs(argument: N) -> int:
        if argument.n == 3:
            hang()
        return argument.n

    outcomes = call_all(component(third_hangs, form), numbers(6), timeout=0.3)
    fault = outcomes.pop(3)
    assert outcomes == [0, 1, 2, 4, 5]
    assert (fault.kind, str(fault)) == ("timeout", "no answer within 0.3 s")


def test_a_component_without_the_method_is_told() -> None:
    with pytest.raises(PluginError, match=r"recommender object has neither work\(\) nor work_batch\(\)"):
        call_all(object(), [])


@pytest.mark.parametrize("maximum", ["many", -1, 2.5])
def test_an_impossible_batch_size_is_told(maximum: Any) -> None:
    with pytest.raises(PluginError, match="max_batch of recommender Of must be a whole number above 0"):
        call_all(component(lambda a: a, "batched", max_batch=maximum), [])


# -------------------------------------------------------------------------------------------------------------- transport


class Flaky:
    """Fails `times` times per argument with a transport error."""

    def __init__(self, times: int, **error: Any) -> None:
        self.times, self.error = times, error
        self.calls: list[tuple[int, float]] = []
        self.lock = threading.Lock()

    def __call__(self, argument: N) -> int:
        with self.lock:
            self.calls.append((argument.n, time.monotonic()))
            tried = sum(n == argument.n for n, _ in self.calls)
        if tried <= self.times and argument.n % 2:
            raise TransportError(f"429 for {argument.n}", **self.error)
        return argument.n

    def count(self, n: int) -> int:
        return sum(m == n for m, _ in self.calls)


@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_failed_transport_is_tried_again_and_then_exhausted(form: str) -> None:
    flaky = Flaky(2)
    assert call_all(component(flaky, form), numbers(4), transport_retries=2) == [0, 1, 2, 3]
    assert [flaky.count(n) for n in range(4)] == [1, 3, 1, 3]
    flaky = Flaky(99)
    outcomes = call_all(component(flaky, form), numbers(4), transport_retries=2)
    assert (outcomes[0], outcomes[2]) == (0, 2)
    assert [(type(o), str(o), o.attempts) for o in outcomes[1::2]] == [
        (TransportExhausted, "429 for 1", 3),
        (TransportExhausted, "429 for 3", 3),
    ]


@pytest.mark.parametrize("form", ["batched", "async batched"])
def test_a_batch_whose_transport_fails_is_made_again(form: str) -> None:
    flaky = Flaky(1)
    assert call_all(component(flaky, form), numbers(4), transport_retries=8) == [0, 1, 2, 3]


def test_the_servers_word_on_when_to_come_back_is_kept() -> None:
    flaky = Flaky(1, retry_after=0.15)
    call_all(component(flaky, "plain"), [N(1)], backoff=0.0)
    (_, first), (_, second) = flaky.calls
    assert second - first >= 0.15


def test_without_such_a_word_pauses_grow() -> None:
    flaky = Flaky(4)
    call_all(component(flaky, "plain"), [N(1)], backoff=0.02, max_backoff=0.08, transport_retries=4)
    times = [at for _, at in flaky.calls]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(gap >= least for gap, least in zip(gaps, (0.01, 0.02, 0.04, 0.04), strict=True))


@pytest.mark.parametrize("nonsense", ["soon", float("nan"), float("inf"), -3, [], "5"])
def test_a_nonsensical_retry_after_does_no_harm(nonsense: Any) -> None:
    assert call_all(component(Flaky(1, retry_after=nonsense), "plain"), [N(1)]) == [1]


@pytest.mark.parametrize("form", FORMS)
def test_a_spent_budget_is_no_fault(form: str) -> None:
    def spends(argument: N) -> int:
        raise BudgetExceeded("5.00 of 5.00 dollars")

    (outcome,) = call_all(component(spends, form), [N(0)])
    assert isinstance(outcome, BudgetExceeded)


# ------------------------------------------------------------------------------------------------------------ concurrency


class Inside:
    def __init__(self, pause: float) -> None:
        self.pause, self.now, self.most, self.lock = pause, 0, 0, threading.Lock()

    def __call__(self, argument: N) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.pause)
        with self.lock:
            self.now -= 1
        return argument.n


def test_eight_dialogues_have_eight_blocking_calls_in_flight() -> None:
    inside = Inside(0.3)
    assert call_all(component(inside, "plain"), numbers(8), concurrency=8) == list(range(8))
    assert inside.most == 8


def test_a_serial_component_has_one() -> None:
    inside = Inside(0.01)
    assert call_all(component(inside, "plain", serial=True), numbers(8), concurrency=8) == list(range(8))
    assert inside.most == 1


def test_a_batched_component_has_one_batch_at_a_time() -> None:
    inside = Inside(0.002)
    assert call_all(component(inside, "batched", max_batch=2), numbers(9), concurrency=9) == list(range(9))
    assert inside.most == 1


def test_a_batch_is_as_large_as_the_concurrency_unless_said_otherwise() -> None:
    for attributes, largest in (({}, 6), ({"max_batch": 4}, 4), ({"max_batch": None}, 6)):
        sizes: list[int] = []

        class Sized:
            def work_batch(self, batch: list[Any], sizes: list[int] = sizes) -> list[Any]:
                sizes.append(len(batch))
                return batch

        for name, value in attributes.items():
            setattr(Sized, name, value)
        call_all(Sized(), numbers(12), concurrency=6)
        assert max(sizes) == largest


def test_recommenders_and_simulators_get_their_batches_by_argument() -> None:
    """A recommender gets the conversations and one k, a simulator the conversations and as many knowledges."""
    seen: list[Any] = []

    class Both:
        def recommend_batch(self, conversations: list[Conversation], k: int) -> list[Any]:
            seen.append((conversations, k))
            return [Recommendation((), c.messages[0].text) for c in conversations]

        def reply_batch(self, conversations: list[Conversation], knowledge: list[str]) -> list[Any]:
            seen.append((conversations, knowledge))
            return [Feedback(c.messages[0].text + n) for c, n in zip(conversations, knowledge, strict=True)]

    talks = [Conversation((Message("seeker", str(n)),)) for n in range(3)]

    async def main() -> Any:
        hosts = Hosts(Transport())
        recommend = hosts.adapt(Both(), "recommend", "recommender")
        reply = hosts.adapt(Both(), "reply", "simulator")

        async def dialogue(n: int) -> Any:
            with hosts.flow:
                return (await recommend(talks[n], 10)).text, (await reply(talks[n], f"k{n}")).text

        try:
            return await asyncio.gather(*map(dialogue, range(3)))
        finally:
            hosts.close()

    assert asyncio.run(main()) == [("0", "0k0"), ("1", "1k1"), ("2", "2k2")]
    assert seen == [(talks, 10), (talks, ["k0", "k1", "k2"])]
