"""What the recommenders that ask a language model share: options, the model, and the dialogue as their prompts show it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Protocol

import msgspec

from harness.api import Catalogue, Conversation, RecommenderSetup
from harness.errors import UsageError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest

from .. import prompting, quoting
from ..facets import noun_of

_REMEMBERED: Final = 100
"""Titles that were listed or turned down before, the latest ones, as far as a prompt names them."""
LONGEST_REASONING: Final = 20_000


PromptPath = Annotated[str, msgspec.Meta(description="path of another prompt file (TOML); empty: the one that comes with it")]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2, description="sampling temperature of the model; 0: greedy")]
MaxTokens = Annotated[
    Annotated[int, msgspec.Meta(ge=16)] | None,
    msgspec.Meta(description="tokens that an answer may have, its JSON form included; none: 300, and 24 per item asked for"),
]


class ChatOptions(Protocol):
    """What the options of every recommender that asks a language model have."""

    @property
    def prompt(self) -> str: ...
    @property
    def temperature(self) -> float: ...
    @property
    def max_tokens(self) -> int | None: ...


class ChatRecommender:
    """A recommender whose turn is one answer of a model. A subclass says which prompt it uses and what must stand in it."""

    name: ClassVar[str]
    needed: ClassVar[Mapping[str, Collection[str]]]
    """Text of the prompt -> placeholders that it must hold."""

    catalogue: Catalogue
    llm: ChatModel

    def __init__(self, options: ChatOptions, prompt: str) -> None:
        """`prompt` names the one that comes with the plugin. Raises UsageError for an unusable prompt file."""
        self.chat_options = options
        self.prompt = prompting.load(__package__, prompt, options.prompt)
        known = {"noun", "k", "dialogue", "listed", "turned_down"}.union(*self.needed.values())
        self.prompt.check(self.needed, known)

    def revision(self) -> dict[str, Any]:
        return dict(self.prompt.revision())

    def prepare(self, setup: RecommenderSetup) -> None:
        """Raises UsageError where no model was chosen."""
        self.llm = chat_model(setup, self.name)
        self.catalogue = setup.catalogue
        self.noun = noun_of(setup.catalogue)

    def request(self, conversation: Conversation, k: int, schema: Mapping[str, Any], **values: str) -> ChatRequest:
        """What the model is asked. What stays the same over the turns comes first, so that a server can use it again."""
        limit = self.chat_options.max_tokens
        values = {
            "noun": self.noun,
            "k": str(k),
            "dialogue": quoting.transcript(conversation, ("seeker", "you")),
            "listed": self._titles(listed(conversation)),
            "turned_down": self._titles(conversation.rejected),
            **values,
        }
        return ChatRequest(
            (
                ChatMessage("system", self.prompt.text("system", **values)),
                ChatMessage("user", self.prompt.text("user", **values)),
            ),
            max_tokens=300 + 24 * k if limit is None else limit,
            temperature=self.chat_options.temperature,
            seed=conversation.seed,
            schema=dict(schema),
        )

    def _titles(self, ids: Iterable[str]) -> str:
        known = [item for item in map(self.catalogue.get, ids) if item is not None]
        return quoting.listed(map(quoting.title, known[-_REMEMBERED:]), none="(nothing)")


def chat_model(setup: RecommenderSetup, name: str) -> ChatModel:
    """The model that the user chose for this role. Raises UsageError when there is none."""
    if setup.llm is None:
        raise UsageError(
            f"recommender {name} asks a language model: choose one with --rec-llm openai:MODEL (or hf:MODEL), "
            "or --llm openai:MODEL for every role"
        )
    model: ChatModel = setup.llm
    return model


def listed(conversation: Conversation) -> tuple[str, ...]:
    """Ids of earlier turns' lists that were not turned down, oldest first, without repeats."""
    turned_down = set(conversation.rejected)
    return tuple(dict.fromkeys(i for m in conversation.messages for i in m.ranked if i not in turned_down))


def schema_of(field: str, entries: Mapping[str, Any], least: int = 0) -> dict[str, Any]:
    """The JSON schema of an answer {reasoning, FIELD, text}, in the subset that servers can hold a model to. FIELD is a list of
    at least so many `entries`."""
    array: dict[str, Any] = {"type": "array", "items": dict(entries)}
    if least:
        array["minItems"] = least
    return {
        "type": "object",
        "properties": {
            "reasoning": {"type": "string"},
            field: array,
            "text": {"type": "string"},
        },
        "required": ["reasoning", field, "text"],
        "additionalProperties": False,
    }
