"""`harness leaderboard`: what maintainers do with boards."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
ROOT = Path("leaderboards")


@click.group(
    "leaderboard",
    epilog="""\b
Examples:
  harness leaderboard new leaderboards/cinema-novel-rule runs/bm25
  harness leaderboard build
  harness leaderboard build --check
""",
)
def command() -> None:
    """Make boards, and build their pages from the submissions."""


@command.command("build")
@click.argument("root", type=FOLDER, default=ROOT)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when a page is not what it would be.")
def build_command(root: Path, check: bool) -> int:
    """Recompute all boards below ROOT (leaderboards) and write their pages; nothing while a submission is not sound."""
    from harness.cli.output import line
    from harness.leaderboard.build import generate, stale, write
    from harness.registry import Registry

    files, problems = generate(Registry(), root)
    for problem in problems:
        click.echo(line(problem), err=True)
    if problems:
        click.echo(f"{len(problems)} problems: nothing was written", err=True)
        return 1
    if check:
        old = stale(files)
        for path in old:
            click.echo(f"{path} is stale: harness leaderboard build {root}", err=True)
        return int(bool(old))
    changed = write(files)
    for path in changed:
        click.echo(path)
    click.echo(f"{len(files)} pages, {len(changed)} written", err=True)
    return 0


@command.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("run", type=FOLDER)
@click.option("--title", help="[default: data set, variant and simulator]")
@click.option("--form", type=click.Choice(["transcripts", "ranks"]), default="transcripts", show_default=True)
def new_command(folder: Path, run: Path, title: str | None, form: str) -> int:
    """Make a board for runs like RUN: the same data, variant, protocol and simulator."""
    from harness.leaderboard.boards import default_title, new_board
    from harness.leaderboard.prepare import finished_run

    title = title or default_title(finished_run(run)[1])
    board = new_board(folder, run, title=title, form=form)  # type: ignore[arg-type]
    click.echo(f"{folder}: {board.title}; {board.scenarios:,} scenarios. Submissions go into {folder / 'submissions'}")
    return 0


@command.command("reproduced")
@click.argument("submission", type=FOLDER)
@click.argument("run", type=FOLDER)
def reproduced_command(submission: Path, run: Path) -> int:
    """Mark a submission as reproduced: RUN, which you have played yourself, has the same dialogues, word for word."""
    from harness.leaderboard.boards import confirm

    confirm(submission, run)
    click.echo(f"{submission} is reproduced; show it with: harness leaderboard build")
    return 0
