"""Requests, models and loops for the tests of chat models."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from benchmarks.llm_server import LlmServer
from harness.llm import ChatMessage, ChatModel, ChatRequest
from harness.llm.build import build
from harness.llm.layers import Layers, Settings


def ask(text: str = "hello", **fields: Any) -> ChatRequest:
    """A request of one user message."""
    return ChatRequest((ChatMessage("user", text),), **fields)


def connect(server: LlmServer, layers: Layers | None = None, *, model: str = "m", **options: Any) -> ChatModel:
    """A model of that server; the layers' defaults retry fast."""
    return build(f"openai:{model}", {"base_url": server.url, **options}, layers or Layers(quick()))


def quick(**settings: Any) -> Settings:
    """Settings with short pauses."""
    return Settings(**{"backoff": 0.01, "max_backoff": 0.02, **settings})


def run(work: Coroutine[Any, Any, Any], seconds: float = 60.0) -> Any:
    """Run to the end, but never for long."""
    return asyncio.run(asyncio.wait_for(work, seconds))
