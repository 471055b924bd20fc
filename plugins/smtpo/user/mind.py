"""The three questions that the simulator asks its language model: judge an item, align attributes, reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness.api import Item
from harness.errors import ComponentFault
from harness.llm.api import ChatMessage, ChatModel, ChatRequest

from ...answers import unwrapped
from ...prompting import Prompt
from . import alignment
from .view import ITEM, STATE, View, Viewer

YES: Final = "Yes"
NO: Final = "No"
TEXTS: Final = ("align", "feedback", "target", "verdict", "accept")
"""What a prompt file holds."""
_CHANGING: Final = frozenset("dialogue shown summary has lacks said turn plan".split())
_SEEDS: Final = 2**31
_APART: Final = 1_000_003
ATTEMPTS: Final = 3
"""How often an alignment is asked for before its form is the simulator's fault. A tiny model breaks it once in 300 times."""
_AGAIN: Final = 0.7


def check(prompt: Prompt) -> Prompt:
    """Raises UsageError for a prompt file that lacks a text or a placeholder."""
    prompt.check({name: ("answer",) if name == "verdict" else () for name in TEXTS}, {*STATE, *ITEM, "answer"})
    return prompt


class Mind:
    """Asks. The same view gives the same questions; nothing is remembered."""

    def __init__(
        self, llm: ChatModel, prompt: Prompt, viewer: Viewer, *, temperature: float = 0.0, max_tokens: int = 160
    ) -> None:
        self._llm, self._prompt, self._viewer = llm, prompt, viewer
        self._temperature, self._max_tokens = temperature, max_tokens
        self._asked = prompt.placeholders("target") | prompt.placeholders("verdict")
        self._together = not prompt.placeholders("target") & ITEM
        """One question for all items, where the item stands in the answer's beginning; else one question per item."""
        self.steady = not self._asked & _CHANGING
        """Whether a verdict stays the same for a whole dialogue."""

    async def judge(self, view: View, items: Sequence[Item]) -> dict[str, float]:
        """Item id -> log-odds of Yes against No, in order. Raises LlmError where the model has no log-probabilities."""
        if not items:
            return {}
        state = self._viewer.state(view, self._asked)
        about = [self._viewer.item(view, item, self._asked) for item in items]
        if self._together:
            odds = await self._odds(state, {}, about)
        else:
            found = await asyncio.gather(*(self._odds(state, values, [values]) for values in about))
            odds = [value for values in found for value in values]
        return dict(zip((item.id for item in items), odds, strict=True))

    async def _odds(
        self, state: Mapping[str, str], about: Mapping[str, str], items: Sequence[Mapping[str, str]]
    ) -> list[float]:
        message = ChatMessage("user", self._prompt.text("target", **state, **about))
        # The log-probability of the item's own words is the same in both, and cancels out.
        answers = [self._prompt.text("verdict", **state, **values, answer=said) for values in items for said in (YES, NO)]
        scores = await self._llm.score((message,), answers)
        return [yes - no for yes, no in zip(scores[::2], scores[1::2], strict=True)]

    async def align(self, view: View) -> alignment.Alignment:
        """Without values that nothing in the view points to.

        Greedy; an answer of another form is drawn anew, ATTEMPTS times in all. Raises ComponentFault "empty" or "malformed" for
        the last one.
        """
        for attempt in range(ATTEMPTS - 1):
            with contextlib.suppress(ComponentFault):
                return await self._align(view, attempt)
        return await self._align(view, ATTEMPTS - 1)

    async def _align(self, view: View, attempt: int) -> alignment.Alignment:
        request = self._request(view, "align", "", _AGAIN if attempt else 0.0, alignment.schema(), attempt)
        return self._viewer.borne_out(view, alignment.parse(await self._llm.chat(request)))

    async def feedback(self, view: View, plan: str) -> str:
        """What the seeker says. Raises ComponentFault "empty"."""
        completion = await self._llm.chat(self._request(view, "feedback", plan, self._temperature))
        text = " ".join(unwrapped(completion)[0].split())
        if completion.finish == "length":
            # Cut off: what was said in whole sentences stands.
            text = text[: max(map(text.rfind, ".!?")) + 1] or text
        if not text:
            raise ComponentFault("empty", "the model answered nothing")
        return text

    def _request(
        self, view: View, task: str, plan: str, temperature: float, schema: dict[str, Any] | None = None, attempt: int = 0
    ) -> ChatRequest:
        conversation = view.conversation
        state = self._viewer.state(view, self._prompt.placeholders(task), plan)
        return ChatRequest(
            (ChatMessage("user", self._prompt.text(task, **state)),),
            max_tokens=self._max_tokens,
            temperature=temperature,
            seed=(conversation.seed + conversation.turn + attempt * _APART) % _SEEDS,
            schema=schema,
        )
