"""`harness check`: a component against every clause of the protocol."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from harness.cli.arguments import DEFAULT_DATASET, choice, dataset_choice, isolation_options, json_option
from harness.cli.list_command import kind_named
from harness.cli.output import print_json, table
from harness.config import Choice, RunConfig, Transport
from harness.errors import UsageError
from harness.lookup import chosen
from harness.registry import Entry, Kind, Registry

if TYPE_CHECKING:
    from harness.isolation.settings import Isolation
    from harness.testing import Report


@click.command(
    "check",
    epilog="""\b
Examples:
  harness check mine                          on a small world that needs no file
  harness check mine --opt depth=3            with another option than the default
  harness check mine --dataset cinema         on that catalogue and some of its scenarios
  harness check persona --llm openai:MODEL    with a real language model in place of a stub
  harness check ndcg@10 --json                a metric, for machines
  harness check jsonl --opt path=my.jsonl     a data set: every split is loaded
  harness check smtpo-pl --kind trainer       a trainer: trains a little, is interrupted, and goes on
  harness check their-package:theirs --isolate    a stranger's recommender, in processes of its own
""",
)
@click.argument("name")
@click.option("--kind", metavar="KIND", callback=kind_named, help="Look among this kind of components only.")
@click.option("--opt", "pairs", metavar="K=V", multiple=True, help="An option of the component, any number of times.")
@click.option("--dataset", metavar="NAME", help="Try it on this data set in place of the small world.")
@click.option("--dataset-opt", metavar="K=V", multiple=True, help="An option of that data set, any number of times.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=120.0, show_default=True, metavar="SECONDS",
    help="Limit of one call, as in a run.",
)  # fmt: skip
@click.option("--llm", metavar="SPEC", help="The language model that it asks, as for `harness run`.  [default: a stub]")
@click.option("--llm-opt", metavar="K=V", multiple=True, help="An option of that model, any number of times.")
@isolation_options()
@click.option("--quiet", "-q", is_flag=True, help="Show only what failed or is to be mended.")
@json_option()
def command(
    name: str,
    kind: Kind | None,
    pairs: tuple[str, ...],
    dataset: str | None,
    dataset_opt: tuple[str, ...],
    timeout: float,
    llm: str | None,
    llm_opt: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **isolating: Any,
) -> int:
    """Check an installed component against every clause of the protocol that it can break.

    It is called with ordinary, empty, very long and unusual conversations, alone, in company, from several threads and in
    another process. Every finding names the clause, what happened and how to mend it. Ends with 1 if a clause failed;
    warnings are no failure.
    """
    from harness.cli.settings import isolation
    from harness.testing import check_installed

    if dataset_opt and not dataset:
        raise UsageError("--dataset-opt was given without --dataset")
    if llm_opt and not llm:
        raise UsageError("--llm-opt was given without --llm")
    how: dict[str, Any] = {
        "dataset": dataset_choice(dataset, dataset_opt)[0] if dataset else None,
        "llm": choice(llm, llm_opt, "--llm-opt") if llm else None,
        "timeout": timeout,
    }
    isolated = isolation({name.replace("_", "-"): value for name, value in isolating.items()})
    if isolated is not None:
        if kind not in (None, "recommender"):
            raise UsageError(f"--isolate is for recommenders, and {name!r} is to be checked as a {kind}: leave out --isolate")
        return _isolated(choice(name, pairs, "--opt"), isolated, quiet=quiet, as_json=as_json, **how)
    registry = Registry()
    found = chosen(registry, name, kind, pairs)
    entries = [entry for entry, _ in found]
    if dataset and any(entry.kind == "dataset" for entry in entries):
        raise UsageError("a data set is checked on its own files: leave out --dataset; --opt gives its options")
    how["registry"] = registry
    with _own_terminal():
        reports = [check_installed(entry.full_name, entry.kind, given, **how) for entry, given in found]
    if as_json:
        shown = [as_data(entry, report) for entry, report in zip(entries, reports, strict=True)]
        print_json(shown[0] if len(shown) == 1 else shown)
    else:
        texts = (as_text(entry, report, quiet) for entry, report in zip(entries, reports, strict=True))
        click.echo("\n\n".join(texts))
    if any(finding.clause == "lets-go" for report in reports for finding in report.of("failed")):
        sys.stdout.flush()
        os._exit(1)  # what the component left running would keep this process, and it was told of
    return int(not all(report.ok for report in reports))


def _isolated(
    recommender: Choice, isolation: Isolation, *, dataset: Choice | None, llm: Choice | None, timeout: float, quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """One recommender, whose package is never imported here."""
    from harness.isolation.opening import keep_out
    from harness.testing.isolated import check_isolated

    config = RunConfig(
        recommender=recommender,
        simulator=None,
        turns=1,
        dataset=dataset or Choice(DEFAULT_DATASET),
        rec_llm=llm,
        isolation=isolation,
        transport=Transport(timeout=timeout),
    )
    keep_out([config])
    with _own_terminal():
        entry, report, gaps = check_isolated(Registry(), config, dataset)
    if gaps:
        click.echo(gaps, err=True)
    if as_json:
        print_json(as_data(entry, report))
    else:
        click.echo(as_text(entry, report, quiet))
    return int(not report.ok)


@contextlib.contextmanager
def _own_terminal() -> Iterator[None]:
    """What a component prints must not get into the report, and one that reads from the terminal finds the end of input."""
    keyboard = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing, contextlib.redirect_stdout(sys.stderr):  # noqa: PTH123
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = keyboard


def as_data(entry: Entry, report: Report) -> dict[str, Any]:
    """A report for machines."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "tried_on": report.world,
        "ok": report.ok,
        **{state: len(report.of(state)) for state in ("passed", "warned", "failed", "skipped")},
        "findings": msgspec.to_builtins(report.findings),
    }


def as_text(entry: Entry, report: Report, quiet: bool) -> str:
    """A report for people: a line per clause, then what to do."""
    marks = {"passed": "passed", "failed": "FAILED", "warned": "WARNED", "skipped": "-"}
    shown = [finding for finding in report.findings if not quiet or finding.state in ("failed", "warned")]
    rows = [(marks[f.state], f.clause, f"{f.says}{f': {f.what}' if f.what else ''}") for f in shown]
    parts = [f"{entry.kind} {entry.name} of {entry.distribution} {entry.version}, tried on {report.world}"]
    if rows:
        parts.append(table(rows, ("", "clause", "what it says, and what was found")))
    fixes = [f"{finding.clause}: {finding.fix}" for finding in shown if finding.fix]
    if fixes:
        parts.append("To mend:\n" + "\n".join(f"  {fix}" for fix in fixes))
    counts = [(len(report.of("passed")), "passed"), (len(report.of("warned")), "warned"), (len(report.of("failed")), "failed")]
    parts.append(", ".join(f"{count} {what}" for count, what in counts) + f", {len(report.of('skipped'))} not applicable")
    return "\n\n".join(parts)
