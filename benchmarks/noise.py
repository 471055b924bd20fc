"""SMTPO's claim, tested: does what was learned against a simulator stand false feedback better than a search at test time?

    python -m benchmarks.noise --artifact smtpo-tiny --scenarios 200 --eps 0,.1,.2,.4 --seeds 0,1 --out runs/noise --plot n.svg

The same scenarios are played by `smtpo-search` (frozen, beam search against an imagined seeker), `smtpo` after SFT and after
RL, and `hybrid` (no training, no model). The seeker is `rule`, whose statements are false with probability eps, and
`smtpo-base`, the simulator before its training. Every cell is an ordinary run folder below --out: what is finished is not
played again, what was interrupted goes on, and `harness report`, `compare` and `score` read it.

Scores of a scenario are averaged over artefacts and seeds first. Intervals and tests are by source dialogue.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
import msgspec
from tabulate import tabulate

from benchmarks.playing import play
from harness import artifacts
from harness.assembly import Assembly
from harness.comparison import Comparison, paired_gain, scenario_means
from harness.errors import HarnessError
from harness.experiment import slug
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.report.text import number, p_value
from harness.statistics import clustered_bootstrap, holm
from harness.store import read_summary
from harness.wholefiles import write_atomically

METRIC: Final = "ndcg@10"
BASE: Final = "sft"
UNTUNED: Final = "untuned"
RECOMMENDERS: Mapping[str, tuple[str, str, Mapping[str, str]]] = MappingProxyType(
    {
        "search": ("frozen + beam search", "smtpo-search", {"stage": "sft"}),
        "sft": ("SFT", "smtpo", {"stage": "sft"}),
        "rl": ("RL", "smtpo", {"stage": "rl"}),
        "hybrid": ("hybrid", "hybrid", {}),
    }
)
"""Short name -> (what it is called, component, options). Those with options take --artifact."""

Rows = list[dict[str, Any]]
Cells = dict[tuple[str, str], Rows]
"""(recommender, simulator) -> the scored dialogues of all its runs. Simulators are "eps 0.1" or `UNTUNED`."""


def _listed(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _noises(context: click.Context, option: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        found = sorted({float(part) for part in _listed(context, option, value)})
    except ValueError:
        raise click.BadParameter("numbers between commas: 0,.1,.2,.4") from None
    if not found or not all(0 <= eps <= 1 for eps in found):
        raise click.BadParameter("at least one number from 0 to 1")
    return tuple(found)


def _seeds(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _listed(context, option, value))
    except ValueError:
        raise click.BadParameter("whole numbers between commas: 0,1,2") from None


@click.command(help=__doc__.replace("\n\n    python", "\n\n\b\n    python"))
@click.option("--artifact", "bundles", multiple=True, default=("smtpo-tiny",), show_default=True,
              help="Bundle with retriever, simulator, sft and rl; one per training seed, any number of times.")  # fmt: skip
@click.option("--scenarios", type=click.IntRange(1), help="First N scenarios of the split; all unless said.")
@click.option("--eps", default="0,.1,.2,.4", show_default=True, callback=_noises, help="Noise of the simulator rule.")
@click.option("--seeds", default="0", show_default=True, callback=_seeds, help="Seeds of the runs.")
@click.option("--rec", "chosen", default="", callback=_listed, help=f"Some of {','.join(RECOMMENDERS)}; all that are there.")
@click.option("--search", multiple=True, metavar="KEY=V", help="Option of smtpo-search (width=4), any number of times.")
@click.option("--rule", multiple=True, metavar="KEY=V", help="Option of the simulator rule (accept=1), any number of times.")
@click.option("--untuned-opt", multiple=True, metavar="KEY=V", help="Option of smtpo-base (accept=1), any number of times.")
@click.option("--untuned/--no-untuned", default=True, show_default=True, help="Play against smtpo-base too.")
@click.option("--dataset", default="cinema", show_default=True)
@click.option("--split", default="validation", show_default=True, help="test: once, when all is chosen.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/noise"), show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers there.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the curves there (.svg, .png, .pdf).")
def main(
    bundles: tuple[str, ...],
    scenarios: int | None,
    eps: tuple[float, ...],
    seeds: tuple[int, ...],
    chosen: tuple[str, ...],
    search: tuple[str, ...],
    rule: tuple[str, ...],
    untuned_opt: tuple[str, ...],
    untuned: bool,
    dataset: str,
    split: str,
    out: Path,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    unknown = [name for name in chosen if name not in RECOMMENDERS]
    if unknown:
        raise click.UsageError(f"--rec: there is no {unknown[0]!r}; there are {', '.join(RECOMMENDERS)}")
    names = tuple(chosen or RECOMMENDERS)
    shared = {"dataset": dataset, "split": split, "limit": scenarios}
    simulators = {f"eps {value:g}": ("rule", [*rule, f"eps={value:g}"]) for value in eps}
    try:
        if not chosen:
            names = _there(names, bundles)
        cells, faults = _played(names, simulators, bundles, seeds, search, untuned_opt if untuned else None, shared, out)
        found = results(cells, faults)
    except HarnessError as error:
        raise click.ClickException(str(error)) from None
    options = {"search": search, "rule": rule, "untuned": untuned_opt}
    found["asked"] = {**shared, "artifacts": bundles, "eps": eps, "seeds": seeds, "options": options}
    click.echo(told(found))
    if json_file is not None:
        write_atomically(json_file, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    if plot is not None:
        from benchmarks.noise_plot import draw

        draw(found, UNTUNED, plot)


def _there(names: Sequence[str], bundles: Sequence[str]) -> tuple[str, ...]:
    """Without what an artefact has no part for, which is told."""
    lacking = [bundle for bundle in bundles if "rl" not in artifacts.find(bundle).card.parts]
    if lacking:
        click.echo(f"no curve for RL: {lacking[0]} has no part rl", err=True)
    return tuple(name for name in names if name != "rl" or not lacking)


def _played(
    names: Sequence[str],
    simulators: Mapping[str, tuple[str, list[str]]],
    bundles: Sequence[str],
    seeds: Sequence[int],
    search: Sequence[str],
    untuned: Sequence[str] | None,
    shared: Mapping[str, Any],
    out: Path,
) -> tuple[Cells, dict[str, list[int]]]:
    """All runs, and of each recommender (dialogues that end with its fault, dialogues)."""
    registry = Registry()
    cells: Cells = {}
    faults: dict[str, list[int]] = {}
    like: Assembly | None = None
    for name, bundle, seed in itertools.product(names, bundles, seeds):
        title, component, options = RECOMMENDERS[name]
        trained = [f"artifact={bundle}", *(f"{key}={value}" for key, value in options.items())] if options else []
        against = dict(simulators)
        if untuned is not None:
            against[UNTUNED] = ("smtpo-base", [f"artifact={bundle}", *untuned])
        for label, (simulator, noise) in against.items():
            own = bool(trained) or label == UNTUNED
            if not own and bundle != bundles[0]:
                continue  # nothing in it was trained
            folder = out / f"{name}--{slug(label)}--{slug(bundle[-40:]) if own else 'any'}-{seed}"
            click.echo(f"{title}, {label}, {bundle}, seed {seed}: {folder}", err=True)
            flags = {**shared, "rec": component, "sim": simulator, "sim-opt": noise, "seed": seed}
            flags["rec-opt"] = [*trained, *search] if name == "search" else trained
            like = play(registry, flags, folder, like)
            cells.setdefault((name, label), []).extend(read_rows(folder))
            counts, count = read_summary(folder)["counts"], faults.setdefault(name, [0, 0])
            count[0] += counts["recommender_faults"]
            count[1] += counts["played"]
    return cells, faults


def results(cells: Cells, faults: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Means with intervals; differences to SFT; changes from the least noise, and how they differ from SFT's.

    p is corrected (Holm) over each of these three.
    """
    names = list(dict.fromkeys(name for name, _ in cells))
    labels = list(dict.fromkeys(label for _, label in cells))
    quiet = labels[0]
    tests: dict[str, dict[str, Comparison]] = {"difference": {}, "change": {}, "beyond": {}}
    for name, label in cells:
        place = f"{name} | {label}"
        compared = name != BASE and (BASE, label) in cells
        if compared:
            tests["difference"][place] = paired_gain(cells[name, label], cells[BASE, label], METRIC)
        if label in (quiet, UNTUNED) or quiet == UNTUNED:
            continue
        tests["change"][place] = paired_gain(cells[name, label], cells[name, quiet], METRIC)
        if compared:
            own, others = (_changes(cells[who, label], cells[who, quiet]) for who in (name, BASE))
            tests["beyond"][place] = paired_gain(own, others, METRIC)
    return {
        "metric": METRIC,
        "recommenders": {name: RECOMMENDERS[name][0] for name in names},
        "simulators": labels,
        "faults": {name: {"faults": count[0], "dialogues": count[1]} for name, count in faults.items()},
        "scores": {f"{name} | {label}": _mean(rows) for (name, label), rows in cells.items()},
        **{kind: _corrected(found) for kind, found in tests.items()},
    }


def _mean(rows: Rows) -> dict[str, Any]:
    means = scenario_means(rows, METRIC)
    estimate = clustered_bootstrap([value for _, value in means.values()], [source for source, _ in means.values()])[0]
    ended = sum(row["stop"] in ("accepted", "quit") for row in rows)
    return {
        "value": estimate.value,
        "ci": estimate.ci,
        "scenarios": len(means),
        "sources": estimate.clusters,
        "dialogues": len(rows),
        "ended": ended / len(rows),
    }


def _changes(noisy: Rows, quiet: Rows) -> Rows:
    """Per scenario, what noise does to the score; as rows, so that they can be compared like scores."""
    before, after = scenario_means(quiet, METRIC), scenario_means(noisy, METRIC)
    return [
        {"scenario": scenario, "source": source, "values": {METRIC: value - before[scenario][1]}}
        for scenario, (source, value) in after.items()
        if scenario in before
    ]


def _corrected(tests: Mapping[str, Comparison]) -> dict[str, Any]:
    p = [test.p if isinstance(test.p, float) else 1.0 for test in tests.values()]
    return {
        place: {"value": test.difference, "ci": test.ci, "p": test.p, "p_holm": corrected, "scenarios": test.n}
        for (place, test), corrected in zip(tests.items(), holm(p) if p else [], strict=True)
    }


def told(found: Mapping[str, Any]) -> str:
    """All as tables, recommender by simulator."""
    parts = (
        (f"{METRIC} at the last turn [95 % interval]", "scores"),
        ("minus SFT (p: paired, Holm)", "difference"),
        (f"change from {found['simulators'][0]}", "change"),
        ("that change minus SFT's", "beyond"),
    )
    tables = [f"{title}\n{_table(found, key, _cell)}" for title, key in parts if found[key]]
    ended = "share of dialogues that the seeker ended: noise after that changes nothing"
    tables.append(f"{ended}\n{_table(found, 'scores', lambda block: number(block['ended'], 3))}")
    said = [
        f"{found['recommenders'][name]}: {count['faults']} of {count['dialogues']} dialogues end with its fault"
        for name, count in found["faults"].items()
    ]
    least = min(block["scenarios"] for block in found["scores"].values())
    return "\n\n".join((*tables, "\n".join((f"{least} scenarios", *said))))


def _table(found: Mapping[str, Any], key: str, shown: Callable[[Mapping[str, Any]], str]) -> str:
    labels = [
        label for label in found["simulators"] if any(f"{name} | {label}" in found[key] for name in found["recommenders"])
    ]
    lines = [
        [title, *(shown(block) if (block := found[key].get(f"{name} | {label}")) else "" for label in labels)]
        for name, title in found["recommenders"].items()
        if any(f"{name} | {label}" in found[key] for label in labels)
    ]  # fmt: skip
    return str(tabulate(lines, ("", *labels), tablefmt="github", disable_numparse=True))


def _cell(block: Mapping[str, Any]) -> str:
    ci = block["ci"]
    shown = f" [{number(ci[0])}, {number(ci[1])}]" if isinstance(ci, tuple) else ""
    return f"{number(block['value'])}{shown}{' p ' + p_value(block['p_holm']) if 'p_holm' in block else ''}"


if __name__ == "__main__":
    main()
