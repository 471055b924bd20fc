"""The protocol's clauses for data sets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from harness.api import Catalogue, Ceiling, DatasetCard, HumanLabels, Item, Message, Scenario, Split, TrainingDialogue
from harness.checks import MAX_ID
from harness.errors import HarnessError
from harness.scenarios import data_hash, novel
from harness.testing.calls import snapshot
from harness.testing.clauses import Ledger, Report, Stop, shown, told
from harness.testing.datasetclauses import CLAUSES, SPLITS
from harness.testing.elsewhere import Answer
from harness.testing.recommenders import type_name
from harness.testing.surroundings import watched_generators


def check_dataset(
    make: Callable[[], Any],
    *,
    name: str = "",
    elsewhere: Callable[[], Answer] | None = None,
) -> Report:
    """Try a data set against every clause that it can break. It reads all splits twice.

    `make` gives a new instance; with `name` the card's name is compared to it. `elsewhere` gives `hashes` of another process.
    """
    ledger = Ledger(CLAUSES)
    with watched_generators() as used, suppress(Stop):
        _examine(ledger, make, name, elsewhere)
    ledger.tried("no-global-random")
    for each in used:
        ledger.breach("no-global-random", f"loading changed the state of the global generator {each}")
    return Report("dataset", name or type_name(make), tuple(ledger.findings()), "its own files")


def hashes(make: Callable[[], Any], splits: Sequence[str] = SPLITS) -> list[str]:
    """One hash per split that loads, an empty text for one that doesn't."""
    found = []
    for split in splits:
        try:
            found.append(_hash(make().load(split)))
        except (Exception, SystemExit):  # noqa: BLE001  that it doesn't load is another clause
            found.append("")
    return found


def _hash(split: Split) -> str:
    return data_hash(split, split.scenarios) + "".join(split.notes)


def _examine(ledger: Ledger, make: Callable[[], Any], name: str, elsewhere: Callable[[], Answer] | None) -> None:
    ledger.tried("made")
    try:
        dataset = make()
    except (Exception, SystemExit) as error:
        raise ledger.stop("made", told(error)) from error
    _card(ledger, dataset, name)
    _annotated(ledger, dataset)
    splits = _load(ledger, dataset)
    for split in splits:
        _check_split(ledger, split)
    _overlap(ledger, splits)
    _ceilings(ledger, dataset, splits)
    first = {split.name: _hash(split) for split in splits}
    # Loading takes most of the time: where another process loads everything again, one split is enough here.
    _same(
        ledger, "same-again", "loaded again, it is different", first, hashes(make, SPLITS if elsewhere is None else SPLITS[-1:])
    )
    if not ledger.broken("same-again"):
        _alike(ledger, splits)
    if elsewhere is None:
        ledger.skip("same-elsewhere", "only tried for installed components")
        return
    try:
        found = elsewhere()
    except RuntimeError as error:
        ledger.breach("same-elsewhere", str(error))
        return
    if found.error:
        ledger.breach("same-elsewhere", f"in another process it failed: {found.error}")
        return
    _same(ledger, "same-elsewhere", "another process loads other data", first, found.digests)


def _same(ledger: Ledger, clause: str, what: str, first: Mapping[str, str], second: Sequence[str]) -> None:
    ledger.tried(clause)
    for label, found in zip(SPLITS[-len(second) :], second, strict=True):
        if label in first and found != first[label]:
            ledger.breach(clause, f"split {label}: {what}")


def _card(ledger: Ledger, dataset: Any, name: str) -> None:
    ledger.tried("card")
    card = getattr(dataset, "card", None)
    if not isinstance(card, DatasetCard):
        ledger.breach("card", f"card is {shown(card)}")
        return
    for field in ("name", "title", "licence", "citation", "homepage", "how_to_get"):
        value = getattr(card, field)
        if not isinstance(value, str) or not value.strip():
            # A user's own files may have nothing to cite.
            ledger.breach("card", f"{field} is {shown(value)}", mild=value == "" and field in ("citation", "homepage"))
    if name and card.name != name:
        # A loader of any files carries the name that the files say.
        ledger.breach("card", f"its name is {card.name!r}, the component's is {name!r}", mild=True)


def _annotated(ledger: Ledger, dataset: Any) -> None:
    if not hasattr(dataset, "annotated"):
        ledger.skip("annotated", "it has none")
        return
    ledger.tried("annotated")
    try:
        labels = dataset.annotated()
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("annotated", told(error))
        return
    if not isinstance(labels, HumanLabels):
        ledger.breach("annotated", f"annotated() returned {shown(labels)}")
        return
    _unique(ledger, "annotated", "dialogue", (dialogue.id for dialogue in labels.dialogues))
    aspects: dict[str, set[str]] = {"message": set(), "dialogue": set()}
    for dialogue in labels.dialogues:
        if not dialogue.messages:
            ledger.breach("annotated", f"dialogue {dialogue.id} has no messages")
        for level, scores in (("dialogue", dialogue.scores), *(("message", m.scores) for m in dialogue.messages)):
            aspects[level] |= set(scores)
            if not all(math.isfinite(score) for score in scores.values()):
                ledger.breach("annotated", f"dialogue {dialogue.id}: {shown(scores)}")
    for both in aspects["message"] & aspects["dialogue"]:
        ledger.breach("annotated", f"{both} is scored per message and per dialogue")


def _load(ledger: Ledger, dataset: Any) -> list[Split]:
    ledger.tried("loads")
    ledger.tried("well-formed")
    splits = []
    for label in SPLITS:
        try:
            split = dataset.load(label)
        except HarnessError as error:
            # A data set may have no validation or training split, or human scores alone; without either it is of no use.
            ledger.breach("loads", f"split {label}: {error}", mild=label != "test" or hasattr(dataset, "annotated"))
            continue
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("loads", f"split {label}: {told(error)}")
            continue
        if not isinstance(split, Split) or not isinstance(split.catalogue, Catalogue):
            ledger.breach(
                "loads", f"split {label}: load() returned {shown(split)}, not a harness.Split with a harness.Catalogue"
            )
            continue
        if split.name != label:
            ledger.breach("well-formed", f"split {label} is called {shown(split.name)}")
        splits.append(split)
    ledger.tried("refuses")
    try:
        dataset.load("no-such-split")
    except HarnessError:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("refuses", f"it raised {told(error)}")
    else:
        ledger.breach("refuses", 'load("no-such-split") returned something')
    if not splits:
        raise Stop
    return splits


def _check_split(ledger: Ledger, split: Split) -> None:
    known = split.catalogue
    for clause in ("catalogue", "scenario-ids", "targets", "linked-items", "labels", "need", "playable"):
        ledger.tried(clause)
    for rows, kind in ((known, Item), (split.scenarios, Scenario), (split.training, TrainingDialogue), (split.notes, str)):
        _types(ledger, split.name, rows, kind)
    if ledger.broken("well-formed"):
        raise Stop
    _check_catalogue(ledger, known)
    _unique(ledger, "scenario-ids", f"split {split.name}: scenario", (scenario.id for scenario in split.scenarios))
    _unique(ledger, "well-formed", "training dialogue", (dialogue.id for dialogue in split.training))
    for scenario in split.scenarios:
        where, need = f"split {split.name}, scenario {scenario.id}", scenario.need
        if not need.targets:
            ledger.breach("targets", f"{where}: no target")
        if len(set(need.targets)) < len(need.targets):
            ledger.breach("targets", f"{where}: a target stands twice")
        _all_known(ledger, "targets", f"{where}: target", need.targets, known)
        _all_known(ledger, "labels", where, (*need.liked_items, *need.disliked_items, *need.seen_items), known)
        _messages(ledger, where, scenario.context, known)
        if not scenario.source:
            ledger.breach("well-formed", f"{where}: no source")
        for both in set(need.targets) & set(need.disliked_items):
            ledger.breach("need", f"{where}: {shown(both)} is target and disliked")
        for facet, values in (*need.liked_attributes.items(), *need.disliked_attributes.items()):
            if not values:
                ledger.breach("labels", f"{where}: {facet} has no value")
        for facet, values in need.liked_attributes.items():
            for both in set(values) & set(need.disliked_attributes.get(facet, ())):
                ledger.breach("need", f"{where}: {facet} {shown(both)} is liked and disliked")
    for dialogue in split.training:
        where = f"training dialogue {dialogue.id}"
        _all_known(ledger, "labels", where, (*dialogue.liked, *dialogue.disliked, *dialogue.seen), known)
        _messages(ledger, where, dialogue.messages, known)
    if not novel(split.scenarios):
        ledger.breach(
            "playable", f"split {split.name}: {len(split.scenarios)} rows, none with a target that the context doesn't name"
        )


def _types(ledger: Ledger, split: str, rows: Iterable[Any], kind: type[Any]) -> None:
    """Types as annotated, through and through: reading the row back from JSON is the strictest look there is."""
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(kind).decode
    for number, row in enumerate(rows):
        try:
            if not isinstance(row, kind):
                raise TypeError(f"{shown(row)} is no {kind.__name__}")
            decode(encode(row))
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's objects
            ledger.breach(
                "well-formed", f"split {split}, {kind.__name__} {number} {shown(getattr(row, 'id', ''))}: {told(error)}"
            )


def _check_catalogue(ledger: Ledger, catalogue: Catalogue) -> None:
    if not len(catalogue):
        ledger.breach("catalogue", "it has no items")
    for item in catalogue:
        if not item.id or len(item.id) > MAX_ID:
            ledger.breach("catalogue", f"the id {shown(item.id)} has {len(item.id)} characters, not 1 to {MAX_ID}")
        if not item.title.strip():
            ledger.breach("catalogue", f"item {shown(item.id)} has no title")
        for facet, values in item.attributes.items():
            if not values:
                ledger.breach("catalogue", f"item {shown(item.id)}: {facet} is empty")


def _messages(ledger: Ledger, where: str, messages: Sequence[Message], known: Catalogue) -> None:
    for number, message in enumerate(messages):
        _all_known(
            ledger, "linked-items", f"{where}, message {number}", (*message.items, *message.ranked, *message.rejected), known
        )


def _all_known(ledger: Ledger, clause: str, where: str, ids: Iterable[str], known: Catalogue) -> None:
    for item_id in ids:
        if known.get(item_id) is None:
            ledger.breach(clause, f"{where}: {shown(item_id)} is not in the catalogue")


def _unique(ledger: Ledger, clause: str, what: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for each in ids:
        if not each or each in seen:
            ledger.breach(clause, f"{what} id {shown(each)} is {'empty' if not each else 'used twice'}")
        seen.add(each)


def _overlap(ledger: Ledger, splits: Sequence[Split]) -> None:
    """By source: between the splits, and between the training dialogues and what is tested on."""
    ledger.tried("no-overlap")
    sources = {split.name: {scenario.source for scenario in split.scenarios} for split in splits}
    names = list(sources)
    pairs = [(a, b, sources[a] & sources[b]) for n, a in enumerate(names) for b in names[n + 1 :]]
    for split in splits:
        trained = {dialogue.id for dialogue in split.training}
        pairs += [(f"training of {split.name}", name, trained & sources[name]) for name in names if name != "train"]
    for one, other, both in pairs:
        if both:
            # Test rows that were trained on make scores worthless; shared validation rows make them a little too good.
            mild = (one, other) == ("validation", "test")
            ledger.breach("no-overlap", f"{len(both)} in {one} and {other}: {shown(min(both))}", mild=mild)


def _alike(ledger: Ledger, splits: Sequence[Split]) -> None:
    """What is learned on one split is used on another: catalogue and training dialogues must be the same in each."""
    ledger.tried("one-catalogue")
    for part, what in (("catalogue", "catalogue"), ("training", "training dialogues")):
        digests = {split.name: hashlib.sha256(snapshot(list(getattr(split, part)))).digest() for split in splits}
        others = [name for name, digest in digests.items() if digest != digests[splits[0].name]]
        if others:
            ledger.breach("one-catalogue", f"split {others[0]} has other {what} than split {splits[0].name}")


def _ceilings(ledger: Ledger, dataset: Any, splits: Sequence[Split]) -> None:
    if not hasattr(dataset, "ceilings"):
        ledger.skip("ceilings", "it has none")
        return
    ledger.tried("ceilings")
    played = next((split for split in reversed(splits) if novel(split.scenarios)), None)
    if played is None:
        return
    rows = novel(played.scenarios)[:8]
    try:
        found = list(dataset.ceilings(msgspec.structs.replace(played, scenarios=rows)))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("ceilings", f"on {len(rows)} rows of split {played.name}: {told(error)}")
        return
    for ceiling in found:
        if not isinstance(ceiling, Ceiling):
            ledger.breach("ceilings", f"{shown(ceiling)} is no harness.Ceiling")
        elif not all(isinstance(v, int | float) and math.isfinite(v) for v in ceiling.values.values()):
            ledger.breach("ceilings", f"{ceiling.name}: {shown(ceiling.values)}")
