"""`llm-zeroshot`: a language model names titles from what it knows; they are grounded to the catalogue afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, ClassVar

import msgspec

from harness.api import Conversation, Item, Recommendation, RecommenderSetup
from harness.grounding import THRESHOLD, Grounder

from . import naming
from .chatting import ChatRecommender, MaxTokens, PromptPath, Temperature, schema_of
from .evidence import ListOptions, excluded_ids
from .reply import reply


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model is asked, how titles are grounded, and what may be listed."""

    threshold: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=100,
            description="least similarity, in percent, of a title that is not spelled as in the catalogue; 100: none is taken",
        ),
    ] = THRESHOLD
    prompt: PromptPath = ""
    temperature: Temperature = 0.0
    max_tokens: MaxTokens = None


class LlmZeroshot(ChatRecommender):
    """Names k titles per turn, without seeing the catalogue.

    A title that no item of the catalogue clearly fits stays in the list as "ooc:TITLE", where it counts as out of catalogue
    at its rank. Items that must not be listed (`exclude_rejected`, `exclude_mentioned`) are left out, unless no other item is
    named, and so are repeats. A text without titles is a question, a turn without a recommendation; what is neither JSON nor
    a numbered list is malformed.
    """

    name = "llm-zeroshot"
    needed: ClassVar[Mapping[str, Collection[str]]] = {"system": ("k",), "user": ("dialogue",)}
    _grounder: Grounder

    def __init__(self, options: Options) -> None:
        super().__init__(options, "llm-zeroshot.v1")
        self._options = options
        self._schema = schema_of("titles", {"type": "string"})

    def prepare(self, setup: RecommenderSetup) -> None:
        super().prepare(setup)
        self._grounder = Grounder(setup.catalogue, setup.training, self._options.threshold)

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        answer = naming.read(await self.llm.chat(self.request(conversation, k, self._schema)))
        named = tuple(dict.fromkeys(self._grounder.ground(title) for title in answer.titles))
        excluded = excluded_ids(conversation, self._options)
        items = tuple(item_id for item_id in named if item_id not in excluded)
        if not self._known(items):
            # Titles that were named before are in the catalogue: without them the list would look as if none was.
            items = named
        known = self._known(items[:k])
        return Recommendation(items[:k], answer.text or (reply(known) if known else ""), reasoning=answer.reasoning)

    def _known(self, ids: Iterable[str]) -> list[Item]:
        return [item for item in map(self.catalogue.get, ids) if item is not None]
