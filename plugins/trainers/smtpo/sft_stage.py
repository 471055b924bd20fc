"""Stage `sft`: the reasoning recommender learns the chain from the teacher, then is looked at on validation dialogues."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import msgspec

from harness.api import Scenario, Split
from harness.artifactfiles import create
from harness.errors import UsageError
from harness.scenarios import novel

from ...recommenders.smtpo import recommender as smtpo
from ...recommenders.smtpo.chain import MARKS, identifier
from ...recommenders.smtpo.prompt import Prompter, Prompting
from ...recommenders.smtpo.teacher import TeacherSettings
from ...smtpo.tiny import TinySettings, make_model, make_tokenizer
from .context import StageContext
from .lm import Example, LmSettings, fine_tune
from .recommender_data import fresh, played

_FIRST = 1000
"""Number of the first fresh world of seed 0; those of validation are 0, 1, 2 ..."""
_WORDS = ("wants\nnot\nlately\nlately not\nearlier\nsays", "[C01] has | may suit you", "0 1 2 3 4 5 6 7 8 9")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the stage. All [inferred]: the paper's data and hyper-parameters are not public."""

    base: Annotated[str, msgspec.Meta(description="pretrained model, a path or a name; empty: a tiny one is made here")] = ""
    tiny: TinySettings = TinySettings()
    prompting: Prompting = Prompting()
    teacher: TeacherSettings = TeacherSettings()
    lm: LmSettings = LmSettings()
    fresh: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="share of the examples, the first ones, that come from fresh worlds")
    ] = 0.0
    world: Annotated[int, msgspec.Meta(ge=8, description="training users of a fresh world")] = 150
    curriculum: Annotated[
        tuple[tuple[float, int], ...],
        msgspec.Meta(description="(share of the fresh examples until which, candidates shown); then all are shown"),
    ] = ((0.15, 4), (0.4, 8))
    turns: Annotated[int, msgspec.Meta(ge=1, description="turns of played dialogues")] = 3
    simulator: Annotated[str, msgspec.Meta(description="plays the seeker; empty: the one that was trained here")] = ""
    scenarios: Annotated[int, msgspec.Meta(ge=1, description="training scenarios that are played, at most")] = 4000
    validation: Annotated[int, msgspec.Meta(ge=1, description="validation scenarios")] = 200


def run(context: StageContext, settings: Settings, out: Path) -> None:
    """Make the artefact. Raises UsageError where an earlier stage is missing, or the data set can't make the fresh worlds that
    are asked for."""
    from .evaluation import Player, evaluate, load_retriever

    context = context if not settings.simulator else msgspec.structs.replace(context, simulator=(settings.simulator, {}))
    # Both are needed late: what is missing must be told now, not after an hour.
    context.artifact("retriever")
    if context.simulator is None:
        context.artifact("simulator")
    prompter = Prompter(settings.prompting, "film")
    examples, validation = _data(context, settings, prompter)
    model, tokenizer = load_base(context, settings)
    report = fine_tune(
        model,
        tokenizer,
        examples,
        validation,
        settings.lm,
        context.work / "lm",
        seed=context.seed,
        step=lambda done, total, values: context.step(done, total, **values),
    )
    for point in report.curve:
        context.log(**point)
    trained = context.work / "trained"
    save(model, tokenizer, settings.prompting, trained)
    context.say("plays validation dialogues")
    scenarios = sample(context.validation, settings.validation, context.seed)
    results = evaluate(
        Player(context, settings.prompting, load_retriever(context)),
        trained,
        scenarios,
        turns=settings.turns,
        seed=context.seed,
    )
    context.log(**results)
    card = context.card(
        smtpo.KIND,
        summary="reasoning recommender after supervised fine-tuning on the teacher's chains",
        curves={"validation loss": list(report.curve)},
        trained_against=(results["simulator"],),
        results=results,
        notes=("The teacher is equal-weight attribute matching: it sees no label.",),
    )
    with create(out, card) as folder:
        for file in trained.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())


def load_base(context: StageContext, settings: Settings) -> tuple[Any, Any]:
    """(model, tokenizer) that fine-tuning starts from."""
    if settings.base:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        return AutoModelForCausalLM.from_pretrained(settings.base, dtype="auto"), AutoTokenizer.from_pretrained(settings.base)
    texts = [message.text for dialogue in context.train.training for message in dialogue.messages]
    marks = [*(identifier(n) for n in range(1, 51)), *MARKS, "\n"]
    tokenizer = make_tokenizer((*texts, *_WORDS * 5), context.train.catalogue, marks, settings.tiny.pieces)
    return make_model(tokenizer, settings.tiny, context.seed), tokenizer


def save(model: Any, tokenizer: Any, how: Prompting, folder: Path, *, half: bool = True) -> None:
    """A whole transformers folder with how to ask the model; weights in float16, which costs nothing that can be measured
    (docs/smtpo.md). An adapter is merged."""
    import torch

    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    kept = merged.dtype
    folder.mkdir(parents=True, exist_ok=True)
    (merged.to(torch.float16) if half else merged).save_pretrained(folder)
    merged.to(kept)
    tokenizer.save_pretrained(folder)
    how.save(folder)


def sample(split: Split, count: int, seed: int) -> list[Scenario]:
    """So many scenarios of the variant novel, in the split's order."""
    scenarios = novel(split.scenarios)
    if len(scenarios) <= count:
        return scenarios
    chosen = sorted(Random(f"sample/{seed}").sample(range(len(scenarios)), count))
    return [scenarios[row] for row in chosen]


def _data(context: StageContext, settings: Settings, prompter: Prompter) -> tuple[Any, list[Example]]:
    """(the stream of training examples, which can be read again; validation examples, of both sources in the same shares).

    What is played is played when the stream comes to it, and kept for a stage that goes on.
    """
    total = settings.lm.steps * settings.lm.batch * settings.lm.accumulate
    dealt = int(settings.fresh * total)
    how = {"curriculum": settings.curriculum, "turns": settings.turns}

    def worlds(chunk: int) -> Split:
        return _world(context, settings, chunk)

    def stream() -> Iterator[Example]:
        yield from fresh(worlds, prompter, settings.teacher, total=dealt, first=_FIRST * (context.seed + 1), **how)
        if dealt < total:
            yield from _again(_played(context, settings, prompter, context.train), context.seed)

    # What is learned last must count in what the weights are chosen by: fresh worlds alone would prefer those from before.
    of_fresh = round(settings.validation * dealt / total)
    held_out = list(fresh(worlds, prompter, settings.teacher, total=of_fresh, first=0, **{**how, "curriculum": ()}))
    if dealt < total:
        held_out += _played(context, settings, prompter, context.validation)[: settings.validation - of_fresh]
    return stream, held_out


def _played(context: StageContext, settings: Settings, prompter: Prompter, split: Split) -> list[Example]:
    """The split's scenarios played with the teacher, from the work folder where they were played before."""
    from harness.rollouts import Environment

    from .evaluation import load_retriever
    from .rl.players import environments

    held = context.work / f"played-{split.name}.json"
    if held.exists():
        return msgspec.json.decode(held.read_bytes(), type=list[Example])
    context.say(f"plays {split.name} dialogues with the teacher")
    environment = environments(context, "")[0]
    made = played(
        Environment(split, environment.simulator, name=environment.name),
        load_retriever(context),
        sample(split, settings.scenarios if split.name == "train" else settings.validation, context.seed),
        prompter,
        settings.teacher,
        turns=settings.turns,
        seed=context.seed,
    )
    partial = held.with_suffix(".part")
    partial.write_bytes(msgspec.json.encode(made))
    partial.rename(held)
    return made


def _again(examples: Sequence[Example], seed: int) -> Iterator[Example]:
    """Forever, in another order each time."""
    for epoch in itertools.count():
        order = list(range(len(examples)))
        if not order:
            return
        Random(f"{seed}/{epoch}").shuffle(order)
        yield from (examples[row] for row in order)


def _world(context: StageContext, settings: Settings, number: int) -> Split:
    try:
        return context.resources.split("train", {"fresh": number, "users": settings.world})  # type: ignore[no-any-return]
    except UsageError as error:
        raise UsageError(
            f"{context.dataset} makes no fresh worlds ({error}): set sft.fresh=0 to learn from its own train split alone"
        ) from None
