"""One string -> a chat model: "openai:MODEL", "hf:MODEL_OR_PATH", "scripted:FILE"."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from harness import options as typed_options
from harness.errors import UsageError
from harness.llm.api import ChatModel
from harness.llm.layers import Layers
from harness.llm.redact import guard_logs


class Backend(msgspec.Struct, frozen=True):
    """Where a backend is, so that only the chosen one is imported.

    The module offers `Options`, a msgspec Struct with defaults, and `connect(model, options, layers) -> ChatModel`, which
    gives the backend with its layers around it.
    """

    module: str
    takes: str
    summary: str


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "openai": Backend("harness.llm.openai_backend", "MODEL", "any OpenAI-compatible server (base_url=...)"),
        "hf": Backend("harness.llm.hf", "MODEL_OR_PATH", "local transformers"),
        "scripted": Backend("harness.llm.scripted", "FILE", "answers from a file, for tests and demos"),
    }
)
_SERVERS = frozenset("vllm sglang ollama llamacpp llama.cpp lmstudio together openrouter groq deepseek".split())


def parse(spec: str) -> tuple[str, str]:
    """ "openai:gpt-4o-mini" -> ("openai", "gpt-4o-mini"). Raises UsageError with the nearest backend."""
    name, colon, model = spec.strip().partition(":")
    forms = ", ".join(f"{known}:{backend.takes}" for known, backend in BACKENDS.items())
    if name in BACKENDS:
        if not model.strip():
            raise UsageError(f"model {spec!r}: write it as {name}:{BACKENDS[name].takes}")
        return name, model.strip()
    if name.lower() in _SERVERS:
        raise UsageError(
            f"model {spec!r}: a server is reached by openai:{model or 'MODEL'} and the option base_url=http://HOST:PORT/v1"
        )
    near = difflib.get_close_matches(name.lower(), BACKENDS, n=1, cutoff=0.5)
    if near and colon:
        raise UsageError(f"model {spec!r}: there is no backend {name!r}; did you mean {near[0]}:{model}?")
    raise UsageError(f"model {spec!r}: write it as one of {forms}")


def options_type(backend: str) -> type[msgspec.Struct]:
    """The options struct of a backend (imports the backend's module)."""
    kind: type[msgspec.Struct] = _module(backend).Options
    return kind


def build(spec: str, options: Mapping[str, Any], layers: Layers) -> ChatModel:
    """The model of that name, its options (texts as on the command line, or plain values) and everything around it.

    Equal specifications with equal options give the same model, so that roles share its connections, or its weights. Nothing is
    sent, and no loop is needed, before the first question. Raises UsageError or LlmError with what to set.
    """
    backend, model = parse(spec)
    for name in options:
        if name.replace("-", "_").lower() in ("api_key", "key", "token", "apikey"):
            raise UsageError(f"option {name}: keys come from the environment: set OPENAI_API_KEY, or key_env=NAME of another")
    typed = typed_options.convert(options_type(backend), f"model {spec}", options)
    identity = (backend, model, msgspec.json.encode(typed, order="deterministic"))
    if identity not in layers.built:
        layers.built[identity] = _module(backend).connect(model, typed, layers)
        guard_logs()  # after the import: some packages put a handler up when they are imported
    return layers.built[identity]


def _module(backend: str) -> Any:
    return importlib.import_module(BACKENDS[backend].module)
