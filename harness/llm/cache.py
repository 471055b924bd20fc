"""Answers on disk: the exact request and the model's revision -> the response. One SQLite file that processes share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from harness.api import Usage
from harness.errors import LlmError, RefusedError, TransportError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion, Scores
from harness.llm.loops import PerLoop, Together

CacheMode = Literal["off", "read", "read-write"]

T = TypeVar("T")

_FORMAT = 1
_APPLICATION = 0x63727368
"""SQLite's application_id; tells a cache from other people's databases ("crsh")."""
_PATIENCE = 30.0
"""Seconds to wait for another process that writes."""
_HIT = Usage(cache_hits=1)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stored outcome: an answer, scores, or a refusal, which is an answer too. `usage` is what it cost when it was made."""

    completion: Completion | None = None
    scores: tuple[float, ...] | None = None
    refused: str | None = None
    usage: Usage = Usage()


class Cache:
    """The file. All access is in one thread of its own, so that a slow disk or a busy neighbour never holds up the loop."""

    def __init__(self, path: Path, mode: CacheMode) -> None:
        """Opens the file and looks whether it is one of ours. Raises LlmError with what to do."""
        self.path, self.mode = path, mode
        self.hits = 0
        self.misses = 0
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._together = PerLoop(lambda: Together(self._perform))
        self._guarded(self._open).close()

    async def get(self, key: bytes) -> Entry | None:
        """The stored outcome, or None. Raises LlmError if the file is damaged."""
        value = await self._run(lambda connection: _first(connection, "SELECT value FROM answers WHERE key = ?", key))
        if value is None:
            self.misses += 1
            return None
        try:
            entry = msgspec.json.decode(value, type=Entry)
        except (msgspec.DecodeError, TypeError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None
        self.hits += 1
        return entry

    async def put(self, key: bytes, model: str, entry: Entry) -> None:
        """Store an outcome. The first one stays, so that all processes go on with the same."""
        row = (key, model, msgspec.json.encode(entry), time.time())
        await self._run(lambda connection: connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row))

    async def close(self) -> None:
        """Close the file; it is opened again when it is needed again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._together.get().ask(work)

    async def _perform(self, works: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="harness-llm-cache")
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: [self._outcome(work) for work in works])

    def _outcome(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            return self._guarded(lambda: work(self._opened()))
        except LlmError as error:
            return error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self.mode == "read":
            return self._open_to_read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # WAL: readers never wait for a writer. NORMAL: an answer may be lost with the machine's power, never the file.
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        if not _first(connection, "SELECT count(*) FROM sqlite_master"):
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.execute(
                "CREATE TABLE answers (key BLOB PRIMARY KEY, model TEXT NOT NULL, value BLOB NOT NULL, made REAL NOT NULL)"
                " WITHOUT ROWID"
            )
        connection.execute("COMMIT")
        self._recognise(connection)

    def _open_to_read(self) -> sqlite3.Connection:
        if not self.path.is_file():
            raise LlmError(f"--cache read: there is no response cache {self.path}; fill it with --cache read-write first")
        address = self.path.resolve().as_uri()
        # On a medium that can't be written, SQLite can read a WAL database only if it is told that nobody changes it.
        for query in ("?mode=ro", "?immutable=1"):
            connection = sqlite3.connect(address + query, uri=True, timeout=_PATIENCE, isolation_level=None)
            try:
                self._recognise(connection)
                return connection
            except sqlite3.OperationalError:
                connection.close()
                if query == "?immutable=1":
                    raise
            except BaseException:
                connection.close()
                raise
        raise AssertionError("unreachable")

    def _recognise(self, connection: sqlite3.Connection) -> None:
        application = _first(connection, "PRAGMA application_id")
        version = _first(connection, "PRAGMA user_version")
        if application != _APPLICATION:
            raise LlmError(f"{self.path} is a database of something else, not a response cache: name another with --cache-file")
        if version != _FORMAT:
            raise LlmError(f"{self.path} was written by another version (format {version}, not {_FORMAT}): name another file")
        _first(connection, "SELECT key FROM answers LIMIT 1")

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise LlmError(f"the response cache {self.path} was locked by another process for {_PATIENCE:g} s") from None
            if "malformed" in str(error) or "no such table" in str(error):
                raise self._damaged(error) from None
            raise self._unusable(error) from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> LlmError:
        return LlmError(f"the response cache {self.path} can't be used ({error}): another --cache-file, or --cache off")

    def _damaged(self, error: Exception) -> LlmError:
        return LlmError(f"the response cache {self.path} is damaged ({error}): delete it, or run with --cache off")


class Cached:
    """A model that is only asked what the cache doesn't know. Equal requests that are under way at one time share one answer.

    `address` tells servers apart that serve different weights under one name; it is in the key, not in any record.
    """

    def __init__(self, inner: ChatModel, cache: Cache, *, address: str = "") -> None:
        self._inner, self._cache, self._address = inner, cache, address
        self.name = inner.name
        self._prefix: bytes | None = None
        self._running: PerLoop[dict[bytes, _Shared]] = PerLoop(dict)

    async def chat(self, request: ChatRequest) -> Completion:
        async def ask() -> Entry:
            answer = await self._inner.chat(request)
            return Entry(completion=answer, usage=answer.usage)

        entry, usage = await self._entry(self._key("chat", request), ask)
        if entry.completion is None:
            raise RefusedError(entry.refused or "refused", usage=usage)
        return msgspec.structs.replace(entry.completion, usage=usage)

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        async def ask() -> Entry:
            values = await self._inner.score(messages, continuations)
            return Entry(scores=tuple(values), usage=getattr(values, "usage", Usage()))

        entry, usage = await self._entry(self._key("score", (messages, continuations)), ask)
        if entry.scores is None:
            raise RefusedError(entry.refused or "refused", usage=usage)
        return Scores(entry.scores, usage)

    def revision(self) -> dict[str, Any]:
        return self._inner.revision()

    async def close(self) -> None:
        await self._inner.close()
        await self._cache.close()

    def _key(self, kind: str, what: Any) -> bytes:
        if self._prefix is None:
            self._prefix = msgspec.json.encode([_FORMAT, self._inner.revision(), self._address], order="deterministic")
        material = self._prefix + kind.encode() + msgspec.json.encode(what, order="deterministic")
        return hashlib.sha256(material).digest()

    async def _entry(self, key: bytes, ask: Callable[[], Awaitable[Entry]]) -> tuple[Entry, Usage]:
        """The outcome, and what it cost this time."""
        running = self._running.get()
        shared = running.get(key)
        if shared is not None and not shared.abandoned:
            try:
                entry, _ = await shared.wait()
            except TransportError as error:  # each caller's own, because callers note on an error what it cost them
                raise TransportError(str(error), retry_after=error.retry_after, final=error.final) from error
            self._cache.hits += 1
            return entry, _HIT
        running[key] = shared = _Shared(self._find(key, ask))
        shared.task.add_done_callback(lambda _: running.pop(key) if running.get(key) is shared else None)
        return await shared.wait()

    async def _find(self, key: bytes, ask: Callable[[], Awaitable[Entry]]) -> tuple[Entry, Usage]:
        entry = await self._cache.get(key)
        if entry is not None:
            return entry, _HIT
        try:
            entry = await ask()
        except RefusedError as error:
            entry = Entry(refused=str(error), usage=error.usage if isinstance(error.usage, Usage) else Usage())
        if self._cache.mode == "read-write":
            await self._cache.put(key, self.name, entry)
        return entry, entry.usage


class _Shared:
    """Work that several callers wait for. A caller that is cancelled leaves it to the others; the last one takes it along."""

    def __init__(self, work: Any) -> None:
        self.task: asyncio.Task[tuple[Entry, Usage]] = asyncio.ensure_future(work)
        self._callers = 0
        self.abandoned = False

    async def wait(self) -> tuple[Entry, Usage]:
        self._callers += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._callers -= 1
            if not self._callers and not self.task.done():
                self.abandoned = True
                self.task.cancel()


def _first(connection: sqlite3.Connection, statement: str, *values: Any) -> Any:
    row = connection.execute(statement, values).fetchone()
    return None if row is None else row[0]


def _patiently(work: Callable[[], object]) -> None:
    """SQLite doesn't wait for others when a file becomes WAL; two processes that open a new cache at once do this."""
    until = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(sqlite3.OperationalError):
            work()
            return
        if time.monotonic() > until:
            work()
        time.sleep(0.01)
