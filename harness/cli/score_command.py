"""`harness score`: score recorded dialogues again, or any model's ranked lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.arguments import dataset_opt, json_option, judge_options, split_option, variant_option


@click.command(
    "score",
    epilog="""\b
Examples:
  harness score runs/mine                          make scores.jsonl and summary.json again
  harness score runs/mine --metric my-metric@20    with a metric that the run did not have
  harness score runs/mine --metric judge-satisfaction --judge-llm openai:gpt-4o-mini --cache read-write
  harness score --rankings lists.jsonl                             plain lists of ids, with their targets
  harness score --rankings titles.jsonl --dataset redial-ievalm    titles, looked up in the catalogue

\b
Lines of a rankings file:
  {"id": "case-1", "items": ["c0029", "c0855"], "targets": ["c0855"]}
  {"id": "case-2", "titles": ["Alien (1979)", "Heat (1995)"], "targets": ["Heat (1995)"], "source": "dialogue-7"}
""",
)
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--metric", "metrics", metavar="NAME[@K]", multiple=True, help="A metric beside the default ones, any number of times."
)
@click.option(
    "--rankings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Instead of a run: ranked lists of any model, JSON lines with id, items (ids) or titles, and targets.",
)
@click.option("--dataset", metavar="NAME", help="With --rankings: the catalogue that titles are looked up in.  [default: none]")
@dataset_opt()
@variant_option()
@split_option()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="With --rankings without targets: the first N scenarios.")
@click.option("--k", type=click.IntRange(1, 10_000), metavar="N", help="With --rankings: cut lists here.  [default: nowhere]")
@judge_options()
@json_option()
def command(
    folder: Path | None, metrics: tuple[str, ...], rankings: Path | None, judge_llm: str | None, as_json: bool, **said: Any
) -> int:
    """Score a run's recorded dialogues again. No dialogue is played; the data set is loaded to know the hidden needs.

    With --rankings, score a file of ranked lists that any model made: ranking metrics with intervals as for runs, and counts of
    what is out of catalogue, repeated or empty. Lines without targets are scored against the scenarios of --dataset with their
    ids; a scenario without a line is a miss. Lines of one `source` are resampled together.
    """
    from harness.errors import UsageError

    about = ("dataset", "dataset_opt", "variant", "split", "limit", "k")
    chosen = {name: said.pop(name) for name in about}
    if rankings is not None:
        if folder is not None:
            raise UsageError("--rankings scores a file: leave out the run's folder")
        if judge_llm is not None:
            raise UsageError("--judge-llm judges dialogues; ranked lists have none")
        return _rankings(rankings, metrics, chosen, as_json=as_json)
    if folder is None:
        raise UsageError("name a run's folder, or a file with --rankings")
    for name, value in chosen.items():
        if value not in (None, ()):
            raise UsageError(f"--{name.replace('_', '-')} goes with --rankings; a run's folder knows what it was played on")
    return _run(folder, metrics, judge_llm, said, as_json=as_json)


def _rankings(file: Path, metrics: tuple[str, ...], chosen: dict[str, Any], *, as_json: bool) -> int:
    import msgspec

    from harness.cli.arguments import dataset_choice
    from harness.errors import UsageError
    from harness.exchange.rankings import Asked, facts_line, score_rankings
    from harness.registry import Registry
    from harness.report.text import summary_text

    name, pairs, limit, k = (chosen[key] for key in ("dataset", "dataset_opt", "limit", "k"))
    if name is None:
        for key in ("dataset_opt", "variant", "split", "limit"):
            if chosen[key] not in (None, ()):
                raise UsageError(f"--{key.replace('_', '-')} was given, but no --dataset")
        asked = Asked(file=file, k=k, metrics=metrics)
    else:
        dataset, core = dataset_choice(name, pairs, variant=chosen["variant"], split=chosen["split"])
        asked = Asked(file=file, dataset=dataset, limit=limit, k=k, metrics=metrics, **core)
    summary = score_rankings(Registry(), asked)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        click.echo(f"{summary_text(summary, full=bool(metrics))}\n{facts_line(summary['rankings'])}")
    return 0


def _run(folder: Path, metrics: tuple[str, ...], judge_llm: str | None, said: dict[str, Any], *, as_json: bool) -> int:
    import msgspec

    from harness.cli.judges import stopped_line, with_judge
    from harness.cli.playing import exit_code
    from harness.cli.progress import Progress
    from harness.errors import BudgetExceeded
    from harness.registry import Registry
    from harness.report.text import summary_text
    from harness.results import bind_metrics, config_of, need_judge, score_folder
    from harness.store import Store, read_manifest

    manifest = read_manifest(folder)
    wanted = [*manifest.get("metrics", []), *metrics]
    config = with_judge(config_of(manifest, folder), judge_llm, said)
    registry = Registry()
    need_judge(bind_metrics(registry, wanted), config.judge_llm, said=judge_llm is not None)
    progress = Progress(quiet=as_json)
    try:
        with Store(folder):  # nobody plays while the scores are made
            summary = score_folder(registry, folder, metrics=wanted, config=config, told=progress.judged)
    except BudgetExceeded as error:
        click.echo(stopped_line(error, config.asking), err=True)
        return 1
    finally:
        progress.stop()
    if as_json:
        click.echo(msgspec.json.encode({"folder": str(folder), **summary}).decode())
    else:
        click.echo(summary_text(summary, full=bool(metrics)))
    return exit_code(summary, 1.0)
