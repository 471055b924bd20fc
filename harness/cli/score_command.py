"""`harness score`: score recorded dialogues again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.arguments import json_option, judge_options


@click.command(
    "score",
    epilog="""\b
Examples:
  harness score runs/mine                          make scores.jsonl and summary.json again
  harness score runs/mine --metric my-metric@20    with a metric that the run did not have
  harness score runs/mine --metric judge-satisfaction --judge-llm openai:gpt-4o-mini --cache read-write
""",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--metric", "metrics", metavar="NAME[@K]", multiple=True, help="A metric beside the default ones, any number of times."
)
@judge_options()
@json_option()
def command(folder: Path, metrics: tuple[str, ...], judge_llm: str | None, as_json: bool, **said: Any) -> int:
    """Score a run's recorded dialogues again. No dialogue is played; the data set is loaded to know the hidden needs."""
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
