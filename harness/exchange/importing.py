"""From the files of other tools to a folder that can be scored: read all, link items, write one folder per recommender."""

from __future__ import annotations

import datetime
import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness import __version__
from harness.api import Split
from harness.config import Choice, RunConfig, fingerprint
from harness.errors import DataError, UsageError
from harness.exchange import crsarena, dialoguekit, ievalm
from harness.exchange.foreign import Foreign, dialogues_of, plain_name
from harness.exchange.imported import KIND, SCENARIOS, UNKNOWN, catalogue_hash, catalogue_of, is_imported, scenarios_hash
from harness.exchange.items import Linker
from harness.exchange.placing import new_folder
from harness.experiment import slug
from harness.registry import Registry
from harness.store import DIALOGUES, MANIFEST

TOOLS: Final = ("ievalm", "dialoguekit", "crsarena")
SEEKERS: Final = {"ievalm": "iEvaLM's seeker", "crsarena": "people", "dialoguekit": UNKNOWN}
NEEDS_CATALOGUE: Final = ("coverage", "gini", "novelty", "diversity", "ooc", "validity")
"""Metrics of a run that would be wrong without a catalogue."""
NEEDS_TARGETS: Final = (
    "ndcg", "recall", "hr", "mrr", "success", "sr", "at", "interaction-gain", "attribute-precision", "attribute-recall",
    "attribute-f1", "accept-precision", "accept-recall", "polarity", "leak-rate", "agreement",
)  # fmt: skip
"""... or without a target."""
TEXT_METRICS: Final = ("turns", "reply-words", "reply-distinct-2", "seeker-words")
"""What can be measured of any recorded dialogue."""
LEAST_K: Final = 10


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What to import, and how to read it. `dataset` is where titles are looked up. `k`: where lists are cut; None: nowhere
    below 50. `system` names the recommender of files that don't; `only` picks recommenders of files that hold several."""

    tool: str
    paths: Sequence[Path]
    dataset: Choice | None = None
    k: int | None = None
    entities: Path | None = None
    system: str | None = None
    only: Sequence[str] = ()


class Imported(msgspec.Struct, frozen=True):
    """What came of it: a folder per recommender."""

    folder: Path
    system: str
    dialogues: int
    turns: int
    notes: tuple[str, ...]


def import_dialogues(registry: Registry, source: Source, out: Path, *, force: bool = False) -> list[Imported]:
    """Write `out`, or `out`/SYSTEM for each of several recommenders. All files are read before anything is written.

    Raises UsageError, DataError (file, dialogue, field), StoreError.
    """
    if source.tool not in TOOLS:
        raise UsageError(f"unknown tool {source.tool!r}; there are {', '.join(TOOLS)}")
    if source.tool != "ievalm" and source.entities is not None:
        raise UsageError("--entities goes with --from ievalm")
    files = list(_files(source.paths))
    split = None if source.dataset is None else catalogue_of(registry, source.dataset)
    linker = Linker(split.catalogue, split.training) if split is not None else Linker(None)
    found, notes = _read(source, files, linker)
    found = [msgspec.structs.replace(foreign, system=plain_name(foreign.system)) for foreign in found]
    systems = dict.fromkeys(foreign.system for foreign in found)
    for name in source.only:
        if name not in systems:
            raise UsageError(f"--only {name}: no dialogue is of it; the files hold {', '.join(systems)}")
    wanted = [name for name in systems if not source.only or name in source.only]
    places = _places(out, wanted)
    done = []
    for name in wanted:
        mine = _unique([foreign for foreign in found if foreign.system == name])
        done.append(_write(source, files, split, linker, mine, name, places[name], notes, force=force))
    return done


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are, of folders every .json and .jsonl file, by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inner = sorted(each for each in path.iterdir() if each.suffix in (".json", ".jsonl") and each.is_file())
        if not inner:
            raise DataError(f"{path}: holds no .json file")
        yield from inner


def _read(source: Source, files: Sequence[Path], linker: Linker) -> tuple[list[Foreign], list[str]]:
    if source.tool == "ievalm":
        return _read_ievalm(source, files, linker)
    reader: Callable[[Path, Linker], Iterator[Foreign]] = crsarena.read if source.tool == "crsarena" else dialoguekit.read
    found = [foreign for path in files for foreign in reader(path, linker)]
    if source.system is not None:
        found = [msgspec.structs.replace(foreign, system=source.system) for foreign in found]
    return found, []


def _read_ievalm(source: Source, files: Sequence[Path], linker: Linker) -> tuple[list[Foreign], list[str]]:
    names = ievalm.Names(source.entities)
    if not names.given:
        for path in files:
            names.learn(dialogues_of(path))
    found, wrong, notes = [], 0, []
    for path in files:
        system = source.system or ievalm.system_of(path)[0]
        for foreign, success in ievalm.read(path, linker, names, system):
            hit = any(target in said.items for said in foreign.turns for target in foreign.targets)
            wrong += success is not None and success != hit
            found.append(foreign)
    if wrong:
        hint = "" if names.given else "; item names were read off the dialogues: --entities entity2id.json has them all"
        notes.append(f"in {wrong:,} of {len(found):,} dialogues rec_success says something else than the lists{hint}")
    return found, notes


def _unique(found: list[Foreign]) -> list[Foreign]:
    """Dialogues of one name get a number: a tool may name each by its participants."""
    seen: set[tuple[str, int]] = set()
    kept = []
    for foreign in found:
        name, number = foreign.id, 1
        while (name, foreign.trial) in seen:
            number += 1
            name = f"{foreign.id}#{number}"
        seen.add((name, foreign.trial))
        kept.append(foreign if name == foreign.id else msgspec.structs.replace(foreign, id=name))
    return kept


def _places(out: Path, systems: Sequence[str]) -> dict[str, Path]:
    if not systems:
        raise UsageError("the files hold no dialogue")
    if len(systems) == 1:
        return {systems[0]: out}
    places: dict[str, Path] = {}
    for name in systems:
        number, base = 1, slug(name)
        place = out / base
        while place in places.values():
            number += 1
            place = out / f"{base}-{number}"
        places[name] = place
    return places


# ------------------------------------------------------------------------------------------------------------------ writing


def _write(
    source: Source,
    files: Sequence[Path],
    split: Split | None,
    linker: Linker,
    found: list[Foreign],
    system: str,
    place: Path,
    notes: Sequence[str],
    *,
    force: bool,
) -> Imported:
    turns = max(1, *(len(foreign.turns) for foreign in found))
    longest = max((len(said.items) for foreign in found for said in foreign.turns), default=0)
    k = source.k or min(max(longest, LEAST_K), 50)
    scenarios = list({foreign.id: foreign.scenario() for foreign in found}.values())
    notes = [*notes, *_notes(found, split)]
    config = RunConfig(
        recommender=Choice(system),
        simulator=Choice(SEEKERS[source.tool]),
        dataset=source.dataset or Choice("none"),
        variant="all",
        preset=UNKNOWN,
        turns=turns,
        k=k,
        success_k=k,
        # What iEvaLM publishes is read at the turn of success, micro over labels.
        read_at="success" if source.tool == "ievalm" else "last",
        headline="micro" if source.tool == "ievalm" else "macro",
        trials=len(found) // len(scenarios) if len(found) % len(scenarios) == 0 else 1,
    )
    targets = any(foreign.targets for foreign in found)
    unknowable = [*(() if split is not None else NEEDS_CATALOGUE), *(() if targets else NEEDS_TARGETS)]
    fields = {
        "protocol": UNKNOWN,
        "recommender.name": system,
        "recommender.distribution": UNKNOWN,
        "recommender.version": UNKNOWN,
        "simulator.knowledge": UNKNOWN,
        "imported.tool": source.tool,
        "imported.files": [{"name": path.name, "sha256": _digest(path)} for path in files[:1000]],
        "k": k,
        "turns": turns,
    }
    manifest = {
        "format": 1,
        "kind": KIND,
        "fingerprint": fingerprint(fields),
        "fields": fields,
        "config": msgspec.to_builtins(config),
        "data_hash": scenarios_hash(scenarios),
        "catalogue_hash": None if split is None else catalogue_hash(split.catalogue),
        "rows": len(scenarios),
        "scenarios": len(scenarios),
        "dialogues": len(found),
        "notes": notes,
        "trained": {},
        "metrics": list(TEXT_METRICS),
        "headline": [] if targets else [*TEXT_METRICS, "repetition", "distinct-2"],
        "unknowable": unknowable,
        "made_by": {"harness": __version__, "python": platform.python_version(), "platform": platform.platform()},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    records = (foreign.record(linker, k, turns) for foreign in found)
    with new_folder(place, force=force, ours=is_imported) as folder:
        (folder / DIALOGUES).write_bytes(_lines(records))
        (folder / SCENARIOS).write_bytes(_lines(scenarios))
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return Imported(place, system, len(found), sum(len(foreign.turns) for foreign in found), tuple(notes))


def _notes(found: Sequence[Foreign], split: Split | None) -> Iterator[str]:
    if not any(foreign.targets for foreign in found):
        yield "the files name no target: nothing that is measured against one is computed (ranking, success, acceptance, leaks)"
    if split is None:
        yield "no catalogue: what needs one (out of catalogue, coverage, novelty, ...) is not computed; --dataset names one"
    if not any(said.items for foreign in found for said in foreign.turns):
        yield "no turn has a list of items" + ("" if split else "; with --dataset the titles in the texts are looked up")
    silent = sum(not foreign.turns for foreign in found)
    if silent:
        yield f"in {silent:,} dialogues the recommender said nothing: they count as misses"


def _lines(rows: Iterable[Any]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
