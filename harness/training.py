"""One training from start to end: data, manifest, lock, and the trainer called by it. The command line calls `train`.

The folder of a training holds train.json (`MANIFEST`): what was asked for, by stage, so that the same command goes on and
another one is refused; train-error.txt after a failure; and what the trainer makes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness import __version__, options
from harness.api import Catalogue, Split, TrainerSetup, TrainingProgress
from harness.artifacts import find
from harness.assembly import Part, load_split, resolve
from harness.config import Asking, Choice, Transport, difference, fingerprint
from harness.errors import ConfigMismatch, DataError, HarnessError, PluginError, StoreError, UsageError, described
from harness.locks import LOCK, hold
from harness.models import layers_of, own_model
from harness.registry import Registry
from harness.scenarios import data_hash, novel
from harness.wholefiles import write_atomically

MANIFEST = "train.json"
FAILURE = "train-error.txt"


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training is asked to do."""

    trainer: str
    dataset: Choice
    variant: Literal["novel", "all"] = "novel"
    stage: str = ""
    preset: str = "tiny"
    options: dict[str, str] = {}
    """ "stage.key" -> text."""
    seed: int = 0
    limit: int | None = None
    """At most so many training dialogues, and scenarios of each split."""
    base: str | None = None
    """Path or name of an artefact to take parts from."""
    simulator: Choice | None = None
    simulator_llm: Choice | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of train.json."""

    format: Literal[1] = 1
    fingerprint: str
    """Of `fields` and `stages`."""
    fields: dict[str, Any]
    """What every stage depends on."""
    stages: dict[str, dict[str, Any]]
    """Stage -> what it is trained with, as far as it was asked for."""
    made_by: dict[str, str] = {}


class Resources:
    """Other components of this environment, for trainers that play or generate: by name, made and not prepared."""

    def __init__(self, registry: Registry, config: TrainConfig, dataset: Part) -> None:
        self.registry = registry
        self._config, self._dataset = config, dataset
        self._layers: Any = None

    def recommender(self, name: str, given: Mapping[str, Any] | None = None) -> Any:
        """Raises PluginError or UsageError."""
        return resolve(self.registry, "recommender", Choice(name, dict(given or {}))).create()

    def simulator(self, name: str, given: Mapping[str, Any] | None = None) -> Any:
        """Raises PluginError or UsageError."""
        return resolve(self.registry, "simulator", Choice(name, dict(given or {}))).create()

    def model(self, spec: str, given: Mapping[str, Any] | None = None) -> Any:
        """A `harness.llm.ChatModel`: "openai:MODEL", "hf:PATH", "scripted:FILE". Raises UsageError or LlmError."""
        from harness.llm.build import build

        self._layers = self._layers or layers_of(Asking(), Transport())
        return build(spec, given or {}, self._layers)

    def own_model(self, component: Any) -> Any:
        """The `harness.llm.ChatModel` that a component brings along, None without. Raises UsageError or LlmError."""
        spec = own_model(component)
        return None if spec is None else self.model(spec)

    def split(self, name: str, given: Mapping[str, Any] | None = None) -> Split:
        """A split of the training's data set, made with these options on top of the chosen ones; train and validation only."""
        if name == "test":
            raise UsageError("a training may not see the test split")
        choice = Choice(self._config.dataset.name, {**self._config.dataset.options, **(given or {})})
        part = resolve(self.registry, "dataset", choice)
        return _cut(load_split(part, part.create(), name), self._config)


class Prepared(msgspec.Struct, frozen=True):
    """A training before it begins."""

    part: Part
    trainer: Any
    setup: TrainerSetup
    fields: dict[str, Any]
    """What every stage depends on, flat."""
    stages: dict[str, dict[str, Any]]
    """Stage -> what it is trained with."""


def train(
    registry: Registry, config: TrainConfig, out: Path, *, resume: bool = True, progress: TrainingProgress | None = None
) -> None:
    """Train what is missing in `out`; with `resume` False what was asked for is trained anew.

    Raises ConfigMismatch, field by field, when `out` holds a training of another configuration, UsageError when it holds
    something else, and what the trainer raises; what is no error for users becomes a PluginError, its traceback a file.
    """
    refuse_other(out)
    made = prepare(registry, config, resume=resume, progress=progress)
    first = first_process()
    with _held(out) if first else contextlib.nullcontext():
        if first:
            write_manifest(out, made.fields, made.stages, fresh=not resume)
        try:
            made.trainer.train(made.setup, out)
        except (HarnessError, KeyboardInterrupt):
            raise
        except BaseException as error:
            where = out / FAILURE
            with contextlib.suppress(StoreError):
                write_atomically(where, traceback.format_exc().encode("utf-8", "backslashreplace"))
            raise PluginError(
                f"trainer {config.trainer!r} of {made.part.entry.distribution} failed: {type(error).__name__}: "
                f"{described(error, 500)} (traceback in {where}); the same command goes on from what is kept"
            ) from error


def prepare(
    registry: Registry, config: TrainConfig, *, resume: bool = True, progress: TrainingProgress | None = None
) -> Prepared:
    """Names and settings first, which is cheap, then the data. Raises DataError where nothing can be learned."""
    part = resolve(registry, "trainer", Choice(config.trainer))
    dataset_part = resolve(registry, "dataset", config.dataset)
    given = options.as_dict(dataset_part.options)
    given.pop("path", None)  # where the files lie is no part of what is learned
    resources = Resources(registry, config, dataset_part)
    nothing = Split("", (), (), Catalogue(()))
    setup = TrainerSetup(
        train=nothing,
        validation=nothing,
        seed=config.seed,
        preset=config.preset,
        stage=config.stage,
        options=config.options,
        dataset=config.dataset.name,
        dataset_options=given,
        resume=resume,
        limit=config.limit,
        base=None if config.base is None else find(config.base, registry=registry).path,
        progress=progress,
        resources=resources,
        **_simulator(registry, config, resources),
    )
    trainer = part.create()
    stages = plan(trainer, part, setup)
    learned, chosen = _data(config, dataset_part)
    digest = data_hash(learned, [*learned.scenarios, *chosen.scenarios])
    setup = msgspec.structs.replace(setup, train=learned, validation=chosen, dataset_hash=digest)
    fields = {
        **{f"trainer.{key}": value for key, value in part.revision().items() if key != "options"},
        **{f"dataset.{key}": value for key, value in dataset_part.revision().items() if key != "options"},
        **{f"dataset.options.{key}": value for key, value in given.items()},
        "variant": config.variant,
        "seed": config.seed,
        "limit": config.limit,
        "data_hash": digest,
    }
    return Prepared(part, trainer, setup, fields, stages)


def _simulator(registry: Registry, config: TrainConfig, resources: Resources) -> dict[str, Any]:
    if config.simulator is None:
        if config.simulator_llm is not None:
            raise UsageError("--sim-llm was given, but no --sim: name the simulator that is to use it")
        return {}
    part = resolve(registry, "simulator", config.simulator)
    model = config.simulator_llm
    return {
        "simulator": (config.simulator.name, options.as_dict(part.options)),
        "simulator_llm": None if model is None else resources.model(model.name, model.options),
    }


def _data(config: TrainConfig, part: Part) -> tuple[Split, Split]:
    """The splits to learn from and to choose on."""
    dataset = part.create()
    learned, chosen = (_cut(load_split(part, dataset, name), config) for name in ("train", "validation"))
    for name, split, what in (("train", learned, "learn from"), ("validation", chosen, "choose on")):
        if not split.scenarios:
            raise DataError(
                f"{config.dataset.name} has no scenario to {what}: its {name} split is empty in variant {config.variant}"
            )
    if not learned.training:
        raise DataError(f"{config.dataset.name} has no training dialogues: nothing can be learned from it")
    return learned, chosen


def plan(trainer: Any, part: Part, setup: TrainerSetup) -> dict[str, dict[str, Any]]:
    """Stage -> what it is trained with: the trainer's own `plan(setup)`, else all that was asked for under one name.

    The data are not loaded yet: the splits of this `setup` are empty. Raises UsageError for an unknown stage, preset or option.
    """
    own = getattr(trainer, "plan", None)
    if callable(own):
        stages: dict[str, dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(own(setup)))
        return stages
    asked = {
        "preset": setup.preset,
        "options": dict(setup.options),
        "base": str(setup.base) if setup.base else None,
        "simulator": setup.simulator,
        "simulator_llm": setup.simulator_llm.revision() if setup.simulator_llm else None,
    }
    return {setup.stage or part.entry.name: msgspec.json.decode(msgspec.json.encode(asked))}


def first_process() -> bool:
    """True unless this is a further process of one training (`torchrun`, `accelerate launch`), which writes nothing here."""
    return os.environ.get("RANK", "0") == "0"


def refuse_other(out: Path) -> None:
    """Raises UsageError when `out` holds something that no training has made."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is no folder: choose another --out")
    if out.is_dir() and not (out / MANIFEST).exists() and any(path.name != LOCK for path in out.iterdir()):
        raise UsageError(f"{out} holds something else than a training (there is no {MANIFEST}): choose another --out")


def read_manifest(out: Path) -> Manifest | None:
    """The manifest of a training's folder, None without one. Raises StoreError for a damaged one."""
    try:
        return msgspec.json.decode((out / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"can't read {out / MANIFEST}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{out / MANIFEST} is damaged or of another version: {error}") from None


def write_manifest(
    out: Path, fields: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]], *, fresh: bool = False
) -> None:
    """Note what is trained, or raise ConfigMismatch with every field that is not as recorded.

    A stage that was not asked for before is added. `fresh` forgets what is recorded of the stages that are trained anew.
    """
    plain = msgspec.json.decode(msgspec.json.encode(fields))
    earlier = read_manifest(out)
    kept = {} if earlier is None else dict(earlier.stages)
    if fresh:
        kept = {name: asked for name, asked in kept.items() if name not in stages}
    if earlier is not None:
        lines = difference(earlier.fields, plain) if kept or not fresh else []
        for name, asked in stages.items():
            if name in kept:
                lines += [f"{name}.{line}" for line in difference(kept[name], asked)]
        if lines:
            raise ConfigMismatch(
                f"{out} holds a training of another configuration (recorded -> asked for):\n  "
                + "\n  ".join(lines)
                + "\nchoose another --out, ask for the recorded values, or train anew with --fresh"
            )
    together = {**kept, **{name: dict(asked) for name, asked in stages.items()}}
    manifest = Manifest(
        fingerprint=fingerprint({"fields": plain, "stages": together}),
        fields=plain,
        stages=together,
        made_by={"harness": __version__, "python": platform.python_version(), "platform": platform.platform()},
    )
    write_atomically(out / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def _cut(split: Split, config: TrainConfig) -> Split:
    """The variant's scenarios, and of everything at most `limit`."""
    scenarios = novel(split.scenarios) if config.variant == "novel" else list(split.scenarios)
    training = tuple(split.training)
    if config.limit is not None:
        scenarios, training = scenarios[: config.limit], training[: config.limit]
    return msgspec.structs.replace(split, scenarios=scenarios, training=training)


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    lock = hold(out)
    try:
        yield
    finally:
        os.close(lock)
