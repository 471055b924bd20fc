"""`harness train`: make what a recommender or simulator loads."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli.arguments import DEFAULT_DATASET, llm_opt, simulator_options, variant_option


@click.command(
    "train",
    epilog="""\b
Examples:
  harness train smtpo --out made                                all stages on cinema, tiny models, two CPU cores
  harness train smtpo --stage retriever --dataset redial --preset small --out made/redial
  harness train smtpo --stage rl --out made --opt rl.steps=200 --opt rl.kl=0.01
  harness train smtpo --stage rl --from smtpo-tiny --sim rule --out made/against-rule
  harness train smtpo --preset 7b --dry-run --out made/7b       every setting, nothing is trained
  harness run --rec smtpo --rec-opt artifact=made               what came of it

The same command goes on after an interruption; --fresh starts anew.
""",
)
@click.argument("name")
@click.option("--stage", default="", metavar="STAGE", help="Part of the training, or all.  [default: all]")
@click.option("--dataset", metavar="NAME", default=DEFAULT_DATASET, show_default=True, help="What is learned from.")
@click.option(
    "--dataset-opt", metavar="K=V", multiple=True, help="An option of the data set, any number of times; `harness show NAME`."
)
@variant_option()
@click.option(
    "--preset", default="tiny", show_default=True, metavar="NAME", help="Settings by size: tiny, small, 7b; or a .toml file."
)
@click.option(
    "--opt", metavar="STAGE.KEY=V", multiple=True, help="A setting of a stage, any number of times; --dry-run shows them all."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Of everything that is drawn.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Learn from the first N dialogues and scenarios only.")
@click.option("--from", "base", metavar="ARTIFACT", help="Take parts that this training does not make from there.")
@simulator_options()
@click.option("--sim-llm", metavar="SPEC", help="Language model of that simulator: openai:MODEL, hf:MODEL_OR_PATH, ...")
@llm_opt()
@click.option("--resume/--fresh", default=True, help="Go on with what the folder holds, or start anew.  [default: resume]")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The training's folder, and the artefact in the end.",
)
@click.option("--dry-run", is_flag=True, help="Show the settings of every stage, train nothing.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def command(ctx: click.Context, /, name: str, resume: bool, out: Path, dry_run: bool, quiet: bool, **flags: Any) -> int:
    """Train a model: the trainer NAME writes an artefact, a folder that a recommender or simulator loads by path or name.

    `harness list trainers` shows what can be trained. Whatever is finished is kept; weights are chosen on the validation split,
    and the test split is never looked at.
    """
    from harness.cli.progress import TrainingBar
    from harness.registry import Registry
    from harness.training import train

    config = _config(name, flags)
    registry = Registry()
    if dry_run:
        _dry(registry, config)
        return 0
    bar = TrainingBar(quiet=quiet)
    try:
        train(registry, config, out, resume=resume, progress=bar)
    except KeyboardInterrupt:
        bar.stop()
        click.echo(f"interrupted; everything that was finished is kept. Go on with: {_again(ctx)}", err=True)
        return 130
    finally:
        bar.stop()
    bar.say(f"made {out}  (harness artifacts show {shlex.quote(_as_path(out))} tells about it)")
    return 0


def _config(name: str, flags: dict[str, Any]) -> Any:
    from harness.cli.arguments import choice, dataset_choice
    from harness.config import Choice
    from harness.errors import UsageError
    from harness.options import parse_pairs
    from harness.training import TrainConfig

    dataset, core = dataset_choice(flags["dataset"], flags["dataset_opt"], variant=flags["variant"])
    if "split" in core:
        raise UsageError("a training learns from the train split and chooses on validation: leave --dataset-opt split= out")
    model = flags["sim_llm"]
    if flags["llm_opt"] and model is None:
        raise UsageError("--llm-opt was given, but no --sim-llm")
    if flags["sim_opt"] and flags["sim"] is None:
        raise UsageError("--sim-opt was given, but no --sim")
    return TrainConfig(
        trainer=name,
        dataset=dataset,
        variant=core.get("variant", "novel"),
        stage=flags["stage"],
        preset=flags["preset"],
        options=parse_pairs(flags["opt"], "--opt"),
        seed=flags["seed"],
        limit=flags["limit"],
        base=flags["base"],
        simulator=None if flags["sim"] is None else choice(flags["sim"], flags["sim_opt"], "--sim-opt"),
        simulator_llm=None if model is None else Choice(model, dict(parse_pairs(flags["llm_opt"], "--llm-opt"))),
    )


def _dry(registry: Any, config: Any) -> None:
    """Every setting of every stage, as --opt would give it."""
    import msgspec

    from harness.training import prepare

    made = prepare(registry, config)
    for name, value in made.fields.items():
        click.echo(f"{name} = {msgspec.json.encode(value).decode()}")
    for stage, settings in made.stages.items():
        click.echo(f"\n[{stage}]")
        for name, value in settings.items():
            click.echo(f"{name} = {msgspec.json.encode(value).decode()}")
    click.echo(
        f"\n{len(made.setup.train.training):,} dialogues and {len(made.setup.train.scenarios):,} scenarios to learn from, "
        f"{len(made.setup.validation.scenarios):,} to choose on; nothing was trained"
    )


def _again(ctx: click.Context) -> str:
    """The command that goes on: what was said, without --fresh."""
    words = ["harness", "train"]
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if ctx.get_parameter_source(param.name or "") is not ParameterSource.COMMANDLINE or param.name == "resume":
            continue
        if isinstance(param, click.Argument):
            words.append(str(value))
        elif value is True:
            words.append(param.opts[0])
        else:
            for each in value if isinstance(value, tuple) else (value,):
                words += [param.opts[0], str(each)]
    return shlex.join(words)


def _as_path(out: Path) -> str:
    """A path that can't be taken for a name."""
    return str(out) if "/" in str(out) else f"./{out}"
