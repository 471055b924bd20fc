"""`harness train smtpo`: runs the stages, each once, and binds what they make into one artefact.

The output folder:

    simulator/ retriever/ sft/ rl/    an artefact per stage
    artifact.json, README.md          the bundle of those that are there
    logs/STAGE.jsonl                  what each stage has logged
    .work/STAGE/                      what a stage needs to go on; gone when it has finished
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.api import TrainerSetup
from harness.artifactfiles import refuse_other, versions, write_bundle
from harness.artifacts import BUNDLE, CARD, Artifact, Card, Data, check, find, read, sha256
from harness.errors import DataError, PluginError, UsageError

from . import presets
from .context import STAGES, StageContext
from .failures import plain_errors
from .processes import Processes


class SmtpoTrainer:
    """Trains the simulator, the retriever and the reasoning recommender (SFT, then RL) of SMTPO."""

    def __init__(self, options: None = None) -> None:
        pass

    def plan(self, setup: TrainerSetup) -> dict[str, dict[str, Any]]:
        """Stage -> its settings, with what else it depends on. Raises UsageError for unknown stages, presets and options."""
        return {stage: _asked(setup, stage, settings) for stage, settings in _settings(setup).items()}

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        """Run the stages that are asked for and not finished. Raises DataError for data that nothing can be learned from."""
        _check_data(setup)
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # before TRL is imported, which would report that it is used
        settings = _settings(setup)
        base = None if setup.base is None else find(str(setup.base))
        with Processes() as processes:
            if processes.first and not setup.resume:
                for stage in settings:
                    _forget(output_dir, stage)
            processes.wait()
            for stage, chosen in settings.items():
                self._stage(setup, stage, chosen, output_dir, base, processes)

    def _stage(
        self, setup: TrainerSetup, stage: str, settings: Any, out: Path, base: Artifact | None, processes: Processes
    ) -> None:
        target, work = out / stage, out / ".work" / stage
        finished = (target / CARD).is_file()
        processes.wait()  # nobody makes what another process has yet to look for
        if finished:
            _check_finished(out, stage)
            if setup.progress is not None and processes.first:
                setup.progress.say(f"{stage}: is there already ({target})")
        else:
            refuse_other(target)
            if processes.first:
                work.mkdir(parents=True, exist_ok=True)
                (out / "logs").mkdir(exist_ok=True)
            processes.wait()
            module = presets.stage_module(stage)
            done = _available(out, base, stage)
            context = _context(setup, stage, settings, out, done, processes)
            if processes.first or getattr(module, "DISTRIBUTED", False):
                with plain_errors(stage, presets.flat(settings)):
                    module.run(context, settings, target)
            processes.wait()
            if not (target / CARD).is_file():
                raise PluginError(f"stage {stage} ended without an artefact at {target}: its module must be mended")
        if processes.first:
            _bind(setup, out)
            shutil.rmtree(work, ignore_errors=True)
            if not finished and setup.progress is not None:
                for other in STAGES:
                    if (out / other / CARD).is_file() and _outdated(out, other) == stage:
                        setup.progress.say(
                            f"{other} was made from another {stage}: train it anew too (--stage {other} --fresh)"
                        )


def _settings(setup: TrainerSetup) -> dict[str, Any]:
    trained = presets.wanted(setup.stage)
    given = presets.by_stage(setup.options, trained)
    tables = presets.read(setup.preset)
    return {stage: presets.settings(stage, setup.preset, tables, given[stage]) for stage in trained}


def _asked(setup: TrainerSetup, stage: str, settings: Any) -> dict[str, Any]:
    asked = presets.flat(settings)
    if stage in ("sft", "rl") and setup.simulator is not None:
        name, options = setup.simulator
        model = None if setup.simulator_llm is None else setup.simulator_llm.revision()
        asked["simulator"] = {"name": name, "options": dict(options), "llm": model}
    if setup.base is not None and setup.stage not in ("", "all"):
        asked["from"] = find(str(setup.base)).revision()["files"]
    return asked


def _context(
    setup: TrainerSetup, stage: str, settings: Any, out: Path, done: Mapping[str, Path], processes: Processes
) -> StageContext:
    return StageContext(
        stage=stage,
        train=setup.train,
        validation=setup.validation,
        dataset=setup.dataset,
        dataset_options=setup.dataset_options,
        data_hash=setup.dataset_hash,
        seed=setup.seed,
        preset=setup.preset,
        work=out / ".work" / stage,
        log_file=out / "logs" / f"{stage}.jsonl",
        first=processes.first,
        done=done,
        simulator=setup.simulator,
        simulator_llm=setup.simulator_llm,
        resources=setup.resources,
        progress=setup.progress if processes.first else None,
        settings=_asked(setup, stage, settings),
    )


def _check_data(setup: TrainerSetup) -> None:
    if not any(item.attributes for item in setup.train.catalogue):
        raise DataError(
            f"no item of {setup.dataset} has attributes (genre, director, ...): SMTPO's preferences and feedback are made of "
            "them; take a data set whose items have some (`harness data info NAME` shows them)"
        )
    if not any(scenario.context for scenario in setup.train.scenarios):
        raise DataError(
            f"no scenario of {setup.dataset}'s train split has a dialogue before it: nothing can be learned from them"
        )


def _available(out: Path, base: Artifact | None, stage: str) -> dict[str, Path]:
    """The artefacts of other stages: those of this folder, else those of --from."""
    found: dict[str, Path] = {}
    for other in STAGES:
        if other == stage:
            continue
        if (out / other / CARD).is_file():
            found[other] = out / other
        elif base is not None and other in base.card.parts:
            found[other] = base.path / other
    return found


def _check_finished(out: Path, stage: str) -> None:
    """Whole, and made from the artefacts that lie beside it now. Raises DataError or UsageError."""
    check(read(out / stage))
    parent = _outdated(out, stage)
    if parent is not None:
        raise UsageError(
            f"{out / stage} was made from another {parent} than {out / parent}: train it anew too (--stage {stage} --fresh), "
            "or choose another --out"
        )


def _outdated(out: Path, stage: str) -> str | None:
    """The stage whose artefact is not the one any more that this stage's was made from."""
    for parent, content in read(out / stage).card.parents.items():
        if (out / parent / CARD).is_file() and read(out / parent).revision()["files"] != content:
            return parent
    return None


def _forget(out: Path, stage: str) -> None:
    refuse_other(out / stage)
    for path in (out / stage, out / ".work" / stage):
        if path.exists():
            shutil.rmtree(path)
    (out / "logs" / f"{stage}.jsonl").unlink(missing_ok=True)
    (out / CARD).unlink(missing_ok=True)  # the bundle lists what is gone; it is written again after the stage


def _bind(setup: TrainerSetup, out: Path) -> None:
    """The bundle's card: written again after every stage, so that what is there can be used at once."""
    parts = [stage for stage in STAGES if (out / stage / CARD).is_file()]
    listed = {f"{part}/{CARD}": sha256(out / part / CARD) for part in parts}
    if (out / CARD).is_file() and read(out).card.files == listed:
        return
    cards = {part: read(out / part).card for part in parts}
    card = Card(
        kind=BUNDLE,
        name=f"smtpo-{Path(setup.preset).stem}",
        summary="SMTPO: " + ", ".join(parts),
        trained_on=tuple(dict.fromkeys(name for card in cards.values() for name in card.trained_on)),
        trained_against=tuple(dict.fromkeys(name for card in cards.values() for name in card.trained_against)),
        data=Data(name=setup.dataset, options=dict(setup.dataset_options), hash=setup.dataset_hash),
        seeds=(setup.seed,),
        results={part: card.results for part, card in cards.items() if card.results},
        curves={f"{part}: {name}": points for part, card in cards.items() for name, points in card.curves.items()},
        notes=tuple(f"{part}: {note}" for part, card in cards.items() for note in card.notes),
        versions=versions(),
    )
    write_bundle(out, card, parts)
