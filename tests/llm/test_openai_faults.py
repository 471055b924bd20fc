"""Real sockets, every fault of a server: who is blamed, what is tried again, and that nothing is lost."""

from __future__ import annotations

import asyncio
import collections
import time
from email.utils import formatdate

import pytest

from benchmarks.llm_model import CHAT
from benchmarks.llm_server import Fault, LlmServer, serving
from harness.errors import LlmError, RefusedError, TransportError
from harness.llm.build import build
from harness.llm.layers import Layers
from harness.llm.metering import meter
from tests.llm.asking import ask, connect, quick, run

TRANSPORT = {
    "429": Fault("status", 429),
    "429 with Retry-After": Fault("status", 429, retry_after="0.02"),
    "408": Fault("status", 408),
    "409": Fault("status", 409),
    "500": Fault("status", 500),
    "502": Fault("status", 502, message="<html>bad gateway</html>"),
    "503": Fault("status", 503, retry_after="0.02"),
    "504": Fault("status", 504),
    "connection reset": Fault("reset"),
    "closed without an answer": Fault("drop"),
    "hang": Fault("hang"),
    "slow bytes": Fault("slow", seconds=30.0),
    "truncated body": Fault("truncated"),
    "invalid JSON": Fault("invalid_json"),
    "JSON of something else": Fault("not_an_object"),
    "a failure inside of a 200": Fault("error_body", 502),
}
REFUSED = {
    "empty choices": (Fault("empty_choices"), "no choices"),
    "content filter": (Fault("content_filter"), "content filter"),
    "refusal": (Fault("refusal"), "refused: I can't help"),
    "no text": (Fault("null_content"), "no text"),
    "only reasoning": (Fault("length"), "limit of tokens"),
    "filtered prompt": (Fault("status", 400, message="filtered by policy", code="content_filter"), "content filter"),
    "too long": (Fault("status", 400, message="too long", code="context_length_exceeded"), "too long"),
    "too large": (Fault("status", 413), "too long"),
}
USER = {
    "bad request": (Fault("status", 400, message="messages: wrong"), "messages: wrong"),
    "unprocessable": (Fault("status", 422, message="no such field"), "no such field"),
    "no key": (Fault("status", 401, message="no key"), "set the environment variable OPENAI_API_KEY"),
    "forbidden": (Fault("status", 403, message="region"), "may not use this model"),
    "no such model": (Fault("status", 404, message="no model m"), "check the model's name and base_url"),
    "no money": (Fault("status", 429, message="quota", code="insufficient_quota"), "nothing left to spend"),
    "no payment": (Fault("status", 402, message="pay"), "answered 402: pay"),
    "web page": (Fault("web_page"), "is base_url right"),
}


@pytest.mark.parametrize("name", TRANSPORT)
def test_a_transport_failure_is_tried_again_and_then_answered(serve, name):
    server = serve()
    server.script[CHAT] = collections.deque([TRANSPORT[name]])
    answer = run(connect(server, timeout=0.3).chat(ask()))
    assert answer.text == run(connect(serve()).chat(ask())).text
    assert server.stats.requests == 2


@pytest.mark.parametrize("name", TRANSPORT)
def test_a_lasting_transport_failure_is_final_and_nobody_elses_fault(serve, name):
    server = serve(faults=lambda number, body: TRANSPORT[name])
    with pytest.raises(TransportError, match="after 3 tries") as caught:
        run(connect(server, Layers(quick(retries=2)), timeout=0.2).chat(ask()))
    assert caught.value.final
    assert server.stats.requests == 3


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_answer_is_a_fault_of_the_role_and_not_tried_again(serve, name):
    fault, message = REFUSED[name]
    server = serve(faults=lambda number, body: fault)
    with pytest.raises(RefusedError, match=message):
        run(connect(server).chat(ask()))
    assert server.stats.requests == 1


@pytest.mark.parametrize("name", USER)
def test_a_users_mistake_fails_at_once_with_what_to_set(serve, name):
    fault, message = USER[name]
    server = serve(faults=lambda number, body: fault)
    with pytest.raises(LlmError, match=message):
        run(connect(server).chat(ask()))
    assert server.stats.requests == 1


def test_a_server_that_never_was_there_ends_the_run():
    async def closed_port() -> str:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return f"http://127.0.0.1:{port}/v1"

    model = build("openai:m", {"base_url": run(closed_port())}, Layers(quick(retries=1)))
    with pytest.raises(LlmError, match=r"http://127.0.0.1:\d+/v1 can't be reached: .*; is the server running"):
        run(model.chat(ask()))


def test_a_server_that_goes_away_is_transport():
    with serving(LlmServer()) as server:
        model = connect(server, Layers(quick(retries=1)))
        run(model.chat(ask("before")))
    with pytest.raises(TransportError, match=r"the connection to http://127.0.0.1:\d+/v1 failed: .* \(after 2 tries\)"):
        run(model.chat(ask("after")))


def test_a_refused_answer_is_paid_for_all_the_same(serve):
    async def work():
        with meter() as spent, pytest.raises(RefusedError):
            await connect(server).chat(ask("one two three"))
        return spent.total

    server = serve(faults=lambda number, body: Fault("content_filter"))
    usage = run(work())
    assert (usage.calls, usage.prompt_tokens) == (1, 3 + 4)


@pytest.mark.parametrize("value", ["seconds", "date"])
def test_retry_after_is_obeyed(serve, value):
    """Nothing comes back before the time that the server named, in either form of the header."""
    server = serve()
    times: list[float] = []
    wait = 1.2

    def faults(number, body):
        times.append(time.time())
        if len(times) > 1:
            return None
        # A date has whole seconds: the next but one lies between one and two seconds ahead.
        named = "1.2" if value == "seconds" else formatdate(int(times[0]) + 2, usegmt=True)
        return Fault("status", 429, retry_after=named)

    server.faults = faults
    run(connect(server).chat(ask()))
    assert times[1] >= (times[0] + wait if value == "seconds" else int(times[0]) + 2)


def test_a_pause_that_is_too_long_is_not_waited_for(serve):
    server = serve(faults=lambda number, body: Fault("status", 429, retry_after="3600"))
    with pytest.raises(TransportError) as caught:
        run(connect(server).chat(ask()), seconds=10)
    assert caught.value.retry_after == 3600
    assert server.stats.requests == 1


def test_a_call_ends_before_its_component_would_be_blamed(serve):
    """The time limit of a component's call is the server's to miss, hanging or asking for patience."""

    async def work():
        with meter(seconds=0.5):
            await model.chat(ask())

    for fault in (Fault("hang"), Fault("status", 503, retry_after="60")):
        server = serve(faults=lambda number, body, fault=fault: fault)
        model = connect(server)
        with pytest.raises(TransportError, match="--timeout") as caught:
            run(work(), seconds=10)
        assert caught.value.final


@pytest.mark.parametrize("concurrency", [1, 8, 32])
def test_peak_in_flight_is_the_concurrency(serve, concurrency):
    """More callers than places: all places are used, none more."""
    server = serve(latency=0.1)

    async def work():
        model = connect(server, Layers(quick(concurrency=concurrency)))
        await asyncio.gather(*(model.chat(ask(str(n))) for n in range(3 * concurrency)))
        await model.close()

    run(work())
    assert server.stats.peak == concurrency
    assert server.stats.answered == 3 * concurrency


def test_many_dialogues_through_every_fault_end_with_the_right_blame_and_nothing_lost(serve):
    """64 dialogues of three calls in a row, 24 at a time; each call meets one fault by its number, on its first try."""
    kinds = [None, *TRANSPORT.values(), *(fault for fault, _ in REFUSED.values())]
    met: set[str] = set()

    def fault_of(text: str) -> Fault | None:
        dialogue, turn = map(int, text.split())
        return kinds[(dialogue * 3 + turn) % len(kinds)]

    def faults(number, body):
        text = body["messages"][-1]["content"]
        return None if text in met or met.add(text) else fault_of(text)

    server, plain = serve(latency=0.01), serve()
    server.faults = faults

    async def work():
        model = connect(server, Layers(quick(concurrency=24)), timeout=0.4)
        reference = connect(plain)
        outcomes: dict[str, str] = {}
        places = asyncio.Semaphore(24)

        async def dialogue(number: int) -> None:
            async with places:
                for turn in range(3):
                    text = f"{number} {turn}"
                    try:
                        outcomes[text] = (await model.chat(ask(text))).text
                    except RefusedError:
                        outcomes[text] = "refused"

        with meter() as spent:
            await asyncio.gather(*map(dialogue, range(64)))
        expected = {text: (await reference.chat(ask(text))).text for text in outcomes}
        await model.close()
        await reference.close()
        return outcomes, expected, spent.total

    outcomes, expected, usage = run(work(), seconds=120)
    refused = {fault for fault, _ in REFUSED.values()}
    assert len(outcomes) == 64 * 3
    for text, outcome in outcomes.items():
        assert outcome == ("refused" if fault_of(text) in refused else expected[text])
    assert server.stats.peak <= 24
    # HTTP 400 and 413 are no answers of the model; everything else that came was counted once.
    unanswered = sum(fault_of(text).kind == "status" for text, outcome in outcomes.items() if outcome == "refused")
    assert usage.calls == len(outcomes) - unanswered
