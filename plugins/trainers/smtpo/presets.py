"""presets/*.toml: one table of settings per stage, typed by the stage's own `Settings`."""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import msgspec

from harness import options as typed
from harness.errors import UsageError

from .context import STAGES

MODULES: Mapping[str, str] = MappingProxyType(
    {"simulator": "simulator_stage", "retriever": "retriever_stage", "sft": "sft_stage", "rl": "rl.rl_stage"}
)
_EXTRA = frozenset({"trl", "accelerate", "peft"})


def names() -> list[str]:
    """The presets that are shipped."""
    folder = resources.files(__package__) / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def stage_module(stage: str) -> ModuleType:
    """The module with a stage's `Settings` and `run`. Raises UsageError when it, or a package that it needs, is missing."""
    name = f"{__package__}.{MODULES[stage]}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(f"stage {stage} is not part of this installation: there is no {name}") from None
        if missing.partition(".")[0] in _EXTRA:
            raise UsageError(
                f"stage {stage} needs the package {missing.partition('.')[0]}: pip install 'crs-harness[train]'"
            ) from None
        raise


def read(preset: str) -> dict[str, dict[str, Any]]:
    """Stage -> its table, of a shipped preset or of a file ("my.toml"). Raises UsageError with the nearest name."""
    known = names()
    if preset.endswith(".toml"):
        file: Any = Path(preset).expanduser()
    elif preset in known:
        file = resources.files(__package__) / "presets" / f"{preset}.toml"
    else:
        near = difflib.get_close_matches(preset.lower(), known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"unknown preset {preset!r}; {hint} (or the path of a .toml file)")
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"preset {preset}: {error}") from None
    for name, table in tables.items():
        if name not in STAGES or not isinstance(table, dict):
            raise UsageError(f"preset {preset}: {_nearest(name)} (each a table of settings)")
    return tables


def settings(stage: str, preset: str, tables: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> Any:
    """The stage's `Settings`: its defaults, then the preset's table, then --opt. Raises UsageError with option and fix."""
    cls = stage_module(stage).Settings
    table = dict(tables.get(stage, {}))
    typed_by_file = _build(cls, f"preset {preset}, table {stage}", table)
    try:
        msgspec.convert(table, cls)  # a file has types: "8" is no number there
    except msgspec.ValidationError as error:
        raise UsageError(f"preset {preset}, table {stage}: {error}") from None
    return _build(cls, f"stage {stage}", given, typed_by_file)


def flat(settings: Any, before: str = "") -> dict[str, Any]:
    """A `Settings` as plain data, by the names that --opt takes: {"steps": 5, "lm.learning_rate": 0.001}."""
    found: dict[str, Any] = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        inner = isinstance(value, msgspec.Struct)
        found |= flat(value, f"{before}{name}.") if inner else {f"{before}{name}": msgspec.to_builtins(value)}
    return found


def _build(cls: type[msgspec.Struct], where: str, given: Mapping[str, Any], start: Any = None) -> Any:
    """`start`, else the defaults, with what is given on top; settings of a struct inside are a table, or "field.key"."""
    values: dict[str, Any] = {} if start is None else msgspec.to_builtins(start)
    structs = {f.name for f in msgspec.structs.fields(cls) if isinstance(f.type, type) and issubclass(f.type, msgspec.Struct)}
    own = {name: value for name, value in given.items() if name.partition(".")[0] not in structs or "." not in name}
    for field in msgspec.structs.fields(cls):
        if field.name not in structs:
            continue
        inner = {name.removeprefix(f"{field.name}."): v for name, v in given.items() if name.startswith(f"{field.name}.")}
        table = own.pop(field.name, {})
        if not isinstance(table, Mapping):
            raise UsageError(f"{where}: {field.name} has settings of its own: {field.name}.NAME")
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        before = getattr(start, field.name) if start is not None else default
        begun = before if isinstance(before, msgspec.Struct) else None
        values[field.name] = msgspec.to_builtins(_build(field.type, f"{where}, {field.name}", {**table, **inner}, begun))
    return typed.convert(cls, where, {**values, **own})


def by_stage(given: Mapping[str, str], trained: list[str]) -> dict[str, dict[str, str]]:
    """ "stage.key" -> text, as --opt gives them, by stage. Raises UsageError for one that no trained stage would read."""
    found: dict[str, dict[str, str]] = {stage: {} for stage in trained}
    for name, value in given.items():
        stage, dot, key = name.partition(".")
        if not dot or not key:
            raise UsageError(f"--opt {name}={value}: write it as --opt STAGE.KEY=VALUE, STAGE one of {', '.join(STAGES)}")
        if stage not in STAGES:
            raise UsageError(f"--opt {name}={value}: {_nearest(stage)}")
        if stage not in found:
            raise UsageError(f"--opt {name}={value}: stage {stage} is not trained by this command (--stage {stage} or all)")
        found[stage][key] = value
    return found


def wanted(stage: str) -> list[str]:
    """The stages that --stage asks for, in the order of training. Raises UsageError with the nearest name."""
    if stage in ("", "all"):
        return list(STAGES)
    if stage not in STAGES:
        raise UsageError(f"--stage {stage}: {_nearest(stage)}")
    return [stage]


def _nearest(stage: str) -> str:
    near = difflib.get_close_matches(stage.lower(), (*STAGES, "all"), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(STAGES)} and all"
    return f"there is no stage {stage!r}; {hint}"
