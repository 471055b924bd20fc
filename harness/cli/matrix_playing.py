"""Playing a matrix pair by pair, and laying out its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.assembly import Assembly, assemble
from harness.cli.matrix_settings import Named, flags_of, labels_of
from harness.cli.progress import Progress
from harness.cli.settings import run_config
from harness.engines import Engine
from harness.errors import ConfigMismatch, UsageError
from harness.experiment import complete, execute, slug
from harness.isolation.opening import keep_out
from harness.matrix import agreements, gather, transfers
from harness.models import charge
from harness.registry import Registry
from harness.report.rows import read_rows
from harness.results import bind_metrics, need_judge
from harness.store import MANIFEST, read_lines, read_manifest, read_summary
from harness.wholefiles import write_atomically

CONTENT: Final = "matrix.json"


class Stopped(msgspec.Struct, frozen=True):
    """Why a matrix is not finished, and the exit code that says so."""

    text: str
    code: int


def folder_of(out: Path, rec: Named, sim: Named) -> Path:
    """Where a pair's run lies."""
    return out / f"{slug(rec.label)}--{slug(sim.label)}"


def play_all(
    recommenders: Sequence[Named],
    simulators: Sequence[Named],
    shared: Mapping[str, Any],
    out: Path,
    metrics: Sequence[str],
    progress: Progress,
    engine: Engine,
) -> Stopped | None:
    """Play what is missing, pair by pair; None when all is there. Raises what is wrong with any pair before it plays one."""
    pairs = [(rec, sim) for rec in recommenders for sim in simulators]
    folders = [folder_of(out, rec, sim) for rec, sim in pairs]
    if len(set(folders)) < len(folders):
        raise UsageError("two labels make one folder's name: choose labels that differ in letters and digits")
    configs = {(rec.label, sim.label): run_config(flags_of(rec, sim, shared), {}) for rec, sim in pairs}
    keep_out(configs.values(), metrics)
    registry = Registry()
    without = [label for label, config in configs.items() if config.simulator is None]
    if without:
        raise UsageError("a matrix needs simulators: choose another --preset than static, or --turns above 1")
    if not any(config.isolation for config in configs.values()):  # else only their own processes know them
        for rec in recommenders:
            registry.find("recommender", rec.name)
    for sim in simulators:
        registry.find("simulator", sim.name)
    need_judge(bind_metrics(registry, metrics), next(iter(configs.values())).judge_llm)
    last: Assembly | None = None
    for number, ((rec, sim), folder) in enumerate(zip(pairs, folders, strict=True), 1):
        said = f"[{number}/{len(pairs)}] {rec.label} x {sim.label}"
        config = configs[rec.label, sim.label]
        # The data, the language models' limits, and a recommender that is prepared already go from pair to pair.
        last = assemble(registry, config, like=last)
        if _there(folder, last, metrics):
            charge(last.layers, read_lines(folder))
            progress.say(f"{said}: there already")
            continue
        progress.say(said)
        result = execute(registry, config, folder, metrics=metrics, progress=progress, assembly=last, engine=engine)
        if result.summary is None:
            if result.outcome.interrupted:
                return Stopped("interrupted", 130)
            return Stopped(f"stopped at {rec.label} x {sim.label}: {result.outcome.stopped}", 1)
    return None


def _there(folder: Path, assembly: Assembly, metrics: Sequence[str]) -> bool:
    """A run of this very configuration is finished and has the metrics. Raises ConfigMismatch where another run lies."""
    if not (folder / MANIFEST).exists() or not complete(folder):
        return False
    if read_manifest(folder).get("fingerprint") != assembly.fingerprint:
        return False  # `execute` says what differs
    return set(metrics) <= set(read_summary(folder)["metrics"])


def laid_out(recommenders: Sequence[Named], simulators: Sequence[Named], out: Path, metrics: Sequence[str]) -> dict[str, Any]:
    """All that a matrix says, also kept as matrix.json: cells, agreement of the simulators, transfer gaps, by metric."""
    pairs = {(rec.label, sim.label): folder_of(out, rec, sim) for rec in recommenders for sim in simulators}
    summaries = {pair: read_summary(folder) for pair, folder in pairs.items()}
    rows = {pair: read_rows(folder) for pair, folder in pairs.items()}
    first = next(iter(summaries.values()))
    names = list(metrics) or [n for n in (f"ndcg@{first['protocol']['k']}", "sr") if n in first["metrics"]]
    runs = {pair: summary["run"] for pair, summary in summaries.items()}
    if len({run["data_hash"] for run in runs.values()}) > 1:
        raise ConfigMismatch(f"the runs in {out} were not played on the same data")
    against = {}
    for rec in recommenders:
        trained = set(runs[rec.label, simulators[0].label]["recommender_trained_against"])
        against[rec.label] = [sim.label for sim in simulators if sim.name in trained or sim.label in trained]
    laid: dict[str, Any] = {}
    for name in names:
        if any(s["metrics"].get(name, {}).get("level", "run") == "run" for s in summaries.values()):
            raise UsageError(f"{name} is no metric of scenarios in every run: it can't be laid out")
        scores = gather(name, labels_of(recommenders), labels_of(simulators), rows)
        laid[name] = {
            "agreement": [msgspec.to_builtins(a) for a in agreements(scores)],
            "transfer": [msgspec.to_builtins(t) for t in transfers(scores, against)],
            "scenarios": len(scores.scenarios),
        }
    cells = [
        {
            "recommender": rec,
            "simulator": sim,
            "folder": str(pairs[rec, sim]),
            "fingerprint": runs[rec, sim]["fingerprint"],
            "values": {name: {key: summary["metrics"][name][key] for key in ("value", "ci", "n")} for name in names},
            "recommender_faults": summary["counts"]["recommender_faults"],
            "invalid": summary["counts"]["invalid"],
            "incomplete": summary["counts"]["incomplete"] + summary["counts"].get("missing", 0),
        }
        for (rec, sim), summary in summaries.items()
    ]
    content = {
        "run": {
            k: first["run"][k] for k in ("dataset", "split", "variant", "data_hash", "preset", "protocol", "seed", "trials")
        },
        "scenarios": first["run"]["scenarios"],
        "recommenders": {r.label: {"name": r.name, "trained_against": against[r.label]} for r in recommenders},
        "simulators": {
            s.label: {"name": s.name, "knowledge": runs[recommenders[0].label, s.label]["knowledge"]} for s in simulators
        },
        "cells": cells,
        "metrics": laid,
    }
    write_atomically(out / CONTENT, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return content
