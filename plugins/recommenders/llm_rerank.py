"""`llm-rerank`: any recommender finds candidates, a language model puts them into order."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final

import msgspec

from harness.api import Conversation, Item, Recommendation, RecommenderSetup
from harness.llm.api import Completion

from .. import quoting
from ..answers import decoded, malformed, unwrapped
from .chatting import (
    LONGEST_REASONING,
    ChatRecommender,
    MaxTokens,
    PromptPath,
    Temperature,
    schema_of,
)
from .inner import Inner
from .reply import reply

_MOST: Final = 1000
_REMEMBERED: Final = 8_192
_VALUES: Final = 3
"""Values of a facet that a candidate's line shows."""
_ID: Final = re.compile(r"\s*\[?\s*[Cc]?0*(\d{1,4})\s*\]?\s*")
_BARE: Final = re.compile(r"[\s,;>\[\]Cc\d]+")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where candidates come from and how the model is asked. What may be listed is the retriever's to say."""

    retriever: Annotated[str, msgspec.Meta(description="the recommender that finds the candidates, by name")] = "hybrid"
    retriever_options: Annotated[
        dict[str, Any], msgspec.Meta(description="its options as a JSON object; what it isn't told is its default")
    ] = msgspec.field(default_factory=dict)
    candidates: Annotated[int, msgspec.Meta(ge=1, le=500, description="items that the model is shown")] = 20
    shuffle: Annotated[
        bool, msgspec.Meta(description="show them in an order drawn by the seed, since models favour places; false: best first")
    ] = True
    prompt: PromptPath = ""
    temperature: Temperature = 0.0
    max_tokens: MaxTokens = None


class _Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ranking: Annotated[tuple[str | int, ...], msgspec.Meta(max_length=_MOST)]
    text: str = ""
    reasoning: str | None = None


class LlmRerank(ChatRecommender):
    """The retriever's candidates in the model's order.

    Candidates that the model doesn't name follow in the retriever's order, so the list is never shorter than the retriever's;
    identifiers that are no candidate's are left out. Where fewer were ranked than the list holds, `reasoning` says so. An
    answer without a single candidate is malformed. Nothing is asked where the retriever finds nothing.
    """

    name = "llm-rerank"
    needed: ClassVar[Mapping[str, Collection[str]]] = {"system": ("k",), "user": ("dialogue", "candidates")}

    def __init__(self, options: Options) -> None:
        super().__init__(options, "llm-rerank.v1")
        self._options = options
        self._retriever = Inner(options.retriever, options.retriever_options)

    def revision(self) -> dict[str, Any]:
        return {**super().revision(), "retriever": self._retriever.revision()}

    def prepare(self, setup: RecommenderSetup) -> None:
        super().prepare(setup)
        # The same items are candidates again and again, and to quote one takes as long as all the rest of a call.
        catalogue = setup.catalogue
        self._described = lru_cache(maxsize=_REMEMBERED)(lambda item_id: _described(catalogue[catalogue.position(item_id)]))
        self._retriever.prepare(msgspec.structs.replace(setup, k=max(setup.k, self._options.candidates)))

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        found = await self._retriever.recommend(conversation, max(k, self._options.candidates))
        best_first = [item for item in map(self.catalogue.get, found.items) if item is not None]
        candidates = best_first[: self._options.candidates]
        if not candidates:
            return Recommendation(text=found.text, reasoning=found.reasoning, state=found.state)
        if self._options.shuffle:
            random.Random(f"{conversation.seed} {conversation.turn} candidates").shuffle(candidates)
        asked = min(k, len(candidates))
        lines = (f"[{_identifier(n)}] {self._described(item.id)}" for n, item in enumerate(candidates, 1))
        values = {"candidates": "\n".join(lines)}
        identifiers = {"type": "string", "enum": [_identifier(number) for number in range(1, len(candidates) + 1)]}
        completion = await self.llm.chat(
            self.request(conversation, asked, schema_of("ranking", identifiers, least=1), **values)
        )
        ranking, text, reasoning = _read(completion, len(candidates))
        chosen = [candidates[number - 1] for number in ranking]
        items = list({item.id: item for item in (*chosen, *best_first)}.values())[:k]
        if len(chosen) < asked:
            left = f"({len(chosen)} of {asked} ranked by the model; the rest as {self._options.retriever} has it)"
            reasoning = f"{reasoning}\n{left}" if reasoning else left
        return Recommendation(
            tuple(item.id for item in items), text or reply(items), reasoning=reasoning or None, state=found.state
        )

    async def close(self) -> None:
        await self._retriever.close()


def _identifier(number: int) -> str:
    return f"C{number:02d}"


def _described(item: Item) -> str:
    """ "Alien (1979) | genre: horror, science fiction | director: Ridley Scott"."""
    facets = (quoting.facts({facet: values}, _VALUES) for facet, values in item.attributes.items() if values)
    return " | ".join((quoting.title(item), *facets))


def _read(completion: Completion, count: int) -> tuple[list[int], str, str]:
    """(numbers of the candidates, text, reasoning) of {"ranking": [...], ...}, of a JSON list, or of "C03 > C01 > ...".

    Raises ComponentFault "empty" or "malformed".
    """
    answer, reasoning = unwrapped(completion)
    text = ""
    named: Sequence[str | int]
    if answer.startswith("{"):
        parsed = decoded(completion, _Object)
        named, text, reasoning = parsed.ranking, parsed.text.strip(), parsed.reasoning or reasoning
    elif _BARE.fullmatch(answer):
        named = re.findall(r"\d+", answer)[:_MOST]
    else:
        named = decoded(completion, list[str | int])[:_MOST]
    numbers = [int(match[1]) for entry in named if (match := _ID.fullmatch(str(entry)))]
    valid = list(dict.fromkeys(number for number in numbers if 1 <= number <= count))
    if not valid:
        raise malformed(completion, "it names no candidate")
    return valid, text, reasoning[:LONGEST_REASONING]
