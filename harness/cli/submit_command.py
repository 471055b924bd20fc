"""`harness submit`: make a submission to a leaderboard, and check one."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.arguments import json_option

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group(
    "submit",
    epilog="""\b
Examples:
  harness run --rec mine --control exclude-only --out runs/mine
  harness submit prepare runs/mine --name "Mine 1.0" --authors "A. Moss" --code-url https://example.org/mine
  harness submit validate submissions/cinema-novel-rule/mine-1.0
""",
)
def command() -> None:
    """Make a submission to a leaderboard, and check one."""


@command.command(
    "prepare",
    epilog="""\b
Examples:
  harness submit prepare runs/mine --name "Mine 1.0" --authors "A. Moss" --code-url https://example.org/mine
  harness submit prepare runs/mine --control runs/mine-exclude-only ...    a control that is a run of its own
  harness submit prepare runs/a runs/b --form ranks ...                    one submission per run, without any text
""",
)
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@click.option("--name", required=True, help="What the system is called on the board.")
@click.option("--authors", required=True, multiple=True, help="Any number of times, or with commas between.")
@click.option("--code-url", default="", metavar="URL", help="Where the code is (https); none for a recommender of the harness.")
@click.option("--description", default="", help="A sentence or two, plain text.")
@click.option(
    "--trained-on", multiple=True, metavar="DATASET", help="Data its weights were trained on, beside what artefacts say."
)
@click.option("--trained-against", multiple=True, metavar="SIMULATOR", help="Simulators it was trained against, likewise.")
@click.option("--control", "controls", multiple=True, type=FOLDER, help="A control run, beside those inside the run's folder.")
@click.option(
    "--form",
    type=click.Choice(["transcripts", "ranks"]),
    help="Whole dialogues, or ranks per scenario without any text.  [default: transcripts only where the data are CC0]",
)
@click.option("--board", type=FOLDER, help="Write into this board's submissions, instead of --out.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("submissions"), show_default=True)
def prepare_command(
    runs: tuple[Path, ...],
    name: str,
    authors: tuple[str, ...],
    code_url: str,
    description: str,
    trained_on: tuple[str, ...],
    trained_against: tuple[str, ...],
    controls: tuple[Path, ...],
    form: str | None,
    board: Path | None,
    out: Path,
) -> int:
    """Write a submission per finished run: submission.json, manifest, compressed dialogues, and the ranks of its controls."""
    from harness.cli.output import line
    from harness.errors import UsageError
    from harness.leaderboard.contents import Problems, check_contents
    from harness.leaderboard.prepare import About, prepare
    from harness.leaderboard.validate import read_board
    from harness.registry import Registry

    if controls and len(runs) > 1:
        raise UsageError("--control goes with one run; controls inside the runs' folders (harness run --control) are found")
    people = [part.strip() for said in authors for part in said.split(",") if part.strip()]
    about = About(
        name=name, authors=people, code_url=code_url, description=description, trained_on=trained_on,
        trained_against=trained_against,
    )  # fmt: skip
    registry = Registry()
    failed = False
    for run in runs:
        folder = prepare(registry, run, about, out, controls=controls, form=form, board=board)  # type: ignore[arg-type]
        told = Problems()
        contents = check_contents(registry, folder, told, None if board is None else read_board(board))
        for problem in told.listed():
            click.echo(line(f"{folder.name}/{problem}"), err=True)
        failed = failed or bool(told.found)
        if contents is not None and not told.found:
            held = contents.submission
            played, named = held.results.counts.played, ", ".join(held.controls) or "none"
            click.echo(f"{folder}: {held.form} of {played:,} dialogues, controls: {named}")
            click.echo(f"check it: harness submit validate {folder}", err=True)
    return int(failed)


@command.command(
    "validate",
    epilog="""\b
Examples:
  harness submit validate submissions/cinema-novel-rule/mine-1.0
  harness submit validate leaderboards/*/submissions/*                          all there are, each against its own board
  harness submit validate DIR --board leaderboards/redial-novel-rule --dataset-opt path=/data/redial
""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--board", type=FOLDER, help="The board that it is for.  [default: the one that it lies in]")
@click.option("--dataset-opt", "pairs", multiple=True, metavar="K=V", help="An option of the data set on this machine.")
@click.option("--no-data", is_flag=True, help="Don't load the data set: scenarios and the simulator's side are not checked.")
@json_option()
def validate_command(
    folders: tuple[Path, ...], board: Path | None, pairs: tuple[str, ...], no_data: bool, as_json: bool
) -> int:
    """Recompute every score of a submission from its dialogues, and check all that a leaderboard demands.

    When anything is wrong, every problem is listed with its file and field, and the exit code is 1."""
    from harness.cli.output import line, print_json
    from harness.leaderboard.replay import Loader
    from harness.leaderboard.validate import validate
    from harness.options import parse_pairs
    from harness.registry import Registry

    registry = Registry()
    loader = None if no_data else Loader(registry, parse_pairs(pairs, "--dataset-opt"))
    shown = []
    wrong = 0
    for folder in folders:
        verdict = validate(registry, folder, board=board, loader=loader)
        wrong += bool(verdict.problems)
        if as_json:
            problems = [problem._asdict() for problem in verdict.problems]
            shown.append({"folder": str(folder), "valid": not problems, "problems": problems, "notes": verdict.notes})
            continue
        for problem in verdict.problems:
            click.echo(line(f"{folder}: {problem}"))
        for note in verdict.notes:
            click.echo(line(f"{folder}: note: {note}"), err=True)
        click.echo(f"{folder}: {len(verdict.problems)} problems" if verdict.problems else f"{folder}: valid")
    if as_json:
        print_json(shown)
    return int(wrong > 0)
