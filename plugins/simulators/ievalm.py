"""`ievalm`: the free-chat seeker of iEvaLM (Wang et al., EMNLP 2023). It is told the targets.

clean      a structured answer: it accepts by its action, and its lists, leaks and faults follow this project's protocol.
published  plain text as published: one prompt to be continued, temperature 0, 128 tokens, stop at "Recommender"; "Sorry, "
           before its own earlier replies. Whether a target was found is the harness's to say (preset ievalm-free), so the
           action is always "continue". Until a target is in the list, and before the last turn, it reads the recommender's
           text alone; then the whole list. It turns nothing down by id: the published recommenders learn from text alone.

Where this differs from the published code: its instruction is in other words (the option `prompt` takes the original); texts
stand on one line and are cut at 2,000 characters; a named target is withheld by the leak gate from everybody, where the
published code drops the sentence from the seeker's own prompt and hands it to the recommender.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from harness.api import Conversation, Feedback, Knowledge, KnowledgeLevel
from harness.errors import ComponentFault
from harness.llm.api import ChatMessage, ChatRequest

from .. import quoting
from .chat_seeker import ChatOptions, ChatSeeker

PUBLISHED_TOKENS: Final = 128
_LIST: Final = 50


class Options(ChatOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ievalm`."""

    style: Annotated[
        Literal["clean", "published"],
        msgspec.Meta(
            description="clean: structured answers; published: plain text as published, 128 tokens, never accepts by itself"
        ),
    ] = "clean"


class Ievalm(ChatSeeker):
    """See the module."""

    knowledge: KnowledgeLevel = "target_aware"
    name: ClassVar[str] = "ievalm"
    needed: ClassVar[tuple[str, ...]] = ("targets",)

    def __init__(self, options: Options | None = None) -> None:
        options = options or Options()
        self.published = options.style == "published"
        super().__init__(options, "ievalm-published.v1" if self.published else "ievalm.v1")

    def check_prompt(self) -> None:
        if not self.published:
            return super().check_prompt()
        lines = dict.fromkeys(("seeker", "recommender", "refusal"), ("text",))
        texts = {"prompt": ("targets", "dialogue"), **lines, "list": ("items",)}
        return self.prompt.check(texts, {"targets", "dialogue", "text", "items"})

    async def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        if not self.published:
            return await super().reply(conversation, knowledge)
        completion = await self.llm.chat(self.continuation(conversation, knowledge))
        text = completion.text.strip()
        if not text:
            raise ComponentFault("empty", "the model answered nothing")
        return Feedback(text, rejected=())

    def knows(self, conversation: Conversation, knowledge: Knowledge) -> Mapping[str, str]:
        targets = [item for item in map(self.catalogue.get, knowledge.targets) if item is not None]
        return {"targets": quoting.listed(map(quoting.described, targets))}

    def continuation(self, conversation: Conversation, knowledge: Knowledge) -> ChatRequest:
        """The request of the published style."""
        targets = [item for item in map(self.catalogue.get, knowledge.targets) if item is not None]
        own = len(quoting.context_of(conversation))
        lines = []
        for place, message in enumerate(conversation.messages):
            text = quoting.plain(message.text)
            if place == len(conversation.messages) - 1:
                text = self._with_list(text, conversation, knowledge)
            if text:
                name = "recommender" if message.role == "recommender" else "refusal" if place > own else "seeker"
                lines.append(self.prompt.text(name, text=text))
        prompt = self.prompt.text(
            "prompt",
            targets=", ".join(f'"{quoting.title(item)}"' for item in targets),
            dialogue="\n".join(quoting.fitting(lines)),
        )
        return ChatRequest(
            (ChatMessage("user", prompt),),
            max_tokens=min(self.options.max_tokens, PUBLISHED_TOKENS),
            temperature=self.options.temperature,
            stop=("Recommender",),
            seed=conversation.seed,
        )

    def _with_list(self, text: str, conversation: Conversation, knowledge: Knowledge) -> str:
        """The recommender's text, after its whole list once a target is in it and at the last turn."""
        ranked = conversation.messages[-1].ranked
        if conversation.turn < self.setup.max_turns and not set(ranked) & set(knowledge.targets):
            return text
        items = [item for item in map(self.catalogue.get, ranked[:_LIST]) if item is not None]
        if not items:
            return text
        listed = "".join(f"{number}: {quoting.title(item)}\n" for number, item in enumerate(items, 1))
        return self.prompt.text("list", items=listed) + text
