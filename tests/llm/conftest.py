"""A local OpenAI-compatible server per test. No test reads the user's keys or cache."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.llm_server import LlmServer, serving


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture
def serve() -> Iterator[Callable[..., LlmServer]]:
    """`serve(latency=..., key=...)` starts a server that lives as long as the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(serving(LlmServer(**options)))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random chat model, saved: `hf:{tiny_folder}`."""
    from tests.llm import tiny_model

    return tiny_model.make(tmp_path_factory.mktemp("tiny"))
