"""Log-probabilities of given answers through an OpenAI-compatible server."""

from __future__ import annotations

import collections
import itertools
import math

import pytest

from benchmarks.llm_model import CHAT, COMPLETIONS, rendered, token_id, token_logprob, tokens
from benchmarks.llm_server import Fault
from harness.errors import LlmError, TransportError
from harness.llm import ChatMessage
from harness.llm.layers import Layers
from harness.llm.metering import meter
from tests.llm.asking import connect, quick, run

ASKED = (ChatMessage("system", "judge"), ChatMessage("user", "is it good ?"))


def test_one_token_answers_come_from_one_chat_completion(serve):
    server = serve(logprobs={"Yes": -0.2, " No": -1.9, "Maybe": -5.0})
    scores = run(connect(server).score(ASKED, ["No", "Yes"]))
    assert scores == [-1.9, -0.2]
    assert len(server.bodies) == 1
    assert (server.bodies[0]["max_tokens"], server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (1, True, 20)


def test_an_answer_outside_of_the_list_gets_the_most_it_can_have(serve):
    """Never more than the last of the list, nor than what the listed ones leave over."""
    server = serve(logprobs={"Yes": math.log(0.5), "No": math.log(0.3)})
    assert run(connect(server).score(ASKED, ["Never"])) == [pytest.approx(math.log(0.2))]
    server.model.logprobs = {"Yes": math.log(0.5), "No": math.log(0.1)}
    assert run(connect(server).score(ASKED, ["Never"])) == [pytest.approx(math.log(0.1))]


def test_longer_answers_are_read_from_the_echo(serve):
    """By hand: the sum over the answer's tokens, each after the one before, the first after the prompt."""
    server = serve(logprobs={"Yes": -0.2, "the": -2.0})
    prompt = [{"role": m.role, "content": m.content} for m in ASKED]
    last = token_id(tokens(rendered(prompt))[-1])

    def by_hand(text: str) -> float:
        ids = [last, *map(token_id, tokens(text))]
        return sum(token_logprob(a, b) for a, b in itertools.pairwise(ids))

    answers = ["the second one", "Yes", "the first"]
    assert run(connect(server).score(ASKED, answers)) == [pytest.approx(by_hand(text)) for text in answers]


def test_a_server_without_log_probabilities_says_so(serve):
    server = serve(lacks=frozenset({"top_logprobs"}))
    assert run(connect(server).score(ASKED, ["Yes"])) != []  # by the echo
    server.script["/tokenize"] = collections.deque([Fault("status", 404)])
    with pytest.raises(LlmError, match=r"no log-probabilities of 'Yes' .*several tokens need a server with /tokenize"):
        run(connect(server).score(ASKED, ["Yes"]))
    server.lacks = frozenset({"top_logprobs", "echo"})
    with pytest.raises(LlmError, match="echo"):
        run(connect(server).score(ASKED, ["Yes"]))


def test_scoring_is_metered_priced_cached_and_tried_again(serve, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text("[m]\nprompt = 1.0\ncompletion = 0\n")
    server = serve()
    server.script[CHAT] = collections.deque([Fault("status", 503)])

    async def work():
        model = connect(server, Layers(quick(prices=prices, cache="read-write", max_cost=1.0)))
        with meter() as first:
            scores = await model.score(ASKED, ["Yes", "No"])
        with meter() as second:
            assert await model.score(ASKED, ["Yes", "No"]) == scores
            assert await model.score(ASKED, ["No", "Yes"]) == scores[::-1]
        return first.total, second.total

    first, second = run(work())
    prompt = 1 + 4 + 4 + 4
    assert (first.calls, first.prompt_tokens, first.cost) == (1, prompt, pytest.approx(prompt / 1e6))
    assert (second.calls, second.cache_hits) == (1, 1)
    server.faults = lambda number, body: Fault("reset")
    with pytest.raises(TransportError, match="after 6 tries"):
        run(connect(server).score(ASKED, ["Yes", "No"]))


def test_nothing_to_score_asks_nothing(serve):
    server = serve()
    assert run(connect(server).score(ASKED, [])) == []
    assert server.stats.requests == 0


def test_transport_failures_of_the_echo_are_transport(serve):
    server = serve(lacks=frozenset({"top_logprobs"}))
    server.script[COMPLETIONS] = collections.deque([Fault("truncated")])
    model = connect(server, Layers(quick(retries=0)))
    with pytest.raises(TransportError):
        run(model.score(ASKED, ["Yes"]))
