"""The control of equal compute: what RL's CPU time would have bought as more supervised fine-tuning.

`--stage rl --opt rl.method=sft-continued` writes an artefact in RL's place: the same start, the same validation, the same rule
for which weights are kept, and fresh examples of stage sft instead of rollouts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness import artifacts
from harness.errors import UsageError

from ....recommenders.smtpo.prompt import Prompter, Prompting
from ....recommenders.smtpo.recommender import Options
from .. import sft_stage
from ..context import StageContext
from ..evaluation import load_retriever
from ..lm import Example, fine_tune
from .keeping import Progress, best_folder, measured, save_recommender
from .players import environments
from .policy import EngineGenerate, Player, Recorder

if TYPE_CHECKING:
    from .rl_stage import Settings

_TIMED = 8
"""Steps that are timed to know how many a budget buys."""


def run(context: StageContext, settings: Settings, out: Path) -> None:
    """Makes the artefact `out`. Raises UsageError where neither steps nor seconds are given."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not settings.control_steps and not settings.control_seconds:
        raise UsageError(
            "rl.method=sft-continued needs a budget: --opt rl.control_seconds=S, the 'cpu seconds' of the RL artefact that it "
            "is to be compared with (`harness artifacts show`), or --opt rl.control_steps=N"
        )
    start = context.artifact("sft")
    supervised = _settings(start)
    # Another seed: other worlds, another order. Examples that the start has learned from would be no control.
    drawn = msgspec.structs.replace(context, seed=context.seed + 1_000)
    examples, validation = sft_stage._data(drawn, supervised, Prompter(supervised.prompting, "film"))

    def fresh() -> tuple[Any, Any]:
        model = AutoModelForCausalLM.from_pretrained(str(start), dtype="auto", local_files_only=True).float()
        return model, AutoTokenizer.from_pretrained(str(start), local_files_only=True)

    scaled = msgspec.structs.replace(
        supervised.lm,
        learning_rate=supervised.lm.learning_rate * settings.control_scale,
        muon_learning_rate=supervised.lm.muon_learning_rate * settings.control_scale,
    )
    steps = settings.control_steps or _affordable(settings.control_seconds, fresh, examples, scaled, context)
    model, tokenizer = fresh()
    began = time.process_time()
    report = fine_tune(
        model,
        tokenizer,
        examples,
        validation,
        msgspec.structs.replace(scaled, steps=steps, check_every=max(1, steps // 5)),
        context.work / "lm",
        seed=context.seed,
        step=lambda done, total, values: context.step(done, total, **values),
    )
    spent = time.process_time() - began
    for entry in report.curve:
        context.log(**entry)
    progress = Progress(seconds=spent)
    worlds = environments(context, settings.held_out, max_turns=settings.check_turns)
    for step, candidate in ((0, fresh()[0]), (report.steps, model)):
        recorder = Recorder(EngineGenerate(lambda held=candidate: held, tokenizer), tokenizer, temperature=0.0)  # type: ignore[misc]
        player = Player(Options(), Prompting.load(start), load_retriever(context), recorder, context.train.catalogue)
        point = measured(
            worlds, player, sft_stage.sample(context.validation, settings.check_scenarios, 0), settings.check_turns, step
        )
        progress.curve.append(point)
        context.log(validation=point)
        if point["ndcg@10"] > progress.best_value:
            progress.best_value, progress.best_step = point["ndcg@10"], step
    model.save_pretrained(str(best_folder(context.work, report.steps)))
    save_recommender(context, out, start, progress, worlds[0].name, "SFT continued, the control of equal compute")


def _settings(start: Path) -> sft_stage.Settings:
    """What the start was trained with, by its card."""
    card = artifacts.read(start).card
    known = {field.name for field in msgspec.structs.fields(sft_stage.Settings)}
    try:
        return msgspec.convert({k: v for k, v in card.settings.items() if k in known}, sft_stage.Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{start}: its card does not say how it was trained ({error}): train it again") from None


def _affordable(seconds: float, fresh: Any, examples: Any, lm: Any, context: StageContext) -> int:
    """Steps that the seconds buy, by timing a few on a copy."""
    work = context.work / "timed"
    model, tokenizer = fresh()

    def timed(steps: int) -> float:
        began = time.process_time()
        settings = msgspec.structs.replace(lm, steps=steps, check_every=steps)
        shutil.rmtree(work, ignore_errors=True)
        no_validation: list[Example] = []
        stream: Iterator[Example] = examples()
        fine_tune(model, tokenizer, lambda: stream, no_validation, settings, work, seed=0)
        return time.process_time() - began

    timed(1)  # imports and first allocations
    each = timed(_TIMED) / _TIMED
    shutil.rmtree(work, ignore_errors=True)
    return max(1, int(seconds / each))
