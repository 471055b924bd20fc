"""`llm-embed`: dense retrieval. Items and the dialogue are embedded by one model; the nearest items are listed."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from harness.api import Catalogue, Conversation, Item, Recommendation, RecommenderSetup
from harness.errors import LlmError, UsageError
from harness.paths import user_cache

from .. import quoting
from .embedders import Embedder, Endpoint, SentenceModel, Vectors
from .evidence import ListOptions, evidence, excluded_ids, known_rows
from .reply import QUESTION, reply, title_with_year
from .topk import Scores, top_k
from .training import popularity_order

_log = logging.getLogger("harness.recommenders")
_OPENAI: Final = "openai:"


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model, and which text of items and dialogues it gets."""

    model: Annotated[
        str, msgspec.Meta(description="a sentence-transformers model, folder or name on the hub; or openai:MODEL of a server")
    ] = "sentence-transformers/all-MiniLM-L6-v2"
    revision: Annotated[str | None, msgspec.Meta(description="commit or branch of a model of the hub")] = None
    device: Annotated[str | None, msgspec.Meta(description="of a local model: cpu, cuda, ...; none: what there is")] = None
    base_url: Annotated[
        str | None, msgspec.Meta(description="of openai:MODEL: the server, up to /v1; none: $OPENAI_BASE_URL, else OpenAI's")
    ] = None
    key_env: Annotated[
        str, msgspec.Meta(description="of openai:MODEL: the environment variable with the key; none: no key is sent")
    ] = "OPENAI_API_KEY"
    dimensions: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="of openai:MODEL: length of the vectors, where the model can choose"),
    ] = None
    price: Annotated[float, msgspec.Meta(ge=0, description="of openai:MODEL: dollars per million tokens, for the records")] = (
        0.0
    )
    query_prefix: Annotated[str, msgspec.Meta(description='put before a dialogue ("query: " for E5, say)')] = ""
    item_prefix: Annotated[str, msgspec.Meta(description='put before an item ("passage: " for E5, say)')] = ""
    dialogue: Annotated[int, msgspec.Meta(ge=1, description="characters of the dialogue that are embedded, its last ones")] = (
        1000
    )
    item: Annotated[int, msgspec.Meta(ge=1, description="characters of an item's description that are embedded")] = 1000
    batch: Annotated[int, msgspec.Meta(ge=1, le=2048, description="items that are embedded at a time")] = 64


class LlmEmbed:
    """Cosine similarity between the dialogue and each item, searched exhaustively.

    An item is its title, year, attributes and text; the dialogue is the messages that tell about the seeker, the newest last,
    without what the recommender under test has said itself. Equal scores, those of items with the same description, come
    most mentioned in training first, then in catalogue order. Item vectors are computed once and kept in the cache folder
    under the hash of model and texts.
    """

    _catalogue: Catalogue

    def __init__(self, options: Options) -> None:
        """Raises UsageError or LlmError with what to set."""
        self._options = options
        self._embedder = _embedder(options)

    def revision(self) -> dict[str, Any]:
        return self._embedder.revision()

    def prepare(self, setup: RecommenderSetup) -> None:
        """Embed the catalogue, or find its vectors in the cache."""
        self._catalogue = setup.catalogue
        self._order = popularity_order(setup.catalogue, setup.training)
        texts = [self._options.item_prefix + describe(item)[: self._options.item] for item in setup.catalogue]
        # A description that several items share gets one vector: what is equal must score equally, to the last bit.
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        self._row_of = np.array([rows[text] for text in texts], dtype=np.int64)
        identity = [self._embedder.revision(), self._options.base_url, self._options.dimensions, list(rows)]
        name = hashlib.sha256(msgspec.json.encode(identity, order="deterministic")).hexdigest()
        self._file = (setup.cache_dir or user_cache() / "embeddings") / f"{name}.npz"
        self._vectors = kept(self._file, len(rows), lambda: self._embed(list(rows)))

    def _embed(self, texts: Sequence[str]) -> Vectors:
        _log.info("embedding %d items with %s", len(texts), self._options.model)
        return self._embedder.many(texts)

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        query = self.query(conversation)
        if not query:
            return Recommendation(text=QUESTION)
        vector = await self._embedder.one(self._options.query_prefix + query)
        if vector.shape != self._vectors.shape[1:]:
            raise LlmError(
                f"{self._options.model} gives {len(vector)} numbers for a dialogue and gave {self._vectors.shape[1]} "
                f"for an item: it is another model than before; delete {self._file}"
            )
        scores: Scores = (self._vectors @ vector)[self._row_of].astype(np.float64)
        scores[known_rows(self._catalogue, excluded_ids(conversation, self._options))] = -np.inf
        best = self._order[top_k(scores[self._order], k)]
        items = [self._catalogue[row] for row in best]
        if not items:
            return Recommendation(text=QUESTION)
        return Recommendation(tuple(item.id for item in items), reply(items), scores=tuple(scores[best].tolist()))

    async def close(self) -> None:
        await self._embedder.close()

    def query(self, conversation: Conversation) -> str:
        """The end of what tells about the seeker, one message per line."""
        lines = [" ".join(message.text.split()) for message, _ in evidence(conversation)]
        return "\n".join(quoting.fitting([line for line in lines if line], self._options.dialogue))[-self._options.dialogue :]


def describe(item: Item) -> str:
    """ "Alien (1979). genre: horror, science fiction; director: Ridley Scott. A crew ..."."""
    parts = (title_with_year(item), quoting.facts(item.attributes), " ".join(item.text.split()))
    return ". ".join(part for part in parts if part)


def kept(file: Path, count: int, compute: Callable[[], Vectors]) -> Vectors:
    """The vectors of that file; computed and written where it is missing or unusable. A folder that can't be written to is
    said so and does no harm."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            found: Vectors = archive["vectors"]
        if found.dtype == np.float32 and found.ndim == 2 and len(found) == count:
            return found
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    vectors = compute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Another process may write the same file: whoever is last replaces a whole one by an equal one.
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            np.savez(part, vectors=vectors)
        os.replace(part.name, file)  # noqa: PTH105
    except OSError as error:
        _log.warning("the item vectors could not be kept in %s: %s", file.parent, error)
    return vectors


def _embedder(options: Options) -> Embedder:
    if not options.model.startswith(_OPENAI):
        return SentenceModel(options.model, revision=options.revision, device=options.device, batch=options.batch)
    model = options.model.removeprefix(_OPENAI).strip()
    if not model:
        raise UsageError("recommender llm-embed: write the model as openai:MODEL, model=openai:text-embedding-3-small")
    return Endpoint(
        model,
        base_url=options.base_url,
        key_env=options.key_env,
        dimensions=options.dimensions,
        batch=options.batch,
        price=options.price,
        timeout=60.0,
    )
