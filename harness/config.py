"""What a run is: the resolved configuration, its fingerprint, and the difference of two of them."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.api import PROTOCOL_VERSION
from harness.errors import UsageError
from harness.isolation.settings import Isolation
from harness.leakgate import LeakPolicy


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A component by name, with the options that were said (defaults are filled in on resolution)."""

    name: str
    options: dict[str, Any] = {}


class Transport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How dialogues are carried out. Nothing here can change a number, so the fingerprint leaves it out."""

    concurrency: int | None = None
    """Dialogues in flight; None: 8, or 64 where a local model computes, which answers all that wait at once."""
    timeout: float = 120.0
    """Wall seconds that one call of a component (or one batch) may take."""
    transport_retries: int = 5
    backoff: float = 0.5
    """First pause after a transport failure, in seconds; doubles up to `max_backoff`."""
    max_backoff: float = 30.0

    @property
    def at_once(self) -> int:
        """`concurrency`, or what stands for None where no local model is known of."""
        return 8 if self.concurrency is None else self.concurrency


class Asking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How language models are asked: cache, limits, prices. See `harness.llm.layers.Settings`; files as texts."""

    rpm: float | None = None
    cache: Literal["off", "read", "read-write"] = "off"
    cache_file: str | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    prices: str | None = None


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can change a number, and `transport`."""

    recommender: Choice
    simulator: Choice | None
    dataset: Choice
    split: Literal["train", "validation", "test"] = "test"
    variant: Literal["novel", "all"] = "novel"
    preset: str = "smtpo"
    turns: int = 5
    k: int = 10
    success_k: int = 10
    stop_on_success: bool = False
    final_reply: bool = False
    read_at: Literal["last", "success"] = "last"
    headline: Literal["macro", "micro"] = "macro"
    leak_policy: LeakPolicy = "redact"
    simulator_retries: int = 2
    max_text: int = 20_000
    """Characters that one utterance may have; longer output is malformed."""
    seed: int = 0
    trials: int = 1
    limit: int | None = None
    rec_llm: Choice | None = None
    """The recommender's language model: "openai:MODEL", "hf:PATH", "scripted:FILE", and its options."""
    sim_llm: Choice | None = None
    judge_llm: Choice | None = None
    """The judges': they look at what was played, so no record and no fingerprint depends on it."""
    transport: Transport = Transport()
    asking: Asking = Asking()
    isolation: Isolation | None = None
    """The recommender runs in a process of its own, which changes no number: the fingerprint leaves it out."""

    def __post_init__(self) -> None:
        low = {"turns": 1, "k": 1, "success_k": 1, "trials": 1, "max_text": 1, "simulator_retries": 0, "limit": 1}
        for name, least in low.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name.replace('_', '-')} must be at least {least}, not {value}")
        if self.transport.at_once < 1:
            raise UsageError(f"concurrency must be at least 1, not {self.transport.concurrency}")
        if not 0 < self.transport.timeout < math.inf:
            raise UsageError(f"timeout must be a number of seconds above 0, not {self.transport.timeout:g}")
        if self.transport.transport_retries < 0:
            raise UsageError(f"transport-retries must be at least 0, not {self.transport.transport_retries}")


def fingerprint_fields(config: RunConfig, revisions: Mapping[str, Any], data_hash: str) -> dict[str, Any]:
    """The flat fields that the fingerprint covers. `revisions` describes each component: distribution, version, options."""
    fields = msgspec.to_builtins(config)
    for name in ("transport", "asking", "isolation", "recommender", "simulator", "dataset", "rec_llm", "sim_llm", "judge_llm"):
        del fields[name]
    fields["protocol"] = PROTOCOL_VERSION
    fields["data_hash"] = data_hash
    for role, revision in revisions.items():
        for key, value in revision.items():
            if isinstance(value, Mapping):
                fields.update({f"{role}.{key}.{option}": v for option, v in value.items()})
            else:
                fields[f"{role}.{key}"] = value
    # As JSON gives it back: what a manifest holds must compare equal to what was put in.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    return dict(sorted(plain.items()))


def fingerprint(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the fields in canonical JSON; 64 hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(dict(fields), order="sorted")).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines "field: old -> new" for every field that differs."""
    absent = "(absent)"
    return [
        f"{name}: {_show(old.get(name, absent))} -> {_show(new.get(name, absent))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, absent) != new.get(name, absent)
    ]


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."


def read_toml(path: Path) -> dict[str, Any]:
    """A configuration file. Raises UsageError with file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no configuration file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: {error}") from None
