"""Texts -> vectors: by a sentence-transformers model on this machine, or by an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Usage
from harness.errors import LlmError, TransportError, UsageError, described
from harness.llm.metering import add

Vectors = NDArray[np.float32]
_FILES: Final = ("*.json", "*.safetensors", "*.txt", "*.model")
_MISSING: Final = (
    "recommender llm-embed needs the package sentence-transformers for a local model: pip install 'crs-harness[embed]', "
    "or take a server's embeddings: model=openai:MODEL"
)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class Embedder(Protocol):
    """`many` is called once, before the run; `one` from the run's loop. Rows have length 1 (or 0, for a text of nothing)."""

    def revision(self) -> dict[str, Any]:
        """What identifies the vectors."""
        ...

    def many(self, texts: Sequence[str]) -> Vectors: ...

    async def one(self, text: str) -> Vectors: ...

    async def close(self) -> None: ...


def normalised(vectors: Any, count: int, source: str) -> Vectors:
    """`count` rows of length 1. Raises ValueError where that isn't what the model gave."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        rows = np.array(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != count or not np.isfinite(rows).all():
        raise ValueError(f"{source} gave no usable vectors: {rows.shape} for {count} texts, or numbers that aren't finite")
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.asarray(rows / lengths, dtype=np.float32)


class SentenceModel:
    """A folder, or a name on the hub, of the library sentence-transformers.

    Queries are computed one at a time, so that no vector depends on its company; the catalogue in batches of a fixed order.
    Only safetensors are read, and no code of a model's repository is run.
    """

    def __init__(self, name: str, *, revision: str | None, device: str | None, batch: int) -> None:
        self._name, self._commit, self._device, self._batch = name, revision, device, batch
        self._folder: Path | None = None
        self._model: Any = None
        self._one_at_a_time = threading.Lock()

    def revision(self) -> dict[str, Any]:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise UsageError(_MISSING)
        return {"backend": "sentence-transformers", "weights": self._digest(self._files())}

    def many(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts)

    async def one(self, text: str) -> Vectors:
        vector: Vectors = (await asyncio.to_thread(self._encode, [text]))[0]
        return vector

    async def close(self) -> None:
        """Nothing is open."""

    def _encode(self, texts: Sequence[str]) -> Vectors:
        with self._one_at_a_time:  # fast tokenizers can't be used by two threads
            if self._model is None:
                self._model = self._load()
            rows = self._model.encode(list(texts), batch_size=self._batch, show_progress_bar=False, convert_to_numpy=True)
        return normalised(rows, len(texts), f"model {self._name}")

    def _load(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise UsageError(f"{_MISSING} ({described(error, 200)})") from None
        try:
            return SentenceTransformer(
                str(self._files()),
                device=self._device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise UsageError(f"model {self._name} can't be loaded by sentence-transformers: {described(error, 300)}") from None

    def _files(self) -> Path:
        if self._folder is None:
            path = Path(self._name).expanduser()
            self._folder = path.resolve() if path.is_dir() else self._snapshot()
        return self._folder

    def _snapshot(self) -> Path:
        """The hub's files; those in the local cache are used as they are."""
        from huggingface_hub import snapshot_download

        wanted: dict[str, Any] = {"revision": self._commit, "allow_patterns": list(_FILES)}
        try:
            try:
                return Path(snapshot_download(self._name, local_files_only=True, **wanted))
            except (OSError, ValueError):
                return Path(snapshot_download(self._name, **wanted))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"model {self._name}: there is no such folder, and the hub doesn't give it ({described(error, 200)}); "
                "give a folder, a name on the hub, or openai:MODEL"
            ) from None

    def _digest(self, folder: Path) -> str:
        if _COMMIT.fullmatch(folder.name) and folder.parent.name == "snapshots":
            return folder.name
        whole = hashlib.sha256()
        for file in sorted(p for pattern in _FILES for p in folder.rglob(pattern) if p.is_file()):
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            whole.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
        return whole.hexdigest()


class _Vector(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _Spent(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Vector]
    usage: _Spent | None = None


class Endpoint:
    """POST {base_url}/embeddings. What a call has cost goes to the meter of the call that asked, one call per request."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        key_env: str,
        dimensions: int | None,
        batch: int,
        price: float,
        timeout: float,
    ) -> None:
        """Raises UsageError for a bad address, LlmError without a key where one is needed."""
        from harness.llm.openai_client import Clients
        from harness.llm.openai_options import Options, address_of, key_for

        options = Options(base_url=base_url, key_env=key_env)
        self._client = Clients().of(address_of(options), key_for(options, address_of(options)), options)
        self._model, self._key_env, self._dimensions = model, key_env, dimensions
        self._batch, self._price, self._timeout = batch, price, timeout

    def revision(self) -> dict[str, Any]:
        return {"backend": "openai", "model": self._model}

    def many(self, texts: Sequence[str]) -> Vectors:
        """In batches, one after the other; a failed transport is tried again. Nothing of it is in a dialogue's usage."""
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(asyncio.run(self._all(texts)))
            except Exception as error:  # noqa: BLE001  it is raised again below
                outcome.append(error)

        thread = threading.Thread(target=work, name="embed")  # the caller's thread may run a loop already
        thread.start()
        thread.join()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        vectors: Vectors = outcome[0]
        return vectors

    async def one(self, text: str) -> Vectors:
        vectors, usage = await self._ask([text])
        add(usage)
        row: Vectors = vectors[0]
        return row

    async def close(self) -> None:
        await self._client.close()

    async def _all(self, texts: Sequence[str]) -> Vectors:
        parts = []
        try:
            for start in range(0, len(texts), self._batch):
                vectors, _ = await self._persist(texts[start : start + self._batch])
                parts.append(vectors)
        finally:
            await self.close()
        if len({part.shape[1] for part in parts}) > 1:
            raise LlmError(f"{self._client.address} gave vectors of different lengths for one model")
        return np.concatenate(parts)

    async def _persist(self, texts: Sequence[str], tries: int = 6) -> tuple[Vectors, Usage]:
        pause = 0.5
        for left in reversed(range(tries)):
            try:
                return await self._ask(texts)
            except TransportError as error:
                if not left:
                    raise LlmError(f"the catalogue could not be embedded: {described(error)} (after {tries} tries)") from error
                await asyncio.sleep(min(error.retry_after if error.retry_after is not None else pause, 60.0))
                pause *= 2
        raise LlmError("no try was allowed")

    async def _ask(self, texts: Sequence[str]) -> tuple[Vectors, Usage]:
        body: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        raw = await self._client.post("/embeddings", body, self._timeout, key_env=self._key_env)
        try:
            answer = msgspec.convert(raw, _Answer)
        except msgspec.ValidationError as error:
            raise TransportError(f"{self._client.address} sent JSON that isn't a list of embeddings: {error}") from None
        rows = sorted(answer.data, key=lambda vector: vector.index)
        if [row.index for row in rows] != list(range(len(texts))) or len({len(row.embedding) for row in rows}) != 1:
            raise TransportError(f"{self._client.address} sent {len(rows)} embeddings for {len(texts)} texts")
        tokens = answer.usage.prompt_tokens if answer.usage is not None else 0
        usage = Usage(calls=1, prompt_tokens=max(0, tokens), cost=max(0, tokens) * self._price / 1e6)
        return normalised([row.embedding for row in rows], len(texts), self._client.address), usage
