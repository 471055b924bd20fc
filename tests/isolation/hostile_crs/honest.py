"""Recommenders that do nothing wrong; their lists depend on everything that they see."""

import asyncio
import random

from harness import Conversation, Recommendation
from harness.llm.api import ChatMessage, ChatRequest


def answer(conversation: Conversation, k: int, count: int = 60) -> Recommendation:
    draw = random.Random(f"{conversation.seed}/{conversation.turn}/{len(conversation.messages)}")
    items = [f"m{i}" for i in draw.sample(range(count), k) if f"m{i}" not in conversation.rejected]
    state = {"calls": (conversation.state or {"calls": 0})["calls"] + 1, "last": items[:2]}
    return Recommendation(tuple(items), f"Turn {conversation.turn}, call {state['calls']}, né.", "because", state=state)


class Plain:
    def __init__(self, options: None = None) -> None:
        """No options."""

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        return answer(conversation, k)


class Batched:
    max_batch = 3

    def __init__(self, options: None = None) -> None:
        """No options."""

    def revision(self) -> dict:
        return {"weights": "abc"}

    def recommend_batch(self, conversations: list[Conversation], k: int) -> list[Recommendation]:
        if any(conversation.messages[0].text == "hello 2" for conversation in conversations):
            raise ValueError("I don't like that one")
        return [answer(conversation, k) for conversation in conversations]


class Asynchronous:
    def __init__(self, options: None = None) -> None:
        self.closed = 0

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        await asyncio.sleep(0.001)
        if conversation.messages[0].text == "hello 4":
            return None
        return answer(conversation, k)

    async def close(self) -> None:
        self.closed += 1


class Chatty:
    """Asks its language model."""

    def __init__(self, options: None = None) -> None:
        """No options."""

    def prepare(self, setup) -> None:
        self.llm = setup.llm

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        first = await self.llm.chat(ChatRequest((ChatMessage("user", conversation.messages[-1].text),), seed=conversation.seed))
        return Recommendation(answer(conversation, k).items, first.text)


class Spender(Chatty):
    """Asks without end, and never says that the purse is empty."""

    async def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        for _ in range(50):
            try:
                await self.llm.chat(ChatRequest((ChatMessage("user", conversation.messages[-1].text),)))
            except BaseException:
                continue
        return answer(conversation, k)
