"""One table of reinforcement learning's choices: `python -m benchmarks.ablations --help`.

Each row is the base with one thing changed, trained with every seed, then played on one split through `harness run`'s own code.
Scores of a scenario are averaged over the seeds, and compared with the base's on the same scenarios (paired by dialogue).
Everything is kept below --out and goes on there: finished trainings are not made again, played dialogues are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from tabulate import tabulate

from benchmarks.playing import play
from harness import training
from harness.assembly import Assembly
from harness.comparison import Comparison, paired_gain
from harness.config import Choice
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.report.text import interval, number, p_value
from harness.statistics import clustered_bootstrap, holm

BASE = "base"
METRICS = ("ndcg@10", "sr")
VARIANTS: Mapping[str, Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "rewards": {
            "no recommendation reward": {"recommendation_reward": "0"},
            "no preference reward": {"preference_reward": "0"},
            "no format reward": {"format_reward": "0"},
        },
        "credit": {
            "credit trajectory": {"credit": "trajectory"},
            "credit state-group": {"credit": "state-group"},
            "leave-one-out": {"baseline": "leave-one-out"},
            "rank-grpo exp_inf": {"ranks": "exp_inf"},
            "rank-grpo log_decay": {"ranks": "log_decay"},
        },
        "T": {"T = 1": {"horizon": "1"}, "T = 3, no curriculum": {"horizon": "3"}, "T = 1, 3, 5": {"horizon": "1,3,5"}},
        "G": {"G = 2": {"group": "2", "scenarios": "192"}, "G = 16": {"group": "16", "scenarios": "24"}},
        "K": {"K = 20": {"candidates": "20"}, "K = 50": {"candidates": "50"}},
        "control": {"supervised instead (sft-continued)": {"method": "sft-continued"}},
    }
)
"""Group -> row -> settings of stage rl. G changes at an equal number of dialogues."""
_ONLY_LM = frozenset({"no preference reward", "no format reward"})
_ONLY_PL = frozenset({"K = 20", "K = 50", "G = 2", "G = 16"})


@click.command()
@click.option("--on", type=click.Choice(["smtpo-pl", "smtpo"]), default="smtpo-pl", show_default=True, help="What is trained.")
@click.option("--groups", default=",".join(VARIANTS), show_default=True, help="Which groups of rows.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Training seeds.")
@click.option("--opt", multiple=True, metavar="KEY=V", help="A setting of stage rl for all rows, any number of times.")
@click.option("--from", "base", help="smtpo: artefact with the parts simulator, retriever and sft.")
@click.option("--sim", default="rule", show_default=True, help="Simulator to learn with and to be scored with.")
@click.option("--dataset", default="cinema", show_default=True)
@click.option("--split", default="validation", show_default=True, help="To score on; test once, when all is chosen.")
@click.option("--limit", type=int, help="First N scenarios of the split only.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/ablations"), show_default=True)
def main(
    on: str,
    groups: str,
    seeds: str,
    opt: Sequence[str],
    base: str | None,
    sim: str,
    dataset: str,
    split: str,
    limit: int | None,
    out: Path,
) -> None:
    """Train every row with every seed, play, and print one table."""
    registry = Registry()
    shared = dict(pair.split("=", 1) for pair in opt)
    chosen = [name.strip() for name in groups.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in VARIANTS]
    if unknown:
        raise click.UsageError(f"--groups: there is no group {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    numbers = [int(seed) for seed in seeds.split(",")]
    scored: dict[str, list[list[dict[str, Any]]]] = {}
    like: Assembly | None = None
    for (name, settings), seed in itertools.product(_rows(on, chosen), numbers):
        folder = out / on / f"{_slug(name)}-{seed}"
        click.echo(f"{name}, seed {seed}: {folder}", err=True)
        config = training.TrainConfig(
            trainer=on,
            dataset=Choice(dataset),
            stage="rl",
            seed=seed,
            options={f"rl.{key}": value for key, value in {**shared, **settings}.items()},
            base=base,
            simulator=Choice(sim),
        )
        training.train(registry, config, folder)
        options = [f"artifact={folder / 'rl' if on == 'smtpo-pl' else folder}"]
        flags = {"rec": on, "rec-opt": options, "sim": sim, "dataset": dataset, "split": split, "limit": limit}
        run = folder / f"run-{sim}-{split}"
        like = play(registry, flags, run, like)
        scored.setdefault(name, []).append(list(read_rows(run)))
    click.echo(table(scored))


def _rows(on: str, groups: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield BASE, {}
    for group in groups:
        for name, settings in VARIANTS[group].items():
            if name not in (_ONLY_LM if on == "smtpo-pl" else _ONLY_PL):
                yield name, settings


def table(scored: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> str:
    """A line per row: score with interval, spread over the seeds, difference to the base with interval and corrected p."""
    lines, tests = [], []
    for name, seeds in scored.items():
        together = [row for rows in seeds for row in rows]
        first = [row for rows in scored[BASE] for row in rows]
        cells: list[str] = [name]
        for metric in METRICS:
            values = [
                float(row["values"][metric]) for row in together if isinstance(row.get("values", {}).get(metric), float | int)
            ]
            sources = [row["source"] for row in together if isinstance(row.get("values", {}).get(metric), float | int)]
            estimate = clustered_bootstrap(values, sources)[0]
            cells.append(f"{number(estimate.value)} {_ci(estimate.ci)}")
            if metric == METRICS[0]:
                means = [_mean(rows, metric) for rows in seeds]
                cells.append(" ".join(f"{mean:.3f}" for mean in means))
                if name == BASE:
                    cells.append("")
                else:
                    gain = paired_gain(together, first, metric)
                    tests.append((len(lines), gain))
                    cells.append("")
        lines.append(cells)
    corrected = holm([gain.p if isinstance(gain.p, float) else 1.0 for _, gain in tests])
    for (place, gain), p in zip(tests, corrected, strict=True):
        lines[place][3] = _difference(gain, p)
    head = ("row", "NDCG@10 last turn", "by seed", "against the base (p: Holm)", "SR")
    return str(tabulate(lines, head, tablefmt="github", disable_numparse=True))


def _difference(gain: Comparison, p: float) -> str:
    return f"{number(gain.difference)} {_ci(gain.ci)} p {p_value(p)}"


def _ci(ci: Any) -> str:
    return interval({"ci": ci}) if not isinstance(ci, tuple) else f"[{number(ci[0])}, {number(ci[1])}]"


def _mean(rows: Sequence[Mapping[str, Any]], metric: str) -> float:
    values = [row["values"][metric] for row in rows if isinstance(row.get("values", {}).get(metric), float | int)]
    return sum(values) / max(1, len(values))


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()


if __name__ == "__main__":
    main()
