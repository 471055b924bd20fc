"""What every stage of the training is handed.

A stage is a module with `Settings`, a msgspec Struct whose fields are the table of that name in a preset, and
`run(context: StageContext, settings: Settings, out: Path) -> None`, which makes the artefact folder `out` and nothing else:

    def run(context, settings, out):
        retriever = context.artifact("retriever")          # the folder of an earlier stage
        for step in range(start, settings.steps):          # `start` from a checkpoint in context.work, if there is one
            context.step(step, settings.steps, loss=loss)
            context.log(step=step, loss=loss)
        with harness.artifactfiles.create(out, context.card("smtpo-recommender", summary="...", curves=...)) as folder:
            save_file(tensors, folder / "model.safetensors")

A module with `DISTRIBUTED = True` is run by every process of `torchrun` or `accelerate launch`, and only `context.first` may
write; other stages are run by the first process alone. `failures.finite` checks losses.

A stage is deterministic by `context.seed`, keeps everything that it needs to go on after a kill in `context.work` and is called
again, with the same settings, until `out` is there. `context.work` is removed then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Split, TrainingProgress
from harness.artifactfiles import versions
from harness.artifacts import Card, Data, read
from harness.errors import UsageError

STAGES = ("simulator", "retriever", "sft", "rl")
"""In the order of training."""


class StageContext(msgspec.Struct, frozen=True, kw_only=True):
    """The data, the seed, the earlier stages, and where to tell and to keep things."""

    stage: str
    train: Split
    """To learn from: `train.training` are whole dialogues with labels, `train.scenarios` the cases cut from them."""
    validation: Split
    """To choose on, never to learn from."""
    dataset: str
    """Name of the data set."""
    dataset_options: Mapping[str, Any] = {}
    data_hash: str = ""
    seed: int = 0
    preset: str = "tiny"
    work: Path
    """The stage's own folder; it is there, and holds what an earlier start of this very stage has left."""
    log_file: Path
    first: bool = True
    """False in the further processes of a training by several (torchrun, accelerate launch): they must write nothing."""
    done: Mapping[str, Path] = {}
    """Stage -> artefact folder: what this training has made already, and the parts of --from."""
    simulator: tuple[str, Mapping[str, Any]] | None = None
    """The simulator to train against (name, options) where the user chose one; else the one that was trained here."""
    simulator_llm: Any = None
    """Its `harness.llm.ChatModel`, where the user chose one."""
    resources: Any = None
    """`harness.training.Resources`: `simulator(name, options)`, `recommender(...)`, `model(spec, options)`, `split(...)`."""
    progress: TrainingProgress | None = None
    used: set[str] = msgspec.field(default_factory=set)
    """Earlier stages whose artefacts were asked for. The card names them: when one is trained anew, this one must be too."""
    settings: Mapping[str, Any] = {}
    """The stage's settings as plain data, for the model card."""

    def artifact(self, stage: str) -> Path:
        """The folder of an earlier stage's artefact. Raises UsageError with the command that makes it."""
        if stage not in self.done:
            raise UsageError(
                f"stage {self.stage} needs the artefact of stage {stage}: train it first (--stage {stage}, the same --out), "
                "or name an artefact that holds it with --from"
            )
        self.used.add(stage)
        return self.done[stage]

    def say(self, text: str) -> None:
        """One line for the person who waits."""
        if self.progress is not None:
            self.progress.say(f"{self.stage}: {text}")

    def step(self, done: int, total: int, **values: float) -> None:
        """Progress: `done` of `total` steps, and what is worth seeing beside (loss=..., reward=...)."""
        if self.progress is not None and self.first:
            self.progress.step(self.stage, done, total, values)

    def log(self, **values: Any) -> None:
        """Append one line of JSON to the stage's log. A stage that goes on from a checkpoint writes some steps twice: the later
        line is the true one."""
        if not self.first:
            return
        line = msgspec.json.encode(values) + b"\n"
        descriptor = os.open(self.log_file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" + line if torn else line)
        finally:
            os.close(descriptor)

    def read_log(self) -> list[dict[str, Any]]:
        """The lines so far, oldest first; a line that a kill has torn is left out."""
        if not self.log_file.exists():
            return []
        found = []
        for line in self.log_file.read_bytes().split(b"\n"):
            try:
                values = msgspec.json.decode(line) if line.strip() else None
            except msgspec.DecodeError:
                continue
            if isinstance(values, dict):
                found.append(values)
        return found

    def card(
        self,
        kind: str,
        *,
        summary: str,
        curves: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        trained_against: Sequence[str] = (),
        results: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> Card:
        """The artefact's description with what the trainer knows filled in: data, seed, settings, versions of packages.

        `curves` maps a name ("validation") to its points ({"step": 100, "ndcg@10": .41}); `results` are single numbers.
        """
        return Card(
            kind=kind,
            name=f"smtpo-{self.preset}-{self.stage}",
            summary=summary,
            trained_on=(self.dataset,),
            trained_against=tuple(trained_against),
            parents={stage: read(path).revision()["files"] for stage, path in self.done.items() if stage in self.used},
            data=Data(name=self.dataset, options=dict(self.dataset_options), hash=self.data_hash),
            seeds=(self.seed,),
            settings=dict(self.settings),
            curves={name: [dict(point) for point in points] for name, points in (curves or {}).items()},
            results=dict(results or {}),
            notes=tuple(notes),
            versions=versions(),
        )
