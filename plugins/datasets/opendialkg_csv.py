"""OpenDialKG as released: opendialkg.csv, one dialogue per row, messages and the knowledge-graph paths that annotators chose.

Column Messages is a JSON list in order of time. {"type": "chat", "sender", "message"} is an utterance. {"type": "action",
"sender", "action_id": "kgwalk/choose_path", "metadata": {"path": [score, [[head, relation, tail], ...], sentence]}} is the path
that its sender chose before writing the next utterance; other actions are talk between the annotators and are left out.

The file has no list of works, no recommendation labels and no split. The rules, all heuristic:
- A work is a name in id2info.json if that file is there; else an entity that some path (or opendialkg_triples.txt, if there)
  gives an actor, director or writer.
- A message names the works where its paths end, and those works on its paths that its text names.
- Where a path starts was talked about before: that work goes to the latest earlier message that names it, else to the last one.
- An assistant's message that names works recommends them.
- The split is `hash_split` of the dialogue's text: 70/15/15, equal dialogues on one side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Attributes, Catalogue, Item, Message, Role, Split, TrainingDialogue
from harness.errors import DataError

from .cutting import cut, hash_split, mentioned_before, unique
from .files import DataFile, field, find_file, need_file, open_file
from .opendialkg_items import CARD, NEED_FACETS, make_item, read_id2info
from .tables import read_csv
from .titles import title_key

FILE = "opendialkg.csv"
TRIPLES = "opendialkg_triples.txt"
ROLES: dict[str, Role] = {"user": "seeker", "assistant": "recommender"}
FACET_OF = {
    "has_genre": "genre",
    "directed_by": "director",
    "starred_actors": "actor",
    "written_by": "writer",
    "in_language": "language",
    "release_year": "year",
}
MAKES_A_WORK = ("director", "actor", "writer")

Triple = tuple[str, str, str]


class Utterance(msgspec.Struct, frozen=True):
    """A message and the paths that its sender chose for it."""

    role: Role
    text: str
    paths: tuple[tuple[Triple, ...], ...] = ()


class Dialogue(msgspec.Struct, frozen=True):
    """A row of the file. `loose` counts paths that no message of the same sender follows, `blank` empty messages."""

    id: str
    utterances: tuple[Utterance, ...]
    loose: int = 0
    blank: int = 0


def load(place: Path, split: str) -> Split:
    """Scenarios of the split, training dialogues and catalogue. Raises DataError with file, line, message and field."""
    dialogues = list(read_dialogues(need_file(place, FILE, card=CARD)))
    catalogue, ids, origin = _works(place, dialogues)
    sides: dict[str, list[TrainingDialogue]] = {"train": [], "validation": [], "test": []}
    for dialogue in dialogues:
        messages = link(dialogue.utterances, ids)
        if any(message.items for message in messages):
            side = sides[hash_split("\n".join(message.text for message in messages))]
            side.append(TrainingDialogue(id=dialogue.id, messages=messages))
    scenarios = cut(sides[split], catalogue, NEED_FACETS)
    skipped = len(dialogues) - sum(map(len, sides.values()))
    notes = [
        f"official CSV: {len(scenarios)} rows from {len(sides[split])} dialogues",
        f"in {mentioned_before(scenarios)} rows a target is already mentioned in the context",
        "targets are read off the annotators' knowledge-graph paths by rule; published scores use other rows (form=processed)",
        f"works are {origin}",
        "split by us (70/15/15 by a hash of the dialogue's text): the source has no split",
        "the source has no like/dislike labels: the need holds the targets and their attributes only",
    ]
    if skipped:
        notes.append(f"{skipped} of {len(dialogues)} dialogues name no work (sports, music, small talk) and were left out")
    loose, blank = sum(d.loose for d in dialogues), sum(d.blank for d in dialogues)
    if loose or blank:
        notes.append(f"left out: {loose} paths that no message of their sender follows, {blank} blank messages")
    return Split(name=split, scenarios=scenarios, training=sides["train"], catalogue=catalogue, notes=tuple(notes))


def read_dialogues(file: DataFile) -> Iterator[Dialogue]:
    """Each row of the file; ids are "csv-<row number from 1>". Raises DataError with file, line, message and field."""
    for number, (where, row) in enumerate(read_csv(file, ("Messages",)), 1):
        yield _dialogue(f"csv-{number}", row["Messages"], where)


def _dialogue(dialogue_id: str, cell: str, where: str) -> Dialogue:
    try:
        entries = msgspec.json.decode(cell)
    except msgspec.DecodeError as error:
        raise DataError(f"{where}: column 'Messages' is not valid JSON ({error})") from None
    if not isinstance(entries, list):
        raise DataError(f"{where}: column 'Messages': expected a JSON list, found {type(entries).__name__}")
    utterances: list[Utterance] = []
    waiting: dict[Role, list[tuple[Triple, ...]]] = {"seeker": [], "recommender": []}
    loose = blank = 0
    for position, entry in enumerate(entries):
        here = f"{where}: message {position}"
        if not isinstance(entry, dict):
            raise DataError(f"{here}: expected an object, found {type(entry).__name__}")
        sender, kind = field(entry, "sender", str, here), field(entry, "type", str, here)
        if sender not in ROLES:
            raise DataError(f"{here}: field 'sender': expected 'user' or 'assistant', found {sender!r}")
        role = ROLES[sender]
        if kind == "action":
            if entry.get("action_id", "kgwalk/choose_path") == "kgwalk/choose_path":
                waiting[role].append(_path(entry, here))
        elif kind == "chat":
            text = field(entry, "message", str, here).strip()
            if not text:
                blank += 1
                continue
            utterances.append(Utterance(role, text, tuple(waiting[role])))
            waiting[role] = []
        else:
            raise DataError(f"{here}: field 'type': expected 'chat' or 'action', found {kind!r}")
    loose += sum(map(len, waiting.values()))
    return Dialogue(dialogue_id, tuple(utterances), loose, blank)


def _path(entry: dict[str, Any], where: str) -> tuple[Triple, ...]:
    path = field(field(entry, "metadata", dict, where), "path", list, where)
    triples = path[1] if len(path) > 1 and isinstance(path[1], list) else None
    if triples is None or not all(
        isinstance(t, list) and len(t) == 3 and all(isinstance(part, str | int) for part in t) for t in triples
    ):
        raise DataError(
            f"{where}: field 'metadata.path': expected [score, [[head, relation, tail], ...], sentence], found {path!r:.80}"
        )
    return tuple((str(head), str(relation), str(tail)) for head, relation, tail in triples)


def link(utterances: Iterable[Utterance], ids: Mapping[str, str]) -> tuple[Message, ...]:
    """The messages with the works that they name (see the rules above). `ids` maps entity names to item ids."""
    spoken = list(utterances)
    words = [f" {title_key(u.text)} " for u in spoken]
    items: list[list[str]] = [[] for _ in spoken]
    for n, utterance in enumerate(spoken):
        for path in utterance.paths:
            if not path:
                continue
            start, end = path[0][0], path[-1][2]
            for name in unique(name for triple in path for name in (triple[0], triple[2])):
                if name in ids and (name == end or _named(name, words[n])):
                    items[n].append(ids[name])
            if start in ids and start != end and not _named(start, words[n]) and n:
                earlier = next((m for m in range(n - 1, -1, -1) if _named(start, words[m])), n - 1)
                items[earlier].append(ids[start])
    return tuple(Message(role=u.role, text=u.text, items=unique(named)) for u, named in zip(spoken, items, strict=True))


def _named(name: str, words: str) -> bool:
    """The title, without a qualifier such as "(Crime Fiction Film)", stands in the text as whole words."""
    key = title_key(name.split(" (")[0])
    return bool(key) and f" {key} " in words


def _works(place: Path, dialogues: Iterable[Dialogue]) -> tuple[Catalogue, Mapping[str, str], str]:
    info = find_file(place, "id2info.json")
    if info is not None:
        works = read_id2info(info)
        return works.catalogue, works.ids, "the names in id2info.json"
    triples = [triple for d in dialogues for u in d.utterances for path in u.paths for triple in path]
    named = unique(name for head, _, tail in triples for name in (head, tail))
    facts: dict[str, dict[str, dict[str, None]]] = {name: {} for name in named}
    origin = f"entities with an actor, director or writer on some path ({TRIPLES} is not there to tell more)"
    graph = find_file(place, TRIPLES)
    if graph is not None:
        _collect(read_triples(graph), facts)
        origin = f"entities on some path that have an actor, director or writer in {TRIPLES}"
    _collect(triples, facts)
    items = [_item(name, facts[name]) for name in named if any(facet in facts[name] for facet in MAKES_A_WORK)]
    return Catalogue(items), {item.id: item.id for item in items}, origin


def read_triples(file: DataFile) -> Iterator[Triple]:
    """opendialkg_triples.txt: head, relation and tail between tabs. Lines that lack a part are passed over."""
    with open_file(file) as lines:
        for raw in lines:
            parts = raw.decode("utf-8", errors="replace").rstrip("\r\n").split("\t")
            if len(parts) == 3:
                yield parts[0], parts[1], parts[2]


def _collect(triples: Iterable[Triple], facts: dict[str, dict[str, dict[str, None]]]) -> None:
    """Adds what the triples say about entities that are already keys of `facts`; "~relation" is the inverse."""
    for head, relation, tail in triples:
        work, value = (tail, head) if relation.startswith("~") else (head, tail)
        facet = FACET_OF.get(relation.removeprefix("~"))
        if facet is not None and work in facts:
            facts[work].setdefault(facet, {})[value] = None


def _item(name: str, facts: Mapping[str, Mapping[str, None]]) -> Item:
    attributes: Attributes = {facet: tuple(values) for facet, values in facts.items() if facet != "year"}
    years = sorted(int(year) for year in facts.get("year", ()) if year.isdecimal() and len(year) == 4)
    return make_item(name, name, years[0] if years else None, attributes)
