"""What the verbs that ask judges share: the options of `judge_options` made into a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from harness.config import Asking, Choice, RunConfig, Transport
from harness.errors import UsageError
from harness.options import parse_pairs

NAMES = ("llm_opt", "concurrency", "timeout", *Asking.__struct_fields__)
"""Parameters of `judge_options` beside the model itself."""


def judge_choice(spec: str | None, said: Mapping[str, Any], flag: str = "--judge-llm") -> Choice | None:
    """The judges' model with its options; None where none was said. Raises UsageError for options without a model."""
    pairs = parse_pairs(said["llm_opt"], "--llm-opt")
    if spec is None:
        if pairs:
            raise UsageError(f"--llm-opt was given, but no {flag}")
        return None
    return Choice(spec, dict(pairs))


def asking_of(said: Mapping[str, Any], recorded: Asking | None = None) -> Asking:
    """How it is asked: what was said, else what is recorded."""
    return msgspec.structs.replace(
        recorded or Asking(), **{n: said[n] for n in Asking.__struct_fields__ if said[n] is not None}
    )


def transport_of(said: Mapping[str, Any], recorded: Transport | None = None) -> Transport:
    """How many questions at a time, and how long each may take."""
    carried = ("concurrency", "timeout")
    return msgspec.structs.replace(recorded or Transport(), **{n: said[n] for n in carried if said[n] is not None})


def with_judge(config: RunConfig, spec: str | None, said: Mapping[str, Any], flag: str = "--judge-llm") -> RunConfig:
    """A run's configuration with the judge that was said now."""
    return msgspec.structs.replace(
        config,
        judge_llm=judge_choice(spec, said, flag) or config.judge_llm,
        asking=asking_of(said, config.asking),
        transport=transport_of(said, config.transport),
    )


def stopped_line(error: Exception, asking: Asking) -> str:
    """What a spent budget means for what was judged so far."""
    kept = (
        "what was judged so far is in the response cache"
        if asking.cache == "read-write"
        else "what was judged so far is lost, because it was not cached (--cache read-write)"
    )
    return f"stopped: {error}; {kept}"
