"""What the seekers that ask a language model share: the prompt, the request, and the structured answer.

A seeker renders (conversation, knowledge) into one request; the same dialogue gives the same request. The conversation's seed
goes with it, which differs when the protocol tries a faulty answer again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec

from harness.api import Conversation, Feedback, Item, Knowledge, KnowledgeLevel, SimulatorSetup
from harness.errors import UsageError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest

from .. import prompting, quoting
from ..facets import noun_of
from .structured import Values, feedback, parse, schema

_ALWAYS: Final = frozenset(("noun", "dialogue", "shown", "turn", "turns", "lists"))


class ChatOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of every seeker that asks a language model."""

    prompt: Annotated[
        str, msgspec.Meta(description="path of another prompt file (TOML); empty: the one that comes with it")
    ] = ""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2, description="sampling temperature of the model; 0: greedy")] = 0.0
    max_tokens: Annotated[int, msgspec.Meta(ge=16, description="tokens that an answer may have, its JSON form included")] = 384
    show: Annotated[int, msgspec.Meta(ge=1, description="items of a list that the seeker looks at, from the top")] = 10


class ChatSeeker:
    """A seeker with a structured answer. A subclass says which prompt it uses and fills in what it knows."""

    knowledge: KnowledgeLevel = "profile"
    name: ClassVar[str]
    needed: ClassVar[tuple[str, ...]] = ()
    """Placeholders that the prompt's system text must hold."""
    known: ClassVar[tuple[str, ...]] = ()
    """Placeholders that it may hold, beside those."""

    def __init__(self, options: ChatOptions, prompt: str) -> None:
        """`prompt` names the one that comes with the plugin. Raises UsageError for an unusable prompt file."""
        self.options = options
        self.prompt = prompting.load(__package__, prompt, options.prompt)
        self.check_prompt()

    def check_prompt(self) -> None:
        """Raises UsageError where the prompt file lacks something."""
        texts = {"system": self.needed, "user": ("dialogue", "shown")}
        self.prompt.check(texts, {*_ALWAYS, *self.needed, *self.known})

    def revision(self) -> dict[str, Any]:
        return self.prompt.revision()

    def prepare(self, setup: SimulatorSetup) -> None:
        """Raises UsageError where no model was chosen."""
        self.llm = chat_model(setup, self.name)
        self.setup, self.catalogue = setup, setup.catalogue
        self._values = Values(setup.catalogue)
        self._noun = noun_of(setup.catalogue)
        self._schema = schema()

    async def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        shown = self.looked_at(conversation)
        completion = await self.llm.chat(self.request(conversation, knowledge))
        return feedback(parse(completion), [item.id for item in shown], self._values)

    def request(self, conversation: Conversation, knowledge: Knowledge) -> ChatRequest:
        """What the model is asked in this turn. What stays the same comes first, so that a server can use it again."""
        values = {
            "noun": self._noun,
            "dialogue": quoting.transcript(conversation, ("you", "recommender")),
            "shown": quoting.numbered(self.looked_at(conversation)),
            "turn": str(conversation.turn),
            "turns": str(self.setup.max_turns),
            "lists": str(_lists(conversation)),
            **self.knows(conversation, knowledge),
        }
        return ChatRequest(
            (
                ChatMessage("system", self.prompt.text("system", **values)),
                ChatMessage("user", self.prompt.text("user", **values)),
            ),
            max_tokens=self.options.max_tokens,
            temperature=self.options.temperature,
            seed=conversation.seed,
            schema=self._schema,
        )

    def knows(self, conversation: Conversation, knowledge: Knowledge) -> Mapping[str, str]:
        """The placeholders that tell what this seeker knows."""
        raise NotImplementedError

    def looked_at(self, conversation: Conversation) -> list[Item]:
        """The top of the list that is shown in this turn."""
        ranked = conversation.messages[-1].ranked if conversation.messages else ()
        items = (self.catalogue.get(item_id) for item_id in dict.fromkeys(ranked))
        return [item for item in items if item is not None][: self.options.show]


def chat_model(setup: SimulatorSetup, name: str) -> ChatModel:
    """The model that the user chose for this role. Raises UsageError when there is none."""
    if setup.llm is None:
        raise UsageError(
            f"simulator {name} asks a language model: choose one with --sim-llm openai:MODEL (or hf:MODEL), "
            "or --llm openai:MODEL for every role"
        )
    model: ChatModel = setup.llm
    return model


def _lists(conversation: Conversation) -> int:
    """How many lists were shown in this dialogue, the context aside."""
    before = len(quoting.context_of(conversation))
    return sum(bool(message.ranked) for message in conversation.messages[before:])
