"""The artefact of the user model: which language model, which prompt, which decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from harness import artifacts
from harness.errors import DataError

from ... import prompting
from .decision import Decision
from .mind import check

KIND: Final = "smtpo-simulator"
SETTINGS: Final = "simulator.json"
UNTRAINED: Final = "untrained"
"""Sub-folder with the model that the training started from."""


class Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of simulator.json. `aligned`: the model has learned attribute alignment. `base` names the pretrained model
    where the artefact doesn't hold its weights."""

    prompt: str
    aligned: bool = True
    decision: Decision
    untrained_decision: Decision = Decision()
    base: str = ""


class Trained(msgspec.Struct, frozen=True):
    """What a simulator takes from its artefact. `llm` is the name of a ChatModel."""

    artifact: artifacts.Artifact
    prompt: str
    aligned: bool
    decision: Decision
    llm: str | None

    def revision(self) -> dict[str, Any]:
        return {"artifact": self.artifact.revision()}

    def load_prompt(self, path: str = "") -> prompting.Prompt:
        """The prompt that the model was trained with, or the file at `path`. Raises UsageError."""
        return check(prompting.load(__package__, self.prompt, path))


def trained(name_or_path: str, *, untrained: bool = False) -> Trained:
    """Raises UsageError for an artefact that is not there or no simulator's, DataError for a damaged one."""
    artifact = artifacts.find(name_or_path, part="simulator", kind=KIND)
    stored = read(artifact.file(SETTINGS))
    if not untrained:
        return Trained(artifact, stored.prompt, stored.aligned, stored.decision, f"hf:{artifact.path}")
    folder = artifact.path / UNTRAINED
    llm = f"hf:{folder}" if (folder / "config.json").is_file() else stored.base or None
    return Trained(artifact, stored.prompt, stored.aligned, stored.untrained_decision, llm)


def read(path: Path) -> Stored:
    """Raises DataError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stored)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path} can't be used: {error}; train the simulator again") from None


def write(path: Path, stored: Stored) -> None:
    """As JSON for people to read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n")
