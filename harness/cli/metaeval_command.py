"""`harness metaeval`: hold metrics against human scores."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.arguments import json_option, judge_options


@click.command(
    "metaeval",
    epilog="""\b
Examples:
  harness metaeval --dataset crsarena-eval --metric distinct-2 --metric reply-words      offline, no model
  harness metaeval --dataset crsarena-eval --metric judge-satisfaction --judge-llm openai:gpt-4o-mini --cache read-write
  harness metaeval --dataset crsarena-eval --metric persuasiveness --aspect explanation --judge-llm hf:MODEL --limit 100
  harness metaeval --dataset ab-redial --metric reply-words --aspect relevance --json
""",
)
@click.option("--dataset", metavar="NAME", required=True, help="A data set with human scores: crsarena-eval, ab-redial, ...")
@click.option("--dataset-opt", metavar="K=V", multiple=True, help="An option of the data set; `harness show NAME` lists them.")
@click.option("--metric", "metrics", metavar="NAME[@K]", multiple=True, required=True, help="A metric, any number of times.")
@click.option(
    "--aspect",
    "aspects",
    metavar="NAME",
    multiple=True,
    help="A human score, any number of times.  [default: all of the metric's level]",
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Look at N dialogues only: a sample, the same one for the same seed."
)
@click.option("--resamples", type=click.IntRange(100), metavar="N", help="Resamples of an interval.  [default: 2,000]")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Seed of the sample and of the resamples.")
@judge_options()
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option()
def command(
    dataset: str,
    dataset_opt: tuple[str, ...],
    metrics: tuple[str, ...],
    aspects: tuple[str, ...],
    limit: int | None,
    resamples: int | None,
    seed: int,
    judge_llm: str | None,
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Correlate metrics with human scores of turns and dialogues: Spearman, Pearson and Kendall (tau-b) with 95 % confidence
    intervals, and how metrics rank the systems that people talked with.

    This says whether a judge may be believed, and whether a word count would have done as well. Nothing is played.
    """
    from harness.annotated import load_labels
    from harness.cli.judges import asking_of, judge_choice, stopped_line, transport_of
    from harness.cli.metaeval_text import facts, text
    from harness.cli.output import print_json
    from harness.cli.progress import Progress
    from harness.config import Choice
    from harness.errors import BudgetExceeded
    from harness.metaeval import RESAMPLES, metaevaluate, sampled
    from harness.models import layers_of
    from harness.options import parse_pairs
    from harness.registry import Registry
    from harness.results import bind_metrics, judged_by, judging, need_judge

    registry = Registry()
    bound = bind_metrics(registry, list(dict.fromkeys(metrics)))
    chosen, asking, transport = judge_choice(judge_llm, said), asking_of(said), transport_of(said)
    need_judge(bound, chosen, said=True)
    labels, dialogues, levels = load_labels(registry, Choice(dataset, dict(parse_pairs(dataset_opt, "--dataset-opt"))))
    used = dialogues if limit is None else sampled(dialogues, limit, seed)
    judge = None
    if chosen is not None:
        from harness.llm.build import build

        judge = build(chosen.name, chosen.options, layers_of(asking, transport))
    progress = Progress(quiet=quiet or as_json)
    how: dict[str, Any] = {"llm": judge, "resamples": resamples or RESAMPLES, "seed": seed}
    try:
        with judging(judge, transport, progress.judged) as asked:
            found = metaevaluate(used, levels, bound, tuple(dict.fromkeys(aspects)), judging=asked, **how)
    except BudgetExceeded as error:
        click.echo(stopped_line(error, asking), err=True)
        return 1
    finally:
        progress.stop()
    by = judged_by(judge, bound) if judge is not None else None
    content = facts(dataset, labels, dialogues, used, levels, found, how, by, asked.usage)
    if as_json:
        print_json(content)
    else:
        click.echo(text(content, found))
    return 0
