"""Language models for these tests: the project's own scripted one, with its answers in a file, and one that keeps what it was
asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from small_world import FILMS, build

from harness import Catalogue, Conversation, Recommendation, RecommenderSetup, TrainingDialogue
from harness.llm.api import ChatMessage, ChatModel, ChatRequest, Completion
from harness.llm.build import build as build_model
from harness.llm.layers import Layers


class Keeps:
    """Gives its answers in turn, the last one for ever, and keeps the requests."""

    name = "test:keeps"

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.requests: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> Completion:
        self.requests.append(request)
        return Completion(self.answers[min(len(self.requests), len(self.answers)) - 1])

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        raise NotImplementedError

    def revision(self) -> dict[str, Any]:
        return {"model": self.name}

    async def close(self) -> None:
        pass

    @property
    def prompt(self) -> str:
        """All that the last request shows."""
        return "\n".join(message.content for message in self.requests[-1].messages)


def scripted(path: Path, *lines: dict[str, Any]) -> ChatModel:
    """The `scripted:` backend over these lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return build_model(f"scripted:{path}", {}, Layers())


def ready(
    name: str, llm: Any, training: Sequence[TrainingDialogue] = (), catalogue: Catalogue = FILMS, k: int = 5, **options: Any
) -> Any:
    """A recommender after `prepare`."""
    recommender = build(name, **options)
    recommender.prepare(RecommenderSetup(catalogue, training, k, 3, None, llm))
    return recommender


def turn(recommender: Any, conversation: Conversation, k: int = 5) -> Recommendation:
    """One call, as the harness makes it."""
    answer = asyncio.run(asyncio.wait_for(recommender.recommend(conversation, k), 30))
    assert isinstance(answer, Recommendation)
    return answer
