"""The settings --engine and --ray-... -> the engine that plays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from harness.engines import Engine, Local
from harness.errors import UsageError

RAY: Final = ("address", "workers", "cpus-per-worker", "gpus-per-worker", "start")
ENGINE: Final = ("engine", *(f"ray-{name}" for name in RAY))


@contextlib.contextmanager
def opened(flags: Mapping[str, Any], file: Mapping[str, Any] | None = None) -> Iterator[Engine]:
    """The engine that the flags ask for, or else the file; closed at the end. Raises UsageError.

    Both by the names of `ENGINE`; a flag that is None was not said. Nothing of a cluster is imported for the local engine.
    """
    said = {name: value for name, value in flags.items() if name in ENGINE and value is not None}
    merged = {**{name: value for name, value in (file or {}).items() if name in ENGINE}, **said}
    kind = merged.pop("engine", "local")
    if kind not in ("local", "ray"):
        raise UsageError(f"engine must be local or ray, not {kind!r}")
    if kind == "local":
        given = [name for name in merged if name in said]
        if given:
            raise UsageError(f"--{given[0]} was given, but the engine is local: add --engine ray")
        yield Local()
        return
    from harness.engines.cluster import RaySettings
    from harness.engines.ray import RayEngine

    values = {name.removeprefix("ray-").replace("-", "_"): value for name, value in merged.items()}
    try:
        settings = msgspec.convert(values, RaySettings, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{error}".replace("`$.", "`ray-").replace("_", "-")) from None
    engine = RayEngine(settings)
    try:
        yield engine
    finally:
        engine.close()
