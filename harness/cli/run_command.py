"""`harness run`: play dialogues, score them, print the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.arguments import (
    dataset_options,
    engine_options,
    isolation_options,
    json_option,
    model_options,
    recommender_options,
    simulator_options,
)


@click.command(
    "run",
    epilog="""\b
Examples:
  harness run                                                  hybrid x rule on cinema
  harness run --rec ease --sim rule --sim-opt eps=0.2          a user who is wrong about every fifth attribute
  harness run --rec bm25 --control exclude-only                what does the feedback add?
  harness run --rec copy-history --dataset redial-ievalm --dataset-opt variant=all --preset static
  harness run --rec llm-rerank --sim profile-llm --llm openai:gpt-4o-mini --cache read-write --limit 50
  harness run --config my.toml --out runs/mine                 settings from a file; again to go on with it
  harness run --rec my-package:mine --limit 50 --dry-run       what would be played
  harness run --llm hf:Qwen/Qwen3-0.6B --rec llm-rerank --engine ray --ray-gpus-per-worker 0.25     four models on each GPU
  harness run --rec their-package:theirs --isolate             a stranger's recommender, in a process of its own

A configuration file has the flags' names as keys:
  rec = "bm25"
  sim = "rule"
  trials = 3
  [sim-opt]
  eps = 0.1
""",
)
@recommender_options()
@simulator_options()
@dataset_options(default=None)
@model_options()
@isolation_options()
@engine_options()
@click.option(
    "--preset", metavar="NAME", help="smtpo, static, ievalm-free, ievalm-attr or ievalm-free-clean.  [default: smtpo]"
)
@click.option("--turns", type=int, metavar="T", help="Most turns of a dialogue.  [default: the preset's, 5]")
@click.option("--k", type=int, metavar="K", help="Length of a ranked list.  [default: the preset's, 10]")
@click.option("--limit", type=int, metavar="N", help="Play the first N scenarios only.")
@click.option("--trials", type=int, metavar="N", help="Repeat every scenario with N seeds (adds pass^k).  [default: 1]")
@click.option("--seed", type=int, metavar="S", help="The run's seed.  [default: 0]")
@click.option(
    "--leak-policy", type=click.Choice(["redact", "keep", "stop"]), help="When the simulator names a target.  [default: redact]"
)
@click.option(
    "--metric", "metrics", metavar="NAME[@K]", multiple=True, help="A metric beside the default ones, any number of times."
)
@click.option("--control", metavar="NAME", multiple=True, help="Also play this control simulator and report the feedback gain.")
@click.option("--concurrency", type=int, metavar="N", help="Dialogues in flight.  [default: 8; 64 per local model]")
@click.option("--timeout", type=float, metavar="SECONDS", help="Limit of one call of a component.  [default: 120]")
@click.option(
    "--max-fault-rate",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Exit with 1 above this share of faulted dialogues.",
)
@click.option("--schedule-seed", type=int, hidden=True, help="Shuffle the order of play, which must change no record.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file with these settings; flags win.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The run's folder; run again to go on with it.  [default: a new one under runs/]",
)
@click.option("--dry-run", is_flag=True, help="Show the resolved configuration and the costs, play nothing.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option()
def command(config_file: Path | None, out: Path | None, dry_run: bool, quiet: bool, as_json: bool, **flags: Any) -> int:
    """Play many dialogues between a recommender and a simulated user, and print scores with confidence intervals.

    Every finished dialogue is kept at once; an interrupted run goes on with `harness resume FOLDER` or the same command again.
    """
    from harness.cli.engines import opened
    from harness.cli.playing import dry, play
    from harness.cli.settings import from_file, run_config
    from harness.isolation.opening import keep_out
    from harness.registry import Registry
    from harness.results import bind_metrics, need_judge

    settings = from_file(config_file)
    named = {name.replace("_", "-"): value for name, value in flags.items()}
    config = run_config(named, settings)
    metrics = tuple(flags["metrics"]) or tuple(settings.get("metrics", ()))
    controls = tuple(flags["control"]) or tuple(settings.get("control", ()))
    keep_out([config], [*metrics, *controls])
    if flags["judge_llm"] or "judge-llm" in settings:
        need_judge(bind_metrics(Registry(), metrics), config.judge_llm, said=True)
    if dry_run:
        dry(config, metrics, controls, as_json=as_json)
        return 0
    with opened(named, settings) as engine:
        return play(
            config,
            out or (Path(settings["out"]) if "out" in settings else None),
            metrics=metrics,
            controls=controls,
            schedule_seed=flags["schedule_seed"],
            max_fault_rate=flags["max_fault_rate"],
            quiet=quiet,
            as_json=as_json,
            engine=engine,
        )
