"""What the benchmarks that play share: one run in a folder of its own, kept and gone on with."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.assembly import Assembly, assemble
from harness.cli.progress import Progress
from harness.cli.settings import run_config
from harness.experiment import complete, execute
from harness.models import charge
from harness.registry import Registry
from harness.store import MANIFEST, read_lines, read_manifest


def play(registry: Registry, flags: Mapping[str, Any], folder: Path, like: Assembly | None) -> Assembly:
    """Play what is missing of a run into its folder and score it; `flags` are those of `harness run`, by name.

    What `like` has loaded is used again. Raises ConfigMismatch where another run lies, ClickException for one that stopped.
    """
    config = run_config(dict(flags), {})
    assembly = assemble(registry, config, like=like)
    played = (folder / MANIFEST).exists() and read_manifest(folder)["fingerprint"] == assembly.fingerprint
    if played and complete(folder):
        charge(assembly.layers, read_lines(folder))
        return assembly
    result = execute(registry, config, folder, progress=Progress(quiet=not sys.stderr.isatty()), assembly=assembly)
    if result.summary is None:
        raise click.ClickException(f"{folder} is not finished ({result.outcome.stopped or 'interrupted'}): run it again")
    return assembly
