"""Budgets: never overshot, however many calls are in flight, and not given up early."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.llm_server import Fault
from harness.api import Usage
from harness.errors import BudgetExceeded, LlmError, RefusedError, TransportError, UsageError
from harness.llm import ChatMessage
from harness.llm.budget import Budget, Price, prompt_bound, read_prices
from harness.llm.layers import Layers
from harness.llm.metering import meter
from tests.llm.asking import ask, connect, quick, run


def prices_file(tmp_path, text='[m]\nprompt = 2.0\ncompletion = 10.0\n["gpt-4.1"]\nprompt = 1\ncompletion = 1\n'):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return path


def test_money_is_counted_by_the_price_table(serve, tmp_path):
    server = serve(reply=lambda body: "a b c d e")

    async def work():
        with meter() as spent:
            await connect(server, Layers(quick(prices=prices_file(tmp_path)))).chat(ask("one two three"))
        return spent.total

    usage = run(work())
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 5)
    assert usage.cost == pytest.approx((7 * 2 + 5 * 10) / 1e6)


@pytest.mark.parametrize("limit", ["max_tokens", "max_cost"])
def test_64_in_flight_do_not_overshoot(serve, tmp_path, limit):
    """A dialogue's call costs 6 + 3 tokens and holds far more; what is left unspent is less than one call holds."""
    server = serve(latency=0.01, reply=lambda body: "a b c")
    price = Price(prompt=2.0, completion=10.0)
    bound = prompt_bound([ChatMessage("user", "say 00")]) + 20
    amounts = {"max_tokens": 2_000, "max_cost": price.of(1_500, 500)}
    given_ = {limit: amounts[limit]}
    layers = Layers(quick(concurrency=64, prices=prices_file(tmp_path), **given_))

    async def work():
        model = connect(server, layers)
        calls = (model.chat(ask(f"say {n:02}", max_tokens=20)) for n in range(400))
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = run(work())
    answered = [o for o in outcomes if not isinstance(o, Exception)]
    assert all(isinstance(o, BudgetExceeded) for o in outcomes if isinstance(o, Exception))
    assert len(answered) == server.stats.answered
    spent = {"max_tokens": 9 * len(answered), "max_cost": len(answered) * price.of(6, 3)}[limit]
    held = {"max_tokens": bound, "max_cost": price.of(bound - 20, 20)}[limit]
    assert amounts[limit] - held < spent <= amounts[limit]
    assert {"max_tokens": layers.budget.tokens, "max_cost": layers.budget.cost}[limit] == pytest.approx(spent)


@settings(max_examples=50, deadline=None)
@given(
    limit=st.integers(0, 500),
    calls=st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), max_size=40),
)
def test_no_order_of_calls_overshoots(limit, calls):
    """Calls of any bound that cost any part of it, all at once: the limit holds, and whatever was refused didn't fit."""
    budget = Budget(max_tokens=limit)

    async def one(bound: int, share: float) -> int:
        try:
            async with budget.hold(bound, 0.0) as bill:
                await asyncio.sleep(0)
                bill.tokens = int(bound * share)
        except BudgetExceeded:
            assert budget.tokens + bound > limit
        return 0

    async def work():
        await asyncio.gather(*(one(*call) for call in calls))

    run(work())
    assert budget.tokens <= limit


def test_what_was_spent_before_counts(serve):
    server = serve()
    layers = Layers(quick(max_tokens=1_000, spent=Usage(5, 700, 200)))
    with pytest.raises(BudgetExceeded, match=r"--max-tokens 1000: 900 tokens are spent and the next call may need up to \d+"):
        run(connect(server, layers).chat(ask()))
    assert server.stats.requests == 0


def test_a_budget_of_nothing_asks_nothing(serve, tmp_path):
    server = serve()
    with pytest.raises(BudgetExceeded, match=r"--max-cost 0(\.0)?:"):
        run(connect(server, Layers(quick(max_cost=0.0, prices=prices_file(tmp_path)))).chat(ask()))
    free = prices_file(tmp_path, "[m]\nprompt = 0\ncompletion = 0\n")
    assert run(connect(server, Layers(quick(max_cost=0.0, prices=free))).chat(ask())).usage.cost == 0
    assert server.stats.requests == 1


def test_cached_answers_cost_nothing(serve):
    server = serve(reply=lambda body: "a")
    layers = Layers(quick(max_tokens=prompt_bound([ChatMessage("user", "hello")]) + 256, cache="read-write"))

    async def work():
        model = connect(server, layers)
        for _ in range(5):
            await model.chat(ask())
        with pytest.raises(BudgetExceeded):
            await model.chat(ask("other"))

    run(work())


def test_failed_tries_cost_nothing_and_refusals_what_they_say(serve):
    layers = Layers(quick(max_tokens=1_000, retries=0))
    server = serve(faults=lambda number, body: Fault("status", 500) if number == 1 else Fault("content_filter"))
    model = connect(server, layers)
    with pytest.raises(TransportError):
        run(model.chat(ask("one two")))
    assert layers.budget.tokens == 0
    with pytest.raises(RefusedError):
        run(model.chat(ask("one two")))
    assert layers.budget.tokens == 6 + 2  # the server had written two words before its filter hid them


def test_a_server_that_counts_nothing_is_charged_the_bound(serve):
    server = serve()
    original = server.model.answer
    server.model.answer = lambda path, body: {k: v for k, v in original(path, body).items() if k != "usage"}
    layers = Layers(quick(max_tokens=1_000))
    run(connect(server, layers).chat(ask("hello", max_tokens=100)))
    assert layers.budget.tokens == prompt_bound([ChatMessage("user", "hello")]) + 100


def test_max_cost_needs_a_price(serve, tmp_path):
    with pytest.raises(LlmError, match=r'needs the price of openai:other: --prices FILE.toml with a table \["other"\]'):
        connect(serve(), Layers(quick(max_cost=1.0, prices=prices_file(tmp_path))), model="other")
    connect(serve(), Layers(quick(max_cost=1.0, prices=prices_file(tmp_path))), model="gpt-4.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[m]\nprompt = 1\n", "completion"),
        ("[m]\nprompt = -1\ncompletion = 1\n", ">= 0"),
        ("[m]\nprompt = 'x'\ncompletion = 1\n", r"prices.toml: \[m\]"),
        ("[m]\nprompt = 1\ncompletion = 1\ncached = 1\n", "cached"),
        ("[gpt-4.1]\nprompt = 1\ncompletion = 1\n", "a name with dots needs quotes"),
        ("[m\n", "prices.toml"),
    ],
)
def test_wrong_price_files(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_prices(prices_file(tmp_path, text))


def test_the_example_of_the_manual(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "llm.md").read_text().partition("```toml\n")[2].partition("```")[0]
    prices = read_prices(prices_file(tmp_path, text))
    assert prices == {"gpt-4o-mini": Price(0.15, 0.60), "Qwen/Qwen2.5-7B-Instruct": Price(0.0, 0.0)}


def test_wrong_limits(tmp_path):
    for settings_ in ({"max_cost": -1.0}, {"max_tokens": -1}, {"rpm": 0.0}, {"prices": tmp_path / "none.toml"}):
        with pytest.raises(UsageError):
            Layers(quick(**settings_))


@given(st.text())
def test_the_prompt_bound_is_above_any_tokeniser(text):
    assert prompt_bound([ChatMessage("user", text.encode("utf-8", "replace").decode())]) > len(text.encode("utf-8", "replace"))
