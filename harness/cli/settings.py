"""Flags and a TOML file -> the configuration of a run. Flags win; what neither says comes from the preset."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import msgspec

from harness.cli.arguments import DEFAULT_DATASET, dataset_choice
from harness.cli.engines import ENGINE
from harness.config import Choice, RunConfig, Transport, read_toml
from harness.errors import UsageError
from harness.isolation.settings import Isolation, size
from harness.options import parse_pairs
from harness.presets import find_preset

DEFAULT_RECOMMENDER = "hybrid"
TABLES = ("rec-opt", "sim-opt", "dataset-opt", "llm-opt")
TRANSPORT = ("concurrency", "timeout", "transport-retries")
PLAIN = (
    "variant", "split", "turns", "k", "seed", "trials", "limit", "leak-policy", "success-k", "max-text", "simulator-retries",
)  # fmt: skip
ASKING = ("rpm", "cache", "cache-file", "max-cost", "max-tokens", "prices")
ISOLATING = ("strict", "memory", "network", "read", "start", "restarts")
ISOLATION = ("isolate", *(f"isolate-{name}" for name in ISOLATING))
MODELS = ("llm", "rec-llm", "sim-llm", "judge-llm")
KNOWN = (
    "preset",
    "rec",
    "sim",
    "dataset",
    "metrics",
    "out",
    "control",
    *TABLES,
    *TRANSPORT,
    *PLAIN,
    *ASKING,
    *MODELS,
    *ISOLATION,
    *ENGINE,
)


def from_file(path: Path | None) -> dict[str, Any]:
    """The settings of a TOML file, keys as the flags are called. Raises UsageError for an unknown one."""
    if path is None:
        return {}
    settings = {name.replace("_", "-"): value for name, value in read_toml(path).items()}
    for name in settings:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(KNOWN)}"
            raise UsageError(f"{path}: unknown setting {name!r}; {hint}")
    for name in TABLES:
        if not isinstance(settings.get(name, {}), dict):
            raise UsageError(f"{path}: {name} must be a table: write [{name}] and below it name = value")
    return settings


def run_config(flags: dict[str, Any], file: dict[str, Any]) -> RunConfig:
    """`flags` by the names of `KNOWN`, None or empty where not said. Raises UsageError with the setting and the fix."""
    said = {name: value for name, value in flags.items() if value not in (None, (), [])}
    merged = {**file, **said}
    preset = find_preset(_text(merged.get("preset", "smtpo"), "preset"))
    simulator = merged.get("sim", preset.simulator)
    if preset.simulator is None and merged.get("turns", 1) == 1:
        if merged.get("sim"):
            raise UsageError(
                f"preset {preset.name} has no simulator: leave out --sim, or choose another --preset or more --turns"
            )
        simulator = None
    dataset, core = dataset_choice(
        _text(merged.get("dataset", DEFAULT_DATASET), "dataset"),
        [f"{k}={v}" for k, v in _options("dataset", file, flags).items()],
        variant=merged.get("variant"),
        split=merged.get("split"),
    )
    sim_options = _options("sim", file, flags)
    if simulator == preset.simulator:
        sim_options = {**preset.simulator_options, **sim_options}
    values: dict[str, Any] = {
        "preset": preset.name,
        "recommender": Choice(_text(merged.get("rec", DEFAULT_RECOMMENDER), "rec"), _options("rec", file, flags)),
        "simulator": None if simulator in (None, "none") else Choice(_text(simulator, "sim"), sim_options),
        "dataset": dataset,
        "turns": preset.turns,
        "k": preset.k,
        "variant": preset.variant,
        "success_k": preset.success_k,
        "stop_on_success": preset.stop_on_success,
        "final_reply": preset.final_reply,
        "read_at": preset.read_at,
        "headline": preset.headline,
        **{name.replace("-", "_"): merged[name] for name in PLAIN if name in merged},
        **core,
    }
    if "success-k" not in merged:
        values["success_k"] = min(values["success_k"], values["k"]) if preset.read_at == "last" else values["success_k"]
    if values["simulator"] is None and _options("sim", file, flags):
        raise UsageError("--sim-opt was given, but there is no simulator in this run")
    for role in ("rec", "sim"):
        spec = merged.get(f"{role}-llm", merged.get("llm") if role == "rec" or values["simulator"] else None)
        values[f"{role}_llm"] = None if spec is None else Choice(_text(spec, f"{role}-llm"), _options("llm", file, flags))
    judge = merged.get("judge-llm", merged.get("llm"))
    values["judge_llm"] = None if judge is None else Choice(_text(judge, "judge-llm"), _options("llm", file, flags))
    if _options("llm", file, flags) and not any(values[f"{role}_llm"] for role in ("rec", "sim", "judge")):
        raise UsageError("--llm-opt was given, but no --llm")
    values["asking"] = {name.replace("-", "_"): merged[name] for name in ASKING if name in merged}
    values["isolation"] = isolation(merged)
    values["transport"] = {name.replace("-", "_"): merged[name] for name in TRANSPORT if name in merged}
    try:
        config = msgspec.convert({**values, **_plain(values)}, RunConfig)
    except msgspec.ValidationError as error:
        raise UsageError(f"{error}".replace("`$.", "`").replace("_", "-")) from None
    return config


def isolation(said: dict[str, Any], recorded: Isolation | None = None) -> Isolation | None:
    """What the settings --isolate and --isolate-... ask for, on top of what is recorded. Each of them asks for isolation."""
    given = {name: said[f"isolate-{name}"] for name in ISOLATING if said.get(f"isolate-{name}") not in (None, ())}
    if not (given or said.get("isolate") or recorded):
        return None
    if isinstance(given.get("memory"), str):
        given["memory"] = size(given["memory"])
    known = {} if recorded is None else msgspec.to_builtins(recorded)
    try:
        return msgspec.convert({**known, **given}, Isolation)
    except msgspec.ValidationError as error:
        raise UsageError(f"isolate: {error}".replace("`$.", "`isolate-")) from None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Structs as data, so that one conversion checks everything."""
    return {name: msgspec.to_builtins(value) for name, value in values.items() if isinstance(value, msgspec.Struct)}


def _options(flag: str, file: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Options of the file, overridden by those of the command line; the file's belong to the component that it names."""
    said = parse_pairs(flags.get(f"{flag}-opt") or (), f"--{flag}-opt")
    other = flags.get(flag) is not None and flags[flag] != file.get(flag, flags[flag])
    kept = {} if other else {k.replace("-", "_"): _value(v) for k, v in file.get(f"{flag}-opt", {}).items()}
    return {**kept, **said}


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name} must be a name, not {value!r}")
    return value


__all__ = ["DEFAULT_RECOMMENDER", "KNOWN", "Transport", "from_file", "run_config"]
