"""A recommender inside of another: found by name, called in whatever form it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.api import Catalogue, Conversation, Recommendation, RecommenderSetup
from harness.assembly import resolve
from harness.batching import Batcher, Flow, is_async
from harness.checks import check_recommendation
from harness.config import Choice
from harness.errors import PluginError
from harness.llm.loops import PerLoop
from harness.llm.metering import add
from harness.registry import Registry

_LONGEST_TEXT = 20_000
_MAX_BATCH = 64


class Inner:
    """Resolved like any recommender that a run names, checked like its output; plain code runs in threads.

    What it says it has spent is added to the call's meter. Its state rides in the `state` of the recommender around it.
    """

    _catalogue: Catalogue

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        """Raises PluginError for an unknown name, UsageError for a wrong option."""
        self._part = resolve(Registry(), "recommender", Choice(name, dict(options)))
        self._recommender: Any = self._part.create()
        self._single: Any = getattr(self._recommender, "recommend", None)
        self._batched: Any = getattr(self._recommender, "recommend_batch", None)
        if self._single is None and self._batched is None:
            raise PluginError(f"recommender {name!r} has neither recommend() nor recommend_batch()")
        # Batches and locks belong to the loop that they are used in.
        self._batchers = PerLoop(self._batcher)
        self._locks = PerLoop(asyncio.Lock)

    def revision(self) -> dict[str, Any]:
        """Name, version, options and the recommender's own revision."""
        return self._part.revision(self._recommender)

    def prepare(self, setup: RecommenderSetup) -> None:
        """A cache folder of its own inside of the outer one's."""
        self._catalogue = setup.catalogue
        if setup.cache_dir is not None:
            setup = msgspec.structs.replace(setup, cache_dir=setup.cache_dir / "retriever")
        if hasattr(self._recommender, "prepare"):
            self._recommender.prepare(setup)

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        """Its answer for the conversation with its own state; known items only, each once.

        Raises ComponentFault for an unusable answer, and whatever it raises itself.
        """
        raw = await self._call(conversation, k)
        checked = check_recommendation(raw, self._catalogue, k, _LONGEST_TEXT).recommendation
        if checked.usage is not None:
            add(checked.usage)
        items = tuple(dict.fromkeys(i for i in checked.items if self._catalogue.get(i) is not None))
        return msgspec.structs.replace(checked, items=items, usage=None)

    async def close(self) -> None:
        if is_async(getattr(self._recommender, "close", None)):
            await self._recommender.close()

    async def _call(self, conversation: Conversation, k: int) -> Any:
        if self._batched is not None:
            flow, batcher = self._batchers.get()
            return await flow.wait(batcher.call((conversation, k)))
        if is_async(self._single):
            return await self._single(conversation, k)
        if getattr(self._recommender, "serial", False):
            async with self._locks.get():
                return await asyncio.to_thread(self._single, conversation, k)
        return await asyncio.to_thread(self._single, conversation, k)

    def _batcher(self) -> tuple[Flow, Batcher]:
        # No dialogue is announced to this flow, so it sends what has gathered as soon as the last batch is back.
        flow = Flow()
        maximum = getattr(self._recommender, "max_batch", None) or _MAX_BATCH
        return flow, Batcher(flow, self._send, maximum=maximum)

    async def _send(self, calls: list[tuple[Conversation, int]]) -> Any:
        conversations, k = [conversation for conversation, _ in calls], calls[0][1]
        if is_async(self._batched):
            return await self._batched(conversations, k)
        return await asyncio.to_thread(self._batched, conversations, k)
