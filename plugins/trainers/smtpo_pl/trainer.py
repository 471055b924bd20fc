"""`harness train smtpo-pl`: the policy without a language model. Stages `sft` and `rl`, each an artefact in the output."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from harness import options
from harness.api import TrainerSetup
from harness.artifactfiles import refuse_other
from harness.artifacts import CARD, check, read
from harness.errors import UsageError

from ..smtpo.context import StageContext
from ..smtpo.failures import plain_errors
from .stages import Settings, SftSettings, run_rl, run_sft

_STAGES: Final[Mapping[str, tuple[type[msgspec.Struct], Callable[[StageContext, Any, Path], None]]]] = MappingProxyType(
    {"sft": (SftSettings, run_sft), "rl": (Settings, run_rl)}
)


class SmtpoPlTrainer:
    """Weights over candidate features: imitation of equal-weight matching, then multi-turn RL against a simulator (`rule`)."""

    def __init__(self, options: None = None) -> None:
        pass

    def plan(self, setup: TrainerSetup) -> dict[str, dict[str, Any]]:
        """Stage -> settings. Raises UsageError for an unknown stage or option."""
        found = {stage: dict(msgspec.to_builtins(settings)) for stage, settings in _settings(setup).items()}
        for asked in found.values():
            asked["simulator"] = setup.simulator and {"name": setup.simulator[0], "options": dict(setup.simulator[1])}
        return found

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        """Run the stages that are asked for and not finished."""
        for stage, settings in _settings(setup).items():
            target, work = output_dir / stage, output_dir / ".work" / stage
            log = output_dir / "logs" / f"{stage}.jsonl"
            refuse_other(target)
            if not setup.resume:
                for path in (target, work):
                    shutil.rmtree(path, ignore_errors=True)
                log.unlink(missing_ok=True)
            if (target / CARD).is_file():
                check(read(target))
                if setup.progress is not None:
                    setup.progress.say(f"{stage}: is there already ({target})")
                continue
            work.mkdir(parents=True, exist_ok=True)
            log.parent.mkdir(exist_ok=True)
            context = _context(setup, stage, settings, work, log, _done(setup, output_dir))
            with plain_errors(stage, msgspec.structs.asdict(settings)):
                _STAGES[stage][1](context, settings, target)
            shutil.rmtree(work, ignore_errors=True)


def _settings(setup: TrainerSetup) -> dict[str, Any]:
    if setup.stage not in ("", "all", *_STAGES):
        raise UsageError(f"--stage {setup.stage}: smtpo-pl has the stages {', '.join(_STAGES)} and all")
    stages = list(_STAGES) if setup.stage in ("", "all") else [setup.stage]
    given: dict[str, dict[str, str]] = {stage: {} for stage in stages}
    for name, value in setup.options.items():
        stage, dot, key = name.partition(".")
        if not dot or stage not in given:
            raise UsageError(f"--opt {name}={value}: write it as --opt STAGE.KEY=VALUE, STAGE one of {', '.join(stages)}")
        given[stage][key] = value
    return {stage: options.convert(_STAGES[stage][0], f"stage {stage}", given[stage]) for stage in stages}


def _done(setup: TrainerSetup, out: Path) -> dict[str, Path]:
    places = {"sft": out / "sft"}
    if setup.base is not None:
        places["sft"] = setup.base / "sft" if (setup.base / "sft" / CARD).is_file() else setup.base
    return {stage: path for stage, path in places.items() if (path / CARD).is_file()}


def _context(setup: TrainerSetup, stage: str, settings: Any, work: Path, log: Path, done: Mapping[str, Path]) -> StageContext:
    return StageContext(
        stage=stage,
        train=setup.train,
        validation=setup.validation,
        dataset=setup.dataset,
        dataset_options=setup.dataset_options,
        data_hash=setup.dataset_hash,
        seed=setup.seed,
        preset=setup.preset,
        work=work,
        log_file=log,
        done=done,
        simulator=setup.simulator,
        simulator_llm=setup.simulator_llm,
        resources=setup.resources,
        progress=setup.progress,
        settings=dict(msgspec.to_builtins(settings)),
    )
