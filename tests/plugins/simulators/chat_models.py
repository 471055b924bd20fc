"""Chat models for tests: one that says what it is given and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from harness.llm.api import ChatMessage, ChatRequest, Completion


class Says:
    """Answers with the texts given, the last one for ever; a function gets the request."""

    name = "test:says"

    def __init__(self, *answers: str | Exception | Completion | Callable[[ChatRequest], str]) -> None:
        self.answers = answers
        self.requests: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> Completion:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        return Completion(answer if isinstance(answer, str) else answer(request))

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        raise NotImplementedError

    def revision(self) -> dict[str, Any]:
        return {"model": self.name}

    async def close(self) -> None:
        pass


def reply(text: str = "Not quite.", action: str = "continue", accepted: Sequence[int] = (), mentioned: Any = ()) -> str:
    """A structured answer. `mentioned` are (facet, value, wanted) triples."""
    named = [{"facet": facet, "value": value, "wanted": wanted} for facet, value, wanted in mentioned]
    return json.dumps({"text": text, "action": action, "accepted": list(accepted), "mentioned": named})


def prompt_of(request: ChatRequest) -> str:
    """All that a model reads."""
    return "\n".join(message.content for message in request.messages)
