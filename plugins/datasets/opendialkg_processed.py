"""OpenDialKG as processed turns (one JSON line per recommending turn), the form that published single-turn scores use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from harness.api import Message, Role, Scenario, Split, TrainingDialogue
from harness.errors import DataError

from .cutting import mentioned_before, strings, unique
from .files import DataFile, field, find_file, need_file, read_jsonl
from .needs import make_need
from .opendialkg_items import CARD, NEED_FACETS, Works, genre_names, read_candidates, read_id2info

FILES = {"train": "train_data_processed.jsonl", "validation": "valid_data_processed.jsonl", "test": "test_data_processed.jsonl"}
BOOKS = "dialog_Books.jsonl"


class Turn(msgspec.Struct, frozen=True):
    """One record: the utterances so far, the entities in them, and what the assistant recommends next."""

    dialogue: str
    number: int
    context: tuple[str, ...]
    entities: tuple[str, ...]
    rec: tuple[str, ...]
    response: str
    where: str


def load(place: Path, split: str, *, drop_train_overlap: bool, catalogue: str) -> Split:
    """The split of the source files; see `OpenDialKG` for the options. The other splits' files may be missing.

    Raises DataError with file, line and field.
    """
    files = {name: find_file(place, file) for name, file in FILES.items()}
    files[split] = need_file(place, FILES[split], card=CARD)
    turns = {name: read_turns(file) if file else [] for name, file in files.items()}
    works, notes = _works(place, turns, catalogue)
    notes += [f"{FILES[name]} is missing" for name, file in files.items() if file is None]
    held = {name: {turn.dialogue for turn in rows} for name, rows in turns.items()}
    outside = held["validation"] | held["test"]
    apart = [turn for turn in turns["train"] if turn.dialogue not in outside]
    training = apart if drop_train_overlap else turns["train"]
    rows = training if split == "train" else turns[split]
    scenarios = [_scenario(turn, works) for turn in rows]
    state = "left out of training" if drop_train_overlap else "KEPT in training by drop_train_overlap=false"
    other = "test" if split == "validation" else "validation"
    notes += [
        f"{len(scenarios)} rows from {len({turn.dialogue for turn in rows})} dialogues",
        f"in {mentioned_before(scenarios)} rows a target is already mentioned in the context",
        *_books(place, rows),
        *_genre_named(scenarios, works),
        "roles are not in the source: the last context utterance is read as the seeker's, alternating backwards",
        "the source has no like/dislike labels: the need holds the targets and their attributes only",
        f"the source was split by turn, not by dialogue: {len(turns['train']) - len(apart)} of {len(turns['train'])} training "
        f"turns belong to dialogues with validation or test rows and were {state}",
        f"{sum(turn.dialogue in held[other] for turn in rows)} of the {len(rows)} rows belong to dialogues with {other} rows",
    ]
    return Split(split, scenarios, list(combine(training, works.ids)), works.catalogue, tuple(notes))


def read_turns(file: DataFile) -> list[Turn]:
    """All records of one file. Raises DataError with file, line and field, also for a turn that stands twice."""
    turns: list[Turn] = []
    seen: dict[str, int] = {}
    for line, record in read_jsonl(file):
        where = f"{file}:{line}"
        number = record.get("dialog_id")
        if not isinstance(number, int | str) or isinstance(number, bool):
            raise DataError(f"{where}: field 'dialog_id': expected an integer or a string, found {number!r}")
        turn = Turn(
            dialogue=str(number),
            number=field(record, "turn_id", int, where),
            context=tuple(strings(record, "context", where)),
            entities=tuple(strings(record, "entity", where)),
            rec=unique(strings(record, "rec", where)),
            response=field(record, "resp", str, where),
            where=where,
        )
        if not turn.rec:
            raise DataError(f"{where}: field 'rec': expected at least one name; a row without a target can't be scored")
        key = f"{turn.dialogue}_{turn.number}"
        if key in seen:
            raise DataError(f"{where}: dialogue {turn.dialogue}, turn {turn.number} already stands in line {seen[key]}")
        seen[key] = line
        turns.append(turn)
    return turns


def _works(place: Path, turns: Mapping[str, Sequence[Turn]], catalogue: str) -> tuple[Works, list[str]]:
    notes: list[str] = []
    keep: set[str] | None = None
    targets = {name: turn.where for rows in turns.values() for turn in rows for name in turn.rec}
    if catalogue == "item_ids":
        entities, item_ids = find_file(place, "entity2id.json"), find_file(place, "item_ids.json")
        if entities is None or item_ids is None:
            notes.append("item_ids.json or entity2id.json is missing: the catalogue is all of id2info.json")
        else:
            candidates = read_candidates(entities, item_ids)
            keep = candidates | targets.keys()
            if len(keep) > len(candidates):
                notes.append(
                    f"{len(keep) - len(candidates)} target names are not among item_ids.json and were added to the catalogue"
                )
    file = need_file(place, "id2info.json", card=CARD)
    works = read_id2info(file, keep)
    unknown = next((name for name in targets if name not in works.ids), None)
    if unknown is not None:
        raise DataError(
            f"{targets[unknown]}: field 'rec': {unknown!r} is not in {file.name}; the files belong to different releases"
        )
    if works.repeats:
        notes.append(f"{works.repeats} repeated values in the lists of id2info.json were dropped")
    return works, notes


def _scenario(turn: Turn, works: Works) -> Scenario:
    return Scenario(
        id=f"{turn.dialogue}:{turn.number}",
        source=turn.dialogue,
        context=tuple(_messages(turn.context, link(turn.context, turn.entities, works.ids), _roles(len(turn.context)))),
        need=make_need(works.catalogue, [works.ids[name] for name in turn.rec], facets=NEED_FACETS),
    )


def _roles(count: int) -> list[Role]:
    """Seeker last, alternating backwards."""
    return ["seeker" if (count - n) % 2 == 1 else "recommender" for n in range(count)]


def _messages(texts: Sequence[str], items: Sequence[Iterable[str]], roles: Sequence[Role]) -> Iterable[Message]:
    for text, named, role in zip(texts, items, roles, strict=True):
        # The source puts "" before an assistant who opened the dialogue: nobody said that.
        if text.strip() or named:
            yield Message(role=role, text=text, items=unique(named))


def link(context: Sequence[str], entities: Sequence[str], ids: Mapping[str, str]) -> list[list[str]]:
    """Item ids per utterance from the record's flat entity list, which runs utterance by utterance.

    An entity belongs to the first utterance, from that of its predecessor on, which contains its name and hasn't got it yet;
    out of that order to the last utterance with its name, or else to the last utterance. Nothing is lost: the items of all
    messages together are exactly the items among the entities.
    """
    linked: list[list[str]] = [[] for _ in context]
    if not context:
        return linked
    folded = [utterance.casefold() for utterance in context]
    position = 0
    here: set[str] = set()
    for entity in entities:
        name = entity.casefold()
        start = position + 1 if entity in here else position
        found = next((n for n in range(start, len(folded)) if name in folded[n]), None)
        if found is None:
            found = next((n for n in range(len(folded) - 1, -1, -1) if name in folded[n]), len(folded) - 1)
        else:
            if found != position:
                position, here = found, set()
            here.add(entity)
        if entity in ids:
            linked[found].append(ids[entity])
    return linked


def combine(turns: Iterable[Turn], ids: Mapping[str, str]) -> Iterable[TrainingDialogue]:
    """One training dialogue from all records of a dialogue: the longest context and its response, with the items that the
    records link to the context and those that each response recommends."""
    dialogues: dict[str, list[Turn]] = {}
    for turn in turns:
        dialogues.setdefault(turn.dialogue, []).append(turn)
    for dialogue, records in dialogues.items():
        longest = max(records, key=lambda turn: len(turn.context))
        texts = [*longest.context, longest.response]
        items = [*link(longest.context, longest.entities, ids), []]
        roles: list[Role] = [*_roles(len(longest.context)), "recommender"]
        for turn in records:
            place = len(turn.context)
            if texts[place] == turn.response:
                items[place] += [ids[name] for name in turn.rec]
                roles[place] = "recommender"
                if place:
                    roles[place - 1] = "seeker"
        yield TrainingDialogue(id=dialogue, messages=tuple(_messages(texts, items, roles)))


def _books(place: Path, rows: Sequence[Turn]) -> list[str]:
    """Says how many rows are about books, where the file of book dialogues is at hand to tell them by their opening."""
    file = find_file(place, BOOKS)
    if file is None:
        return []
    from .opendialkg_books import read_dialogues

    openings = {tuple(message.text for message in dialogue[:2]) for dialogue in read_dialogues(file)}
    count = sum((*turn.context, turn.response)[:2] in openings for turn in rows)
    return [f"{count} of the rows are about books: the dialogues of `opendialkg-books` are part of this data set"]


def _genre_named(scenarios: Sequence[Scenario], works: Works) -> list[str]:
    names = genre_names(works.catalogue)
    count = sum(not names.isdisjoint(scenario.need.targets) for scenario in scenarios)
    if not count:
        return []
    shown = ", ".join(sorted(item.title for item in works.catalogue if item.id in names)[:4])
    return [f"in {count} rows a target bears the name of a genre ({shown}, ...): the source links works by name alone"]
