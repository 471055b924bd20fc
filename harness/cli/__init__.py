"""The command line: one module per verb, imported when the verb is called.

Exit codes: 0 fine; 1 faults over the threshold; 2 usage, plugin or data; 3 another configuration; 4 store; 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from harness.errors import HarnessError

VERBS = {
    "run": "Play dialogues between a recommender and a simulated user, and score them.",
    "resume": "Go on with an interrupted run.",
    "chat": "Be the user yourself: talk to a recommender in the terminal.",
    "score": "Score a run's recorded dialogues again, with other metrics if you like.",
    "report": "Show runs' scores as a table, or write a page of them.",
    "view": "Look at runs in the browser: plots, tables and every dialogue.",
    "compare": "Compare runs pairwise on the same scenarios.",
    "export": "Write a run in another tool's format: Inspect, DialogueKit, CSV, Hugging Face datasets.",
    "import": "Make other tools' dialogues something that can be scored: iEvaLM, DialogueKit, CRSArena.",
    "submit": "Make a submission to a leaderboard, and check one.",
    "leaderboard": "Make boards, and build their pages from the submissions.",
    "matrix": "Play every recommender with every simulator, and see whether the simulators agree.",
    "metaeval": "Hold metrics and judges against human scores.",
    "list": "List data sets, recommenders, simulators and metrics.",
    "show": "Show a component's description and options.",
    "train": "Train a model that a recommender or simulator loads.",
    "artifacts": "List and inspect what trainings have made.",
    "data": "Get, inspect, validate and convert data sets.",
    "plugins": "List plugins and what each offers.",
    "doctor": "Check this installation, its plugins and its data.",
    "new": "Write a plugin package to start from.",
    "check": "Check a component against every clause of the protocol.",
}
"""Verb -> one line; each lives in the module harness.cli.<verb>_command as the click command `command`."""


class Verbs(click.Group):
    """Loads a verb's module when it is used, so that --help costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"harness.cli.{name}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table above: no verb's module is imported for the overview."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, VERBS, n=2)
            ctx.fail(f"there is no command {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from harness import __version__

        click.echo(f"harness {__version__}")
        ctx.exit()


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  harness run                                   hybrid against rule on the bundled cinema data
  harness run --rec bm25 --sim rule --limit 50  another recommender, fewer scenarios
  harness list recommenders                     what there is
  harness COMMAND --help                        options and examples of a command""",
)
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
@click.option("--traceback", is_flag=True, help="Show the traceback of an error, for reports of bugs.")
@click.pass_context
def cli(ctx: click.Context, traceback: bool) -> None:
    """Evaluate conversational recommender systems: real multi-turn dialogues, one protocol, scores one can trust."""
    ctx.obj = {"traceback": traceback}


def main(args: list[str] | None = None) -> Any:
    """Entry point of the `harness` command: users' errors are one line and an exit code, never a traceback."""
    arguments = sys.argv[1:] if args is None else args
    try:
        code = cli.main(args=arguments, prog_name="harness", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except HarnessError as error:
        if "--traceback" in arguments:
            raise
        from harness.cli.printable import printable

        click.echo(f"error: {printable(error)}", err=True)
        sys.exit(error.exit_code)
