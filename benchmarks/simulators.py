"""What each task of the simulator's fine-tuning is worth: `python -m benchmarks.simulators --help`.

Every row is trained with every seed on the train split and asked about the same moments of another split: contexts, up to three
lists shown after them, the answers of a seeker that knows the target as the measure. Compared with the row `feedback alone`
(paired: the same moments of the same seed, whole dialogues resampled and swapped). Trainings are kept below --out and continued
there; answers are kept as answers.json beside them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

import click
import msgspec
import numpy as np
from tabulate import tabulate

from harness.api import Scenario, Split
from harness.assembly import load_data, load_split
from harness.config import Choice, RunConfig
from harness.registry import Registry
from harness.report.text import number, p_value
from harness.scenarios import novel
from harness.statistics import RESAMPLES, holm, percentiles, resample_weights
from harness.training import TrainConfig, train
from harness_plugins import prompting
from harness_plugins.smtpo.user.mind import Mind, check
from harness_plugins.smtpo.user.model import Trained, trained
from harness_plugins.trainers.smtpo.simulator_data import Moments
from harness_plugins.trainers.smtpo.simulator_quality import Answered, answer

REFERENCE: Final = "feedback alone"
ROWS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "all three tasks": {},
        REFERENCE: {"lambda_alignment": "0", "lambda_target": "0"},
        "without feedback generation": {"lambda_feedback": "0"},
        "without attribute alignment": {"lambda_alignment": "0"},
        "without target prediction": {"lambda_target": "0"},
    }
)
UNTRAINED: Final = "untrained"
MEASURES: Final = ("attribute F1", "accept precision", "accept recall", "accept F1", "leak rate", "malformed")
TESTED: Final = MEASURES[:4]


@click.command()
@click.option("--rows", default=",".join(ROWS), show_default=True, help="Which rows, by their names.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Training seeds.")
@click.option("--opt", multiple=True, metavar="KEY=V", help="A setting of stage simulator for all rows, any number of times.")
@click.option("--dataset", default="cinema", show_default=True)
@click.option("--split", default="test", show_default=True)
@click.option("--scenarios", default=250, show_default=True, help="Scenarios of the split, drawn by a fixed seed.")
@click.option("--full", metavar="PATH", help="A trained artefact to take as seed 0 of the row `all three tasks`.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/simulators"), show_default=True)
def main(
    rows: str, seeds: str, opt: Sequence[str], dataset: str, split: str, scenarios: int, full: str | None, out: Path
) -> None:
    """Train every row with every seed, ask, and print one table."""
    registry = Registry()
    chosen = [name.strip() for name in rows.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in ROWS]:
        raise click.UsageError(f"--rows: there is no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    shared = dict(pair.split("=", 1) for pair in opt)
    asked = _Asked(registry, dataset, split, scenarios)
    found: dict[str, list[list[Answered]]] = {}
    for name, seed in itertools.product(chosen, map(int, seeds.split(","))):
        folder = out / f"{''.join(c if c.isalnum() else '-' for c in name)}-{seed}"
        click.echo(f"{name}, seed {seed}: {folder}", err=True)
        place = str(folder)
        if name == "all three tasks" and seed == 0 and full is not None:
            place = full
            folder.mkdir(parents=True, exist_ok=True)
        else:
            options = {f"simulator.{key}": value for key, value in shared.items()}
            options |= {f"simulator.mixture.{key}": value for key, value in ROWS[name].items()}
            wanted = TrainConfig(trainer="smtpo", dataset=Choice(dataset), stage="simulator", seed=seed, options=options)
            train(registry, wanted, folder)
        found.setdefault(name, []).append(asked.answers(trained(place), folder / f"answers-{split}-{scenarios}.json"))
        if name == chosen[0]:
            kept = folder / f"answers-{split}-{scenarios}-untrained.json"
            found.setdefault(UNTRAINED, []).append(asked.answers(trained(place, untrained=True), kept))
    click.echo(table(found))


class _Asked:
    """The moments, and the models' answers to them."""

    def __init__(self, registry: Registry, dataset: str, split: str, count: int) -> None:
        config = RunConfig(recommender=Choice("random"), simulator=None, dataset=Choice(dataset), split=split)  # type: ignore[arg-type]
        part, made, held, _ = load_data(registry, config)
        train_split: Split = load_split(part, made, "train")
        every = novel(held.scenarios)
        self._scenarios: list[Scenario] = Random(f"{split}/simulators").sample(every, min(count, len(every)))
        self._moments = Moments(held.catalogue, train_split.training, 0, crossed=False)
        self._source = {scenario.id: scenario.source for scenario in self._scenarios}

    def answers(self, simulator: Trained, kept: Path) -> list[Answered]:
        """From the file where they were given before."""
        if kept.is_file():
            return msgspec.json.decode(kept.read_bytes(), type=list[Answered])
        given = asyncio.run(self._ask(simulator))
        # Whole dialogues are resampled: the source stands in the place of the scenario's name.
        given = [msgspec.structs.replace(each, scenario=self._source[each.scenario]) for each in given]
        kept.write_bytes(msgspec.json.encode(given))
        return given

    async def _ask(self, simulator: Trained) -> list[Answered]:
        from harness.llm.hf import HfModel
        from harness.llm.hf_load import HfOptions

        if simulator.llm is None:
            raise click.UsageError(f"{simulator.artifact.path} holds no model")
        model = HfModel(simulator.llm.removeprefix("hf:"), HfOptions(threads=1))
        prompt = check(prompting.load("harness_plugins.smtpo.user", simulator.prompt))
        try:
            mind = Mind(model, prompt, self._moments.part(self._scenarios[0])[0])
            return await answer(mind, simulator.decision, self._moments, self._scenarios, align=simulator.aligned)
        finally:
            await model.close()


def fractions(answers: Sequence[Answered]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[answers, measures, 2]: what each answer adds to the numerator and to the denominator of each of `MEASURES`.

    Accept F1 is 2 * right / (accepted + lists that hold the target).
    """
    return np.array(
        [
            [
                (a.f1, 1.0),
                (a.right, a.accepted),
                (a.right, a.there),
                (2.0 * a.right, float(a.accepted) + float(a.there)),
                (a.leak, 1.0),
                (a.malformed, 1.0),
            ]
            for a in answers
        ],
        dtype=np.float64,
    )


def by_source(answers: Sequence[Sequence[Answered]], order: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[sources, measures, 2]: sums over the answers of all seeds to a source dialogue's moments."""
    place = {source: number for number, source in enumerate(order)}
    sums = np.zeros((len(order), len(MEASURES), 2))
    for seed in answers:
        np.add.at(sums, [place[a.scenario] for a in seed], fractions(seed))
    return sums


def ratios(sums: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[..., measures] of sums [..., measures, 2]; 0 where there is nothing to divide by: who never accepts is never right."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)


def compared(
    a: np.ndarray[Any, np.dtype[np.float64]], b: np.ndarray[Any, np.dtype[np.float64]]
) -> list[tuple[float, tuple[float, float], float]]:
    """(a - b, its 95 % interval, p) of every measure. Interval: bootstrap of dialogues; p: their answers swapped at random."""
    generator = np.random.default_rng(0)
    weights = resample_weights(generator, len(a), RESAMPLES)
    drawn = ratios(np.einsum("rs,smk->rmk", weights, a)) - ratios(np.einsum("rs,smk->rmk", weights, b))
    observed = ratios(a.sum(0)) - ratios(b.sum(0))
    swapped = generator.integers(2, size=(RESAMPLES, len(a))).astype(np.float64)
    moved = np.einsum("rs,smk->rmk", swapped, b - a)
    statistic = ratios(a.sum(0) + moved) - ratios(b.sum(0) - moved)
    hits = (np.abs(statistic) >= np.abs(observed) - 1e-12).sum(0)
    return [
        (float(observed[m]), percentiles(drawn[:, m]), float((hits[m] + 1) / (RESAMPLES + 1))) for m in range(len(MEASURES))
    ]


def table(found: Mapping[str, Sequence[Sequence[Answered]]]) -> str:
    """A line per row; differences to `feedback alone` below, p corrected over all of them (Holm)."""
    order = sorted({a.scenario for seeds in found.values() for seed in seeds for a in seed})
    lines, tests, pairs = [], [], []
    reference = found.get(REFERENCE)
    for name, seeds in found.items():
        means = ratios(by_source(seeds, order).sum(0))
        lines.append([name, len(seeds), *(number(float(value)) for value in means)])
        if reference is None or name == REFERENCE:
            continue
        seeds_of_both = min(len(seeds), len(reference))
        outcome = compared(by_source(seeds[:seeds_of_both], order), by_source(reference[:seeds_of_both], order))
        for measure in TESTED:
            pairs.append((name, measure, *outcome[MEASURES.index(measure)]))
            tests.append(outcome[MEASURES.index(measure)][2])
    told = str(tabulate(lines, ("row", "seeds", *MEASURES), tablefmt="github", disable_numparse=True))
    if not pairs:
        return told
    differences = [
        [name, measure, f"{value:+.4f}", f"[{low:+.4f}, {high:+.4f}]", p_value(p)]
        for (name, measure, value, (low, high), _), p in zip(pairs, holm(tests), strict=True)
    ]
    head = (f"against {REFERENCE}", "measure", "difference", "95 %", "p (Holm)")
    return f"{told}\n\n{tabulate(differences, head, tablefmt='github', disable_numparse=True)}"


if __name__ == "__main__":
    main()
