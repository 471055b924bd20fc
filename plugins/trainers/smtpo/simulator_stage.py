"""Stage `simulator`: multi-task fine-tuning on training moments, then calibration and a quality report on validation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import msgspec

from harness.api import Scenario
from harness.artifactfiles import create
from harness.errors import DataError

from ... import prompting
from ...simulators.smtpo import model as stored
from ...simulators.smtpo.decision import Decision
from ...simulators.smtpo.mind import Mind, check
from ...smtpo.tiny import TinySettings
from . import simulator_calibration as calibration
from . import simulator_quality as quality
from .context import StageContext
from .lm import Example, LmSettings, fine_tune
from .simulator_data import Moments, scenarios_of
from .simulator_examples import Examples, Mixture

_PROMPTS: Final = "harness_plugins.simulators.smtpo"
_TEXTS: Final = 300
"""Scenarios whose examples the tiny model's tokenizer is made from."""
_CHECKED: Final = 500
"""Validation examples of each check, about."""
_DEPTH: Final = 40
"""Items per scenario that calibration judges."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the stage."""

    base: Annotated[str, msgspec.Meta(description="pretrained model, a path or a name; empty: a tiny one is made here")] = ""
    prompt: Annotated[str, msgspec.Meta(description="which prompt file of the simulator")] = "smtpo-tiny.v1"
    rounds: Annotated[int, msgspec.Meta(ge=1, description="lists that are shown after a context")] = 3
    mixture: Mixture = Mixture()
    tiny: TinySettings = TinySettings(pieces=600)
    lm: LmSettings = LmSettings()
    validation: Annotated[
        int, msgspec.Meta(ge=2, description="validation scenarios: half for the loss and calibration, half for the report")
    ] = 600
    keep_untrained: Annotated[bool, msgspec.Meta(description="keep the model before training, for smtpo-base")] = True


def run(context: StageContext, settings: Settings, out: Path) -> None:
    """Make the artefact. Raises DataError where there is nothing to learn from."""
    train = scenarios_of(context.train)
    held_out = scenarios_of(context.validation, settings.validation, context.seed)
    if not train or len(held_out) < 2:
        raise DataError("the simulator needs scenarios of a train and of a validation split")
    prompt = check(prompting.load(_PROMPTS, settings.prompt))
    training = context.train.training
    moments = Moments(context.train.catalogue, training, context.seed, crossed=True, rounds=settings.rounds)
    # As in a run: what validation dialogues are judged by is learned from all training dialogues.
    unseen = Moments(context.train.catalogue, training, context.seed, crossed=False, rounds=settings.rounds)
    half = len(held_out) // 2
    chosen_on, reported_on = held_out[:half], held_out[half:]

    final = context.work / "model"
    curve: list[dict[str, Any]] = []
    if not (final / "done").exists():
        curve = _train(context, settings, prompt, moments, unseen, train, chosen_on, final)
        (final / "done").write_bytes(msgspec.json.encode(curve))
    curve = msgspec.json.decode((final / "done").read_bytes())

    context.say("calibrates and reports")
    results: dict[str, Any] = {}
    decisions = {}
    for name in ("trained", "untrained"):
        decisions[name], results[name] = asyncio.run(
            _measure(final / name, prompt, unseen, chosen_on, reported_on, aligned=bool(settings.mixture.share("alignment")))
        )
        context.log(model=name, **results[name]["all"])
    card = context.card(
        stored.KIND,
        summary="label-free user simulator: feedback, attribute alignment and acceptance by a fine-tuned language model",
        curves={"validation": curve},
        results=results,
        notes=("Results: validation scenarios that calibration has not seen; three in ten lists hold the target.",),
    )
    with create(out, card) as folder:
        _copy(final / "trained", folder)
        if settings.keep_untrained:
            _copy(final / "untrained", folder / stored.UNTRAINED)
        stored.write(
            folder / stored.SETTINGS,
            stored.Stored(
                prompt=settings.prompt,
                decision=decisions["trained"],
                untrained_decision=decisions["untrained"],
                base=f"hf:{settings.base}" if settings.base else "",
            ),
        )


def _train(
    context: StageContext,
    settings: Settings,
    prompt: prompting.Prompt,
    moments: Moments,
    unseen: Moments,
    train: Sequence[Scenario],
    held_out: Sequence[Scenario],
    final: Path,
) -> list[dict[str, Any]]:
    """Fine-tune; leaves the folders `trained` and `untrained` in `final` and returns the validation curve."""
    from . import simulator_lm

    examples = Examples(moments, prompt, settings.mixture)
    sample = Random(context.seed).sample(train, min(_TEXTS, len(train)))
    if settings.base:
        model, tokenizer = simulator_lm.pretrained(settings.base)
    else:
        texts = [text for e in examples.once(sample, Random(context.seed)) for text in (e.prompt, e.given, e.completion)]
        model, tokenizer = simulator_lm.tiny(prompt, texts, context.train.catalogue, settings.tiny, context.seed)
    tiny = not settings.base
    simulator_lm.save(model, tokenizer, final / "untrained", half=tiny)
    model.float() if tiny else None

    def length(example: Example) -> int:
        return len(tokenizer(example.completion, add_special_tokens=False)["input_ids"]) + 1

    examples.weigh(length, sample[:100])
    checked = list(Examples(unseen, prompt, settings.mixture).like(examples).once(held_out, Random(context.seed)))

    def stream() -> Iterator[Example]:
        again = Examples(moments, prompt, settings.mixture).like(examples)
        return again.stream(train, context.seed)

    report = fine_tune(
        model,
        tokenizer,
        stream,
        checked[:: max(1, len(checked) // _CHECKED)],
        settings.lm,
        context.work / "lm",
        seed=context.seed,
        step=lambda done, total, values: context.step(done, total, **values),
    )
    simulator_lm.save(model, tokenizer, final / "trained", half=tiny)
    return [dict(point) for point in report.curve]


async def _measure(
    folder: Path,
    prompt: prompting.Prompt,
    moments: Moments,
    chosen_on: Sequence[Scenario],
    reported_on: Sequence[Scenario],
    *,
    aligned: bool,
) -> tuple[Decision, dict[str, Any]]:
    """(decision fitted on the first scenarios, report on the others) of one model, asked as in a run."""
    from harness.llm.hf import HfModel
    from harness.llm.hf_load import HfOptions

    model = HfModel(str(folder), HfOptions(threads=1))
    try:
        viewer, _ = moments.part(chosen_on[0])
        mind = Mind(model, prompt, viewer)
        decision = calibration.fit(await quality.judge(mind, moments, chosen_on, _DEPTH))
        judged = await quality.judge(mind, moments, reported_on, _DEPTH)
        answers = await quality.answer(mind, decision, moments, reported_on, align=aligned)
    finally:
        await model.close()
    precision, recall, f1 = calibration.accepting(judged, decision)
    results = quality.report(answers) | {
        "first lists": {
            "AUC": calibration.area(judged),
            "hit@1": calibration.hit_at_1(judged),
            "accept precision": precision,
            "accept recall": recall,
            "accept F1": f1,
        },
        "ndcg@10 by turn, thresholds alone": calibration.played(judged, decision),
    }
    return decision, results


def _copy(source: Path, folder: Path) -> None:
    import shutil

    shutil.copytree(source, folder, dirs_exist_ok=True)
