"""Calls to a slow server: wall time beside the ideal, and this process's CPU time, with one client and all layers.

The server is in a process of its own. The floors: `calls x latency / in flight` for the wall time; the `openai` package alone,
used as its manual shows, for the CPU time.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai

from benchmarks.llm_server import server_process
from harness.llm import ChatMessage, ChatModel, ChatRequest
from harness.llm.build import build
from harness.llm.layers import Layers, Settings

LATENCY, CONCURRENCY, ROUNDS, REPEATS = 2.0, 64, 5, 5

Ask = Callable[[int], Awaitable[object]]


def prompt(number: int) -> ChatRequest:
    """About 3 kB, as in the fourth turn of a dialogue."""
    system = "You are a seeker who talks to a film recommender. Say what you like and what you don't. " * 12
    said = [ChatMessage("user" if n % 2 else "assistant", f"Turn {n}: I would like something funny. " * 8) for n in range(6)]
    return ChatRequest((ChatMessage("system", system), *said, ChatMessage("user", f"And now? ({number})")), seed=number)


async def drive(ask: Ask, calls: int, concurrency: int) -> tuple[float, float]:
    """Wall and CPU seconds of that many calls, after one round that opens the connections."""

    async def worker(numbers: Iterator[int]) -> None:
        for number in numbers:
            await ask(number)

    async def volley(numbers: range) -> None:
        shared = iter(numbers)
        await asyncio.gather(*(worker(shared) for _ in range(concurrency)))

    await volley(range(calls, calls + concurrency))
    cpu, wall = time.process_time(), time.perf_counter()
    await volley(range(calls))
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(url: str, calls: int, concurrency: int, **settings: Any) -> tuple[float, float]:
    """One run through the harness's layers."""

    async def work() -> tuple[float, float]:
        layers = Layers(Settings(concurrency=concurrency, **settings))
        model: ChatModel = build("openai:m", {"base_url": url}, layers)
        try:
            return await drive(lambda number: model.chat(prompt(number)), calls, concurrency)
        finally:
            await model.close()

    return asyncio.run(work())


def bare(url: str, calls: int, concurrency: int) -> tuple[float, float]:
    """The same calls through the package alone, with its typed answers."""

    async def work() -> tuple[float, float]:
        async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

            async def ask(number: int) -> object:
                request = prompt(number)
                messages: Any = [msgspec.to_builtins(message) for message in request.messages]
                return await client.chat.completions.create(model="m", messages=messages, max_tokens=256, seed=number)

            return await drive(ask, calls, concurrency)

    return asyncio.run(work())


def main() -> list[dict[str, Any]]:
    """Rows: the package alone, the layers, and the layers with cache and budget (medians of five runs of five rounds each)."""
    calls = CONCURRENCY * ROUNDS
    ideal = calls * LATENCY / CONCURRENCY
    rows = []
    with server_process(latency=LATENCY) as remote, tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[int], tuple[float, float]]] = {
            "openai package alone": lambda repeat: bare(remote.url, calls, CONCURRENCY),
            "harness": lambda repeat: measure(remote.url, calls, CONCURRENCY),
            "harness, cache and budget": lambda repeat: measure(
                remote.url,
                calls,
                CONCURRENCY,
                cache="read-write",
                cache_file=Path(folder) / f"{repeat}.sqlite",
                max_tokens=10**9,
            ),
        }
        for name, way in ways.items():
            remote.reset()
            runs = [way(repeat) for repeat in range(REPEATS)]
            wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
            rows.append(
                {
                    "benchmark": "llm_calls",
                    "way": name,
                    "calls": calls,
                    "in_flight": remote.stats().peak,
                    "wall_s": wall,
                    "times_ideal": wall / ideal,
                    "cpu_ms_per_call": 1000 * cpu / calls,
                }
            )
    return rows
