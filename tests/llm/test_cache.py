"""The response cache: what is the same request, processes that share the file, and files that are damaged or foreign."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap

import msgspec
import pytest

from benchmarks.llm_server import Fault
from harness.api import Usage
from harness.errors import LlmError, RefusedError, TransportError
from harness.llm import ChatMessage, Completion
from harness.llm.cache import Cache, Entry
from harness.llm.layers import Layers
from harness.llm.metering import meter
from tests.llm.asking import ask, connect, quick, run


def cached(path, mode="read-write", **settings):
    return Layers(quick(cache=mode, cache_file=path, **settings))


def test_the_second_run_asks_nothing_and_gets_the_same(serve, tmp_path):
    server = serve(faults=lambda number, body: Fault("content_filter") if "7" in body["messages"][0]["content"] else None)

    async def play():
        model = connect(server, cached(tmp_path / "llm.sqlite", concurrency=4))

        async def one(number: int) -> str:
            try:
                return (await model.chat(ask(f"dialogue {number}", seed=number))).text
            except RefusedError as error:
                return f"refused: {error}"

        with meter() as spent:
            texts = await asyncio.gather(*map(one, range(20)))
        await model.close()
        return texts, spent.total

    first, cost = run(play())
    assert (cost.calls, cost.cache_hits, server.stats.requests) == (20, 0, 20)
    again, cost = run(play())
    assert again == first
    assert cost == Usage(cache_hits=20)
    assert server.stats.requests == 20
    assert sum(text.startswith("refused") for text in again) == 2


def test_every_part_of_a_request_counts(serve, tmp_path):
    server = serve()
    layers = cached(tmp_path / "llm.sqlite")
    requests = [
        ask("a"), ask("b"), ask("a", max_tokens=9), ask("a", temperature=0.5), ask("a", top_p=0.5), ask("a", stop=("x",)),
        ask("a", seed=1), ask("a", schema={"type": "object"}),
        msgspec.structs.replace(ask("a"), messages=(ChatMessage("system", "a"),)),
        msgspec.structs.replace(ask("a"), messages=(ChatMessage("user", "a"), ChatMessage("user", ""))),
    ]  # fmt: skip

    async def work():
        models = [
            connect(server, layers),
            connect(server, layers, model="n"),
            connect(server, layers, extra_body='{"top_k": 1}'),
        ]
        for _ in range(2):
            for model in models:
                for request in requests:
                    await model.chat(request)

    run(work())
    assert server.stats.requests == 3 * len(requests)


def test_another_server_of_the_same_model_name_is_another_model(serve, tmp_path):
    layers = cached(tmp_path / "llm.sqlite")
    one, other = serve(reply=lambda body: "from one"), serve(reply=lambda body: "from the other")
    assert run(connect(one, layers).chat(ask())).text == "from one"
    assert run(connect(other, layers).chat(ask())).text == "from the other"


def test_read_never_writes_and_off_never_looks(serve, tmp_path):
    path = tmp_path / "llm.sqlite"
    server = serve()
    with pytest.raises(LlmError, match="there is no response cache"):
        cached(path, "read")
    run(connect(server, cached(path)).chat(ask("known")))
    for _ in range(2):
        run(connect(server, cached(path, "read")).chat(ask("known")))
        run(connect(server, cached(path, "read")).chat(ask("new")))
    assert server.stats.requests == 1 + 2
    run(connect(server, cached(path, "off")).chat(ask("known")))
    assert server.stats.requests == 4


def test_a_cache_on_a_medium_that_cannot_be_written(tmp_path):
    """As left on a read-only disk: the database alone, without the files that SQLite makes beside it."""
    path = tmp_path / "shelf" / "llm.sqlite"
    filled(path)
    assert not path.with_name("llm.sqlite-wal").exists()
    path.parent.chmod(0o500)
    try:
        entry = run(Cache(path, "read").get(b"key 7"))
    finally:
        path.parent.chmod(0o700)
    assert entry is not None
    assert entry.completion is not None
    assert entry.completion.text.startswith("text")


def test_failures_are_not_kept(serve, tmp_path):
    server = serve(faults=lambda number, body: Fault("status", 500) if number == 1 else None)
    layers = cached(tmp_path / "llm.sqlite", retries=0)
    with pytest.raises(TransportError):
        run(connect(server, layers).chat(ask()))
    assert run(connect(server, layers).chat(ask())).text


def test_equal_requests_under_way_share_one_answer(serve, tmp_path):
    server = serve(latency=0.1)

    async def one(model):
        with meter() as spent:
            return (await model.chat(ask())).text, spent.total

    async def work():
        model = connect(server, cached(tmp_path / "llm.sqlite"))
        return await asyncio.gather(*(one(model) for _ in range(10)))

    outcomes = run(work())
    assert server.stats.requests == 1
    assert len({text for text, _ in outcomes}) == 1
    assert sorted((usage.calls, usage.cache_hits) for _, usage in outcomes) == [(0, 1)] * 9 + [(1, 0)]


def test_a_caller_that_gives_up_leaves_the_answer_to_the_others(serve, tmp_path):
    server = serve(latency=0.2)

    async def work():
        model = connect(server, cached(tmp_path / "llm.sqlite"))
        first, second = asyncio.ensure_future(model.chat(ask())), asyncio.ensure_future(model.chat(ask()))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).text
        third = asyncio.ensure_future(model.chat(ask("other")))
        await asyncio.sleep(0.05)
        third.cancel()
        # Nobody waits for it any more; a newcomer must not be drawn into its end.
        await asyncio.sleep(0)
        assert (await model.chat(ask("other"))).text

    run(work())


def test_a_shared_failure_reaches_everybody_as_their_own(serve, tmp_path):
    server = serve(latency=0.05, faults=lambda number, body: Fault("drop"))

    async def work():
        model = connect(server, cached(tmp_path / "llm.sqlite", retries=0))
        return await asyncio.gather(*(model.chat(ask()) for _ in range(3)), return_exceptions=True)

    errors = run(work())
    assert all(isinstance(error, TransportError) and error.final for error in errors)
    assert len({id(error) for error in errors}) == 3


def test_processes_share_the_file(tmp_path):
    """Eight processes open a cache that isn't there yet and write at once; all entries are there afterwards, the first of a key
    stays."""
    path = tmp_path / "deep" / "llm.sqlite"
    code = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from harness.llm import Completion
        from harness.llm.cache import Cache, Entry
        async def main(number):
            cache = Cache(Path(sys.argv[1]), "read-write")
            for key in range(40):
                await cache.put(b"shared %d" % key, "m", Entry(completion=Completion(f"{number}")))
                await cache.put(b"own %d %d" % (number, key), "m", Entry(completion=Completion(f"{number}")))
            seen = [(await cache.get(b"shared %d" % key)).completion.text for key in range(40)]
            await cache.close()
            print(" ".join(seen))
        asyncio.run(main(int(sys.argv[2])))
    """)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], stdout=subprocess.PIPE, text=True) for n in range(8)
    ]
    seen = {process.communicate(timeout=60)[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert len(seen) == 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (40 + 8 * 40,)


def filled(path):
    async def work():
        cache = Cache(path, "read-write")
        for number in range(2000):
            await cache.put(b"key %d" % number, "m", Entry(completion=Completion("text " * 20)))
        await cache.close()

    run(work())


def test_a_damaged_file_says_what_to_do(tmp_path):
    path = tmp_path / "llm.sqlite"
    path.write_bytes(b"this is no database, and long enough to look at" * 100)
    with pytest.raises(LlmError, match=r"llm.sqlite is damaged .*: delete it, or run with --cache off"):
        cached(path)
    path.unlink()
    filled(path)
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    async def read_all():
        cache = Cache(path, "read-write")
        for number in range(2000):
            await cache.get(b"key %d" % number)

    with pytest.raises(LlmError, match="damaged"):
        run(read_all())


def test_a_damaged_entry_says_what_to_do(tmp_path):
    path = tmp_path / "llm.sqlite"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET value = ? WHERE key = ?", (b'{"completion": 3}', b"key 5"))
    connection.close()
    with pytest.raises(LlmError, match="damaged"):
        run(Cache(path, "read").get(b"key 5"))


def test_foreign_and_future_files_are_left_alone(tmp_path):
    foreign = tmp_path / "photos.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    with pytest.raises(LlmError, match="a database of something else"):
        cached(foreign)
    future = tmp_path / "llm.sqlite"
    cached(future)
    with sqlite3.connect(future) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LlmError, match="format 99"):
        cached(future)
    with pytest.raises(LlmError, match="can't be used"):
        cached(tmp_path)


def test_the_default_place_is_the_users_cache(serve, tmp_path):
    run(connect(serve(), Layers(quick(cache="read-write"))).chat(ask()))
    assert (tmp_path / "user-cache" / "harness" / "llm.sqlite").is_file()
