"""`harness matrix`: every recommender with every simulator on the same scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.arguments import dataset_options, engine_options, isolation_options, json_option, model_options


@click.command(
    "matrix",
    epilog="""\b
Examples:
  harness matrix --rec popularity,bm25,hybrid --sim rule,exclude-only,no-feedback --limit 200 --out runs/grid
  harness matrix --rec bm25,sharp=bm25 --rec-opt sharp.k1=2.5 --sim rule            one component twice
  harness matrix --rec bm25 --sim rule,noisy=rule --sim-opt 'noisy={"eps": 0.2}'    options as JSON
  harness matrix --rec a=smtpo,b=hybrid --rec-opt a.model=./mine --sim smtpo,rule   does what it learned transfer?
  harness compare runs/grid/bm25--rule runs/grid/hybrid--rule                       each pair is an ordinary run

The same command again goes on with what is missing.
""",
)
@click.option("--rec", "recs", metavar="A,B,...", multiple=True, required=True, help="Recommenders: NAME or LABEL=NAME each.")
@click.option(
    "--rec-opt", metavar="LABEL.K=V", multiple=True, help="An option of one of them, or LABEL={JSON}; any number of times."
)
@click.option("--sim", "sims", metavar="X,Y,...", multiple=True, required=True, help="Simulators: NAME or LABEL=NAME each.")
@click.option(
    "--sim-opt", metavar="LABEL.K=V", multiple=True, help="An option of one of them, or LABEL={JSON}; any number of times."
)
@dataset_options(default=None)
@model_options()
@isolation_options()
@engine_options()
@click.option("--preset", metavar="NAME", help="As of harness run.  [default: smtpo]")
@click.option("--turns", type=int, metavar="T", help="Most turns of a dialogue.  [default: the preset's, 5]")
@click.option("--k", type=int, metavar="K", help="Length of a ranked list.  [default: the preset's, 10]")
@click.option("--limit", type=int, metavar="N", help="Play the first N scenarios only.")
@click.option("--trials", type=int, metavar="N", help="Repeat every scenario with N seeds.  [default: 1]")
@click.option("--seed", type=int, metavar="S", help="The runs' seed.  [default: 0]")
@click.option(
    "--leak-policy", type=click.Choice(["redact", "keep", "stop"]), help="When a simulator names a target.  [default: redact]"
)
@click.option(
    "--metric",
    "metrics",
    metavar="NAME[@K]",
    multiple=True,
    help="A metric to lay out, any number of times.  [default: NDCG@K and the success rate]",
)
@click.option("--concurrency", type=int, metavar="N", help="Dialogues in flight.  [default: 8; 64 per local model]")
@click.option("--timeout", type=float, metavar="SECONDS", help="Limit of one call of a component.  [default: 120]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/matrix"),
    show_default=True,
    help="The matrix's folder: a run's folder for each pair, and matrix.json.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option()
def command(
    recs: tuple[str, ...],
    rec_opt: tuple[str, ...],
    sims: tuple[str, ...],
    sim_opt: tuple[str, ...],
    metrics: tuple[str, ...],
    out: Path,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Play every recommender with every simulator on the same scenarios: a table with intervals, how alike the simulators rank
    the recommenders, and each recommender's transfer gap: its score with the simulators that it was trained against, minus its
    score with the others.

    A recommender is prepared once for all simulators. Everything that is finished is kept; the same command goes on with it.
    """
    import msgspec

    from harness.cli.engines import opened
    from harness.cli.matrix_playing import laid_out, play_all
    from harness.cli.matrix_settings import components
    from harness.cli.progress import Progress
    from harness.report.matrix import matrix_text

    shared = {name.replace("_", "-"): value for name, value in flags.items()}
    recommenders = components(recs, rec_opt, "--rec")
    simulators = components(sims, sim_opt, "--sim")
    progress = Progress(quiet=quiet or as_json)
    with opened(shared) as engine:
        stopped = play_all(recommenders, simulators, shared, out, metrics, progress, engine)
    if stopped is not None:
        click.echo(f"{stopped.text}; what is finished is kept in {out}. Go on with the same command", err=True)
        return stopped.code
    content = laid_out(recommenders, simulators, out, metrics)
    if as_json:
        click.echo(msgspec.json.encode(content).decode())
    else:
        click.echo(matrix_text(content))
        click.echo(f"\nkept in {out}  (each pair is a run: harness report {out}/*)", err=quiet)
    bad = [cell for cell in content["cells"] if cell["incomplete"]]
    if bad:
        click.echo(f"{len(bad)} runs are incomplete: harness resume {bad[0]['folder']}", err=True)
    return 1 if bad else 0
