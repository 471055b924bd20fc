"""Stage `simulator`: multi-task fine-tuning on training moments, then calibration and a quality report on validation."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import msgspec

from harness.artifactfiles import create
from harness.errors import DataError, UsageError

from ... import prompting
from ...smtpo.tiny import TinySettings
from ...smtpo.user import model as stored
from ...smtpo.user.decision import Decision
from ...smtpo.user.mind import Mind, check
from ...smtpo.user.view import Viewer
from . import simulator_calibration as calibration
from . import simulator_lm
from . import simulator_quality as quality
from .context import StageContext
from .lm import Example, LmSettings, fine_tune
from .simulator_data import Moment, Moments, scenarios_of
from .simulator_examples import Examples, Mixture, Replies, Weights
from .simulator_replies import Key, taught

_PROMPTS: Final = "harness_plugins.smtpo.user"
_TEXTS, _WEIGHED = 300, 100
"""Scenarios whose examples the tiny model's tokenizer is made from, and the answers' lengths are measured on."""
_CHECKED: Final = 500
"""Validation examples of each check, about."""
_DEPTH: Final = 40
"""Items per scenario that calibration judges."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the stage."""

    base: Annotated[str, msgspec.Meta(description="pretrained model, a path or a name; empty: a tiny one is made here")] = ""
    prompt: Annotated[str, msgspec.Meta(description="which prompt file of the simulator")] = "smtpo-tiny.v1"
    replies: Annotated[
        Replies,
        msgspec.Meta(description="feedback to learn: the grammar's, what people of the data set said, or a teacher's"),
    ] = "grammar"
    teacher: Annotated[str, msgspec.Meta(description="with replies=teacher: the chat model that writes, openai:MODEL")] = ""
    teacher_options: dict[str, Any] = msgspec.field(default_factory=dict)
    rounds: Annotated[int, msgspec.Meta(ge=1, description="lists that are shown after a context")] = 3
    scenarios: Annotated[int, msgspec.Meta(ge=0, description="training scenarios, at most; 0: all")] = 0
    mixture: Mixture = Mixture()
    tiny: TinySettings = TinySettings(pieces=600)
    lm: LmSettings = LmSettings()
    validation: Annotated[
        int, msgspec.Meta(ge=2, description="validation scenarios: half for the loss and calibration, half for the report")
    ] = 600
    keep_untrained: Annotated[bool, msgspec.Meta(description="keep the tiny model before training, for smtpo-base")] = True


def run(context: StageContext, settings: Settings, out: Path) -> None:
    """Make the artefact. Raises DataError where there is nothing to learn from."""
    stage = _Stage(context, settings)
    final = context.work / "model"
    if not (final / "curve.json").exists():
        curve = stage.train(final)
        if context.first:
            (final / "curve.json").write_bytes(msgspec.json.encode(curve))
    if not context.first:
        return
    curve = msgspec.json.decode((final / "curve.json").read_bytes())
    context.say("calibrates and reports")
    trained, results = asyncio.run(stage.measure(str(final / "trained")))
    base, untrained = asyncio.run(stage.measure(settings.base or str(final / "untrained")))
    for name, found in (("trained", results), ("untrained", untrained)):
        context.log(model=name, **found["all"])
    card = context.card(
        stored.KIND,
        summary="label-free user simulator: feedback, attribute alignment and acceptance by a fine-tuned language model",
        curves={"validation": curve},
        results={"trained": results, "untrained": untrained},
        notes=("Results: validation scenarios that calibration has not seen; three in ten lists hold the target.",),
    )
    with create(out, card) as folder:
        shutil.copytree(final / "trained", folder, dirs_exist_ok=True)
        if settings.keep_untrained and not settings.base:
            shutil.copytree(final / "untrained", folder / stored.UNTRAINED)
        stored.write(
            folder / stored.SETTINGS,
            stored.Stored(
                prompt=settings.prompt,
                aligned=stage.aligned,
                decision=trained,
                untrained_decision=base,
                base=f"hf:{settings.base}" if settings.base else "",
            ),
        )


class _Stage:
    """The data, and what is done with them."""

    def __init__(self, context: StageContext, settings: Settings) -> None:
        self._context, self._settings = context, settings
        self._train = scenarios_of(context.train, settings.scenarios or None, context.seed)
        held_out = scenarios_of(context.validation, settings.validation, context.seed)
        if not self._train or len(held_out) < 2:
            raise DataError("the simulator needs scenarios of a train and of a validation split")
        self._chosen_on, self._reported_on = held_out[: len(held_out) // 2], held_out[len(held_out) // 2 :]
        self._prompt = check(prompting.load(_PROMPTS, settings.prompt))
        catalogue, training = context.train.catalogue, context.train.training
        self._moments = Moments(catalogue, training, context.seed, crossed=True, rounds=settings.rounds)
        # As in a run: what validation dialogues are judged by is learned from all training dialogues.
        self._unseen = Moments(catalogue, training, context.seed, crossed=False, rounds=settings.rounds)
        self.aligned = settings.mixture.share("alignment") > 0

    def train(self, final: Path) -> list[dict[str, Any]]:
        """Fine-tune; leaves the folders `trained` and `untrained` in `final` and returns the validation curve."""
        context, settings = self._context, self._settings
        rng = Random(context.seed)
        sample = rng.sample(self._train, min(_TEXTS, len(self._train)))
        taught = self._taught()
        examples = self._examples(self._moments, taught)
        tiny = not settings.base
        if tiny:
            texts = [text for e in examples.once(sample, rng) for text in (e.prompt, e.given, e.completion)]
            made = simulator_lm.tiny(self._prompt, texts, context.train.catalogue, settings.tiny, context.seed)
        else:
            made = simulator_lm.pretrained(settings.base)
        model, tokenizer = made
        if tiny and context.first:
            simulator_lm.save(model, tokenizer, final / "untrained", half=True)

        def length(example: Example) -> int:
            return len(tokenizer(example.completion, add_special_tokens=False)["input_ids"]) + 1

        weights = examples.weigh(length, sample[:_WEIGHED])
        # On validation the grammar answers: a teacher has written for the training moments alone.
        checked = list(self._examples(self._unseen, {}, weights).once(self._chosen_on, Random(context.seed)))
        report = fine_tune(
            model,
            tokenizer,
            lambda: self._examples(self._moments, taught, weights).stream(self._train, context.seed),
            checked[:: max(1, len(checked) // _CHECKED)],
            settings.lm,
            context.work / "lm",
            seed=context.seed,
            step=lambda done, total, values: context.step(done, total, **values),
        )
        if context.first:
            simulator_lm.save(model, tokenizer, final / "trained", half=tiny)
        return [dict(point) for point in report.curve]

    def _examples(self, moments: Moments, taught: Mapping[Key, str], weights: Weights | None = None) -> Examples:
        settings = self._settings
        replies: Replies = "grammar" if settings.replies == "teacher" and not taught else settings.replies
        return Examples(moments, self._prompt, settings.mixture, replies, taught, weights)

    def _taught(self) -> Mapping[Key, str]:
        """What a teacher writes for the moments of the first pass; asked once, kept in the work folder."""
        settings = self._settings
        if settings.replies != "teacher":
            return {}
        if not settings.teacher:
            raise UsageError("replies=teacher needs the chat model that writes them: set simulator.teacher=openai:MODEL")
        self._context.say("asks the teacher for replies")
        teacher = self._context.resources.model(settings.teacher, settings.teacher_options)
        viewer, _ = self._unseen.part(self._train[0])
        moments = [moment for scenario in self._train for moment in self._moments.of(scenario)]
        return asyncio.run(_teach(teacher, moments, viewer, self._context.work / "taught.jsonl"))

    async def measure(self, model: str) -> tuple[Decision, dict[str, Any]]:
        """(decision fitted on half of the validation scenarios, report on the other half) of one model, asked as in a run."""
        from harness.llm.hf import HfModel
        from harness.llm.hf_load import HfOptions

        llm = HfModel(model, HfOptions(threads=self._settings.lm.threads or None))
        moments = self._unseen
        try:
            mind = Mind(llm, self._prompt, moments.part(self._chosen_on[0])[0])
            decision = calibration.fit(await quality.judge(mind, moments, self._chosen_on, _DEPTH))
            judged = await quality.judge(mind, moments, self._reported_on, _DEPTH)
            answers = await quality.answer(mind, decision, moments, self._reported_on, align=self.aligned)
        finally:
            await llm.close()
        return decision, quality.report(answers, judged, decision)


async def _teach(teacher: Any, moments: Sequence[Moment], viewer: Viewer, file: Path) -> Mapping[Key, str]:
    try:
        return await taught(teacher, moments, viewer, file)
    finally:
        await teacher.close()
