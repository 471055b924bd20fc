"""Plain ranked lists of any model, scored like a run's: one JSON object per line.

    {"id": "case-1", "items": ["c0029", "c0855"], "targets": ["c0855"]}
    {"id": "case-2", "titles": ["Alien (1979)", "Heat"], "targets": ["Heat (1995)"], "source": "dialogue-7"}

`items` are ids, `titles` are looked up in the catalogue of a data set; targets are first taken for what the list holds, then
for the other. What is wrong with the file is an error with its line; what is wrong with a list (empty, unknown or repeated
entries) is the model's and counts as a run counts it (protocol, section 3).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import (
    PROTOCOL_VERSION,
    AttemptRecord,
    Catalogue,
    DialogueRecord,
    MetricSetup,
    Need,
    Scenario,
    Split,
    StopReason,
    TurnRecord,
)
from harness.assembly import load_split, resolve
from harness.config import Choice
from harness.errors import UsageError
from harness.exchange.foreign import plain_name
from harness.exchange.items import Linker
from harness.exchange.rankings_file import Line, read, refuse
from harness.judging import asks_model
from harness.presets import default_metrics
from harness.registry import Registry
from harness.results import bind_metrics, popularity
from harness.scenarios import data_hash, novel
from harness.scoring import Reading, score_run

KIND: Final = "rankings"
LEAST_K: Final = 10
NO_CATALOGUE: Final = ("coverage", "gini", "novelty", "diversity", "ooc", "validity")
NOT_MEASURED: Final = ("repetition", "llm-calls", "prompt-tokens", "completion-tokens", "cost", "seconds")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to score. `dataset` None: ids only. `variant`, `split` and `limit` say which scenarios of the data set the lists
    are for, where the file names no targets. `k`: lists are cut there; None: nowhere."""

    file: Path
    dataset: Choice | None = None
    split: str = "test"
    variant: str | None = None
    limit: int | None = None
    k: int | None = None
    metrics: Sequence[str] = ()


class _Cases(msgspec.Struct, frozen=True):
    """What the lists are held against: by scenario id, and what a reader must know of it."""

    scenarios: Mapping[str, Scenario]
    own: bool
    """The targets are the file's own."""
    data_hash: str
    missing: tuple[str, ...] = ()
    """Scenarios of the data set that no line is for."""


def score_rankings(registry: Registry, asked: Asked) -> dict[str, Any]:
    """The summary, in the form of a run's, with the block `rankings`: what the lists were like.

    Raises DataError with the lines of the file that are wrong, UsageError, PluginError.
    """
    split = _split(registry, asked)
    lines = read(asked.file, with_catalogue=split is not None)
    linker = Linker(None) if split is None else Linker(split.catalogue, split.training)
    cases = _cases(asked, lines, split, linker)
    k = asked.k or max(LEAST_K, *(len(line.items) for line in lines))
    counts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    records = [_record(line, cases.scenarios[line.id], linker, k, counts, unknown) for line in lines]
    records += [_absent(cases.scenarios[name]) for name in cases.missing]
    left_out = {*NOT_MEASURED, *(NO_CATALOGUE if split is None else ())}
    names = [name for name in default_metrics(k, 1) if name not in left_out]
    bound = bind_metrics(registry, list(dict.fromkeys([*names, *asked.metrics])))
    judges = [each.name for each in bound if asks_model(each.metric)]
    if judges:
        raise UsageError(f"metric {judges[0]} asks a language model about a dialogue; a ranked list is none")
    catalogue = Catalogue(()) if split is None else split.catalogue
    setup = MetricSetup(catalogue, {} if split is None else popularity(split), k, 1)
    at = min(k, LEAST_K)
    headline = tuple(f"{metric}@{at}" for metric in ("ndcg", "recall", "hr", "mrr"))
    reading = Reading(success_k=k, headline=headline, planned=len(records))
    summary = score_run(records, bound, setup, cases.scenarios, reading=reading).summary
    facts = _facts(counts, unknown, lines, cases, asked, split)
    warnings = _warnings(facts, cases, asked, split)
    return {
        "run": _row_key(asked, split, cases, len(records)),
        **summary,
        "warnings": [*warnings, *summary["warnings"]],
        "rankings": facts,
    }


# -------------------------------------------------------------------------------------------------------------------- cases


def _split(registry: Registry, asked: Asked) -> Split | None:
    if asked.dataset is None:
        return None
    part = resolve(registry, "dataset", asked.dataset)
    return load_split(part, part.create(), asked.split)


def _cases(asked: Asked, lines: Sequence[Line], split: Split | None, linker: Linker) -> _Cases:
    if lines[0].targets is None and split is not None:
        return _of_data(asked, lines, split)
    for flag, value in (("--limit", asked.limit), ("--variant", asked.variant)):
        if value is not None:
            raise UsageError(f"{flag} says which scenarios of a data set were ranked; this file has targets of its own")
    known = {} if split is None else {scenario.id: scenario.source for scenario in split.scenarios}
    wrong: list[str] = []
    scenarios: dict[str, Scenario] = {}
    for line in lines:
        linked = {given: linker.either(given, title_first=line.titles) for given in line.targets or ()}
        for given, target in linked.items():
            if not linker.known(target):
                wrong.append(f"{asked.file}:{line.number}: field 'targets': {given[:80]!r} is not in the catalogue")
        targets = tuple(dict.fromkeys(linked.values()))
        scenarios[line.id] = Scenario(line.id, line.source or known.get(line.id, line.id), (), Need(targets))
    refuse(wrong)
    digest = hashlib.sha256()
    for name in sorted(scenarios):
        digest.update(msgspec.json.encode([name, scenarios[name].source, scenarios[name].need.targets]) + b"\n")
    return _Cases(scenarios, True, digest.hexdigest())


def _of_data(asked: Asked, lines: Sequence[Line], split: Split) -> _Cases:
    """The data set's own scenarios and targets; those that no line is for are misses."""
    variant = asked.variant or "novel"
    scenarios = novel(split.scenarios) if variant == "novel" else list(split.scenarios)
    wanted = {scenario.id: scenario for scenario in scenarios[: asked.limit]}
    raw = {scenario.id for scenario in split.scenarios}
    where = f"{split.name}, {variant}" + (f", the first {asked.limit:,}" if asked.limit else "")
    wrong = []
    for line in lines:
        if line.id not in wanted:
            hint = "--variant or --limit leaves it out" if line.id in raw else "say what was looked for in 'targets'"
            wrong.append(f"{asked.file}:{line.number}: field 'id': {line.id!r} is no scenario of this data ({where}); {hint}")
    refuse(wrong)
    there = {line.id for line in lines}
    missing = tuple(name for name in wanted if name not in there)
    return _Cases(wanted, False, data_hash(split, list(wanted.values())), missing)


# ------------------------------------------------------------------------------------------------------------------ records


def _record(
    line: Line, scenario: Scenario, linker: Linker, k: int, counts: Counter[str], unknown: Counter[str]
) -> DialogueRecord:
    given = tuple(map(linker.title, line.items)) if line.titles else line.items
    items = given[:k]
    strange = [shown for shown, item in zip(line.items, items, strict=False) if not linker.known(item)]
    unknown.update(strange)
    repeated = len(items) - len(set(items))
    counts.update(items=len(items), unknown=len(strange), repeated=repeated, cut=len(given) - len(items), titles=line.titles)
    counts["lists_with_unknown"] += bool(strange)
    counts["lists_with_repeated"] += bool(repeated)
    if not items:
        counts["empty"] += 1
        return _fault(scenario, (), "empty", "the list is empty")
    turn = TurnRecord(items=items, unknown=len(strange), repeated=repeated)
    if len(strange) == len(items):
        counts["out_of_catalogue_lists"] += 1
        return _fault(scenario, (turn,), "out_of_catalogue", "no entry is in the catalogue")
    return _played(scenario, (turn,), "max_turns")


def _absent(scenario: Scenario) -> DialogueRecord:
    return _fault(scenario, (), "empty", "no line of the file is for this scenario")


def _fault(scenario: Scenario, turns: tuple[TurnRecord, ...], kind: str, message: str) -> DialogueRecord:
    fault = AttemptRecord("recommender", kind, message, 0, 1, "recommender")
    return _played(scenario, turns, "recommender_fault", (fault,))


def _played(
    scenario: Scenario, turns: tuple[TurnRecord, ...], stop: StopReason, faults: tuple[AttemptRecord, ...] = ()
) -> DialogueRecord:
    return DialogueRecord(scenario.id, scenario.source, 0, stop, scenario.need.targets, turns, faults)


# ------------------------------------------------------------------------------------------------------------------ telling


def _row_key(asked: Asked, split: Split | None, cases: _Cases, count: int) -> dict[str, Any]:
    dataset = "none" if asked.dataset is None else asked.dataset.name
    return {
        "kind": KIND,
        "recommender": plain_name(asked.file.name),
        "simulator": "none",
        "knowledge": "none",
        "dataset": dataset,
        "split": "file" if cases.own else asked.split,
        "variant": "file" if cases.own else asked.variant or "novel",
        "rows": count,
        "scenarios": count,
        "data_hash": cases.data_hash,
        "preset": KIND,
        "protocol": PROTOCOL_VERSION,
        "seed": 0,
        "trials": 1,
        "notes": [] if split is None else list(split.notes),
    }


def _facts(
    counts: Counter[str], unknown: Counter[str], lines: Sequence[Line], cases: _Cases, asked: Asked, split: Split | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(asked.file), "lists": len(lines), "items": counts["items"]}
    if split is None:
        facts |= {"out_of_catalogue": "unscored", "out_of_catalogue_unscored": "no catalogue: ids only"}
    else:
        facts |= {
            "out_of_catalogue": counts["unknown"],
            "lists_with_out_of_catalogue": counts["lists_with_unknown"],
            "lists_of_nothing_else": counts["out_of_catalogue_lists"],
            "most_frequent_out_of_catalogue": [[name, count] for name, count in unknown.most_common(10)],
        }
    return facts | {
        "grounded_by_title": counts["titles"],
        "repeated": counts["repeated"],
        "lists_with_repeated": counts["lists_with_repeated"],
        "empty_lists": counts["empty"],
        "cut_off": counts["cut"],
        "missing_scenarios": len(cases.missing),
    }


def _warnings(facts: dict[str, Any], cases: _Cases, asked: Asked, split: Split | None) -> Iterator[str]:
    if cases.missing:
        yield (
            f"{len(cases.missing):,} of {len(cases.scenarios):,} scenarios have no list and count as misses; --limit N says "
            "that only the first N were ranked"
        )
    if cases.own:
        yield "the targets are the file's own: these numbers are comparable with lists for the same file alone"
    if split is None:
        yield "ids only: out-of-catalogue entries can't be told; --dataset names a catalogue"
    if facts["empty_lists"]:
        yield f"{_count(facts['empty_lists'], 'empty list')}: misses"
    if facts["cut_off"]:
        yield f"lists were cut at {asked.k}: {facts['cut_off']:,} entries were not read"
    shown = facts.get("most_frequent_out_of_catalogue")
    if shown:
        names = ", ".join(f"{name!r} ({count})" for name, count in shown[:3])
        yield f"out of catalogue most often: {names}"


def facts_line(facts: Mapping[str, Any]) -> str:
    """ "480 lists of 4,800 items; out of catalogue: 12 items in 9 lists (1 with nothing else); ..."."""
    parts = [f"{_count(facts['lists'], 'list')} of {_count(facts['items'], 'item')}"]
    if facts["out_of_catalogue"] == "unscored":
        parts.append("out of catalogue: unscored (ids only)")
    else:
        parts.append(
            f"out of catalogue: {_count(facts['out_of_catalogue'], 'item')} in "
            f"{_count(facts['lists_with_out_of_catalogue'], 'list')} ({facts['lists_of_nothing_else']:,} with nothing else)"
        )
    parts.append(f"repeated: {_count(facts['repeated'], 'item')} in {_count(facts['lists_with_repeated'], 'list')}")
    parts.append(f"empty: {_count(facts['empty_lists'], 'list')}")
    return "; ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
