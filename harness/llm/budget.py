"""Spending limits. What a call may cost at most is set aside before it is sent, so that calls in flight can't overshoot
together.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness.api import Usage
from harness.errors import BudgetExceeded, LlmError, RefusedError, UsageError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion, Scores
from harness.llm.loops import PerLoop, Waiters

Dollars = Annotated[float, msgspec.Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens."""

    prompt: Dollars
    completion: Dollars

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What that many tokens cost, in US dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def read_prices(path: Path) -> dict[str, Price]:
    """A TOML file with a table per model: `["gpt-4o-mini"]`, `prompt = ...`, `completion = ...`. Raises UsageError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no price file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: {error}") from None
    prices = {}
    for model, table in tables.items():
        try:
            prices[model] = msgspec.convert(table, Price)
        except msgspec.ValidationError as error:
            quoted = "" if not _dotted(table) else '; a name with dots needs quotes: ["gpt-4.1"]'
            wanted = "prompt and completion, US dollars per million tokens"
            raise UsageError(f"{path}: [{model}]: {error}; each model needs {wanted}{quoted}") from None
    return prices


def price_of(name: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of "openai:MODEL": its own entry, else that of "MODEL"."""
    return prices.get(name) or prices.get(name.partition(":")[2])


class _Pending:
    def __init__(self) -> None:
        self.calls = 0
        self.changed = Waiters()


class Budget:
    """One purse for all models of a run. `spent` is what has been spent so far, `earlier` runs included."""

    def __init__(self, *, max_cost: float | None = None, max_tokens: int | None = None, earlier: Usage | None = None) -> None:
        self.max_cost, self.max_tokens = max_cost, max_tokens
        earlier = earlier or Usage()
        self.tokens = earlier.prompt_tokens + earlier.completion_tokens
        self.cost = earlier.cost
        self._held_tokens = 0
        self._held_cost = 0.0
        self._pending = PerLoop(_Pending)

    @property
    def limited(self) -> bool:
        return self.max_cost is not None or self.max_tokens is not None

    @contextlib.asynccontextmanager
    async def hold(self, tokens: int, cost: float) -> AsyncIterator[Bill]:
        """Set aside what a call may cost at most, while the block runs; the bill says what it did cost.

        Waits while only the calls in flight stand in the way, which mostly cost less than they hold. Raises BudgetExceeded when
        none is in flight any more and it still doesn't fit.
        """
        pending = self._pending.get()
        while not self.take(tokens, cost):
            if not pending.calls:
                pending.changed.wake_all()
                raise BudgetExceeded(self.full(tokens, cost))
            await pending.changed.wait()
        pending.calls += 1
        bill = Bill()
        try:
            yield bill
        finally:
            self.settle(tokens, cost, bill)
            pending.calls -= 1
            pending.changed.wake_all()

    def take(self, tokens: int, cost: float) -> bool:
        """Set that much aside, if it fits; `settle` ends it."""
        if not self._fits(tokens, cost):
            return False
        self._held_tokens += tokens
        self._held_cost += cost
        return True

    def settle(self, tokens: int, cost: float, bill: Bill) -> None:
        """What was set aside is no longer; what the bill says is spent."""
        self._held_tokens -= tokens
        self._held_cost -= cost
        self.tokens += bill.tokens
        self.cost += bill.cost

    def _fits(self, tokens: int, cost: float) -> bool:
        if self.max_tokens is not None and self.tokens + self._held_tokens + tokens > self.max_tokens:
            return False
        # Sums of floats may be off by a rounding error.
        return self.max_cost is None or self.cost + self._held_cost + cost <= self.max_cost * (1 + 1e-9)

    def full(self, tokens: int, cost: float) -> str:
        """Why that much is refused."""
        if self.max_tokens is not None and self.tokens + tokens > self.max_tokens:
            limit, spent, more = f"--max-tokens {self.max_tokens}", f"{self.tokens} tokens", f"{tokens}"
        else:
            limit, spent, more = f"--max-cost {self.max_cost}", f"${self.cost:.4f}", f"${cost:.4f}"
        return f"{limit}: {spent} are spent and the next call may need up to {more}; raise the limit and resume"


class Bill:
    """What a call turned out to cost."""

    def __init__(self, tokens: int = 0, cost: float = 0.0) -> None:
        self.tokens, self.cost = tokens, cost


class Budgeted:
    """A model whose answers have a price, and that stops at the budget.

    Where a server doesn't report tokens, the upper bound is charged. A try that failed in transport is charged nothing: nobody
    says what it cost.
    """

    def __init__(self, inner: ChatModel, budget: Budget, price: Price | None) -> None:
        if price is None and budget.max_cost is not None:
            model = inner.name.partition(":")[2] or inner.name
            raise LlmError(
                f"--max-cost needs the price of {inner.name}: --prices FILE.toml with a table"
                f' ["{model}"] and in it prompt and completion, US dollars per million tokens (0 where it costs nothing)'
            )
        self._inner, self._budget, self._price = inner, budget, price
        self.name = inner.name

    async def chat(self, request: ChatRequest) -> Completion:
        prompt = prompt_bound(request.messages, request.schema)
        async with self._budget.hold(prompt + request.max_tokens, self._cost(prompt, request.max_tokens)) as bill:
            try:
                answer = await self._inner.chat(request)
            except RefusedError as error:
                if isinstance(error.usage, Usage):
                    error.usage = self._charge(bill, error.usage, 0, 0)
                raise
            return msgspec.structs.replace(answer, usage=self._charge(bill, answer.usage, prompt, request.max_tokens))

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        # A server may read the prompt once more for each continuation.
        prompt = prompt_bound(messages) * (1 + len(continuations)) + sum(len(c.encode()) for c in continuations)
        produced = 1 + len(continuations)
        async with self._budget.hold(prompt + produced, self._cost(prompt, produced)) as bill:
            values = await self._inner.score(messages, continuations)
            return Scores(values, self._charge(bill, getattr(values, "usage", Usage()), prompt, produced))

    def revision(self) -> dict[str, Any]:
        return self._inner.revision()

    async def close(self) -> None:
        await self._inner.close()

    def _cost(self, prompt: int, completion: int) -> float:
        return 0.0 if self._price is None else self._price.of(prompt, completion)

    def _charge(self, bill: Bill, usage: Usage, prompt: int, completion: int) -> Usage:
        usage = msgspec.structs.replace(usage, cost=self._cost(usage.prompt_tokens, usage.completion_tokens))
        bill.tokens, bill.cost = usage.prompt_tokens + usage.completion_tokens, usage.cost
        if not bill.tokens and usage.calls:
            bill.tokens, bill.cost = prompt + completion, self._cost(prompt, completion)
        return usage


def prompt_bound(messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None = None) -> int:
    """Tokens that a prompt has at most: a token is at least one byte of UTF-8; a chat template adds some of its own."""
    size = 128 + sum(len(m.content.encode()) + 16 for m in messages)
    return size if schema is None else size + len(msgspec.json.encode(schema))


def _dotted(table: Any) -> bool:
    return isinstance(table, dict) and any(isinstance(value, dict) for value in table.values())
