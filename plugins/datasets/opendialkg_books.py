"""OpenDialKG's book dialogues, entity linked: one line per dialogue, each a list of messages with the works they name."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from harness.api import Catalogue, DatasetCard, Item, Message, Role, Split, TrainingDialogue
from harness.errors import DataError

from .cutting import check_split, cut, hash_split, mentioned_before, strings, unique
from .files import DataFile, data_folder, field, find_file, need_file, open_file
from .opendialkg_items import CARD as OPENDIALKG
from .opendialkg_items import genre_names, make_item, read_id2info

FILE = "dialog_Books.jsonl"
ROLES: dict[str, Role] = {"user": "seeker", "assistant": "recommender"}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `opendialkg-books`."""

    path: Annotated[
        str | None, msgspec.Meta(description="folder with dialog_Books.jsonl; default $HARNESS_DATA/opendialkg")
    ] = None


class OpenDialKGBooks:
    """Book dialogues; one scenario per assistant message that names a work.

    The source has no split of its own: `hash_split` of the dialogue's text decides.
    """

    card = DatasetCard(
        name="opendialkg-books",
        title="OpenDialKG, book dialogues",
        licence=OPENDIALKG.licence,
        citation=OPENDIALKG.citation,
        homepage=OPENDIALKG.homepage,
        how_to_get=(
            "By hand, because the licence forbids commercial use: from https://github.com/RUCAIBox/iEvaLM-CRS put "
            "dialog_Books.jsonl and id2info.json (data/opendialkg) into a folder and give it as path=FOLDER or as "
            "$HARNESS_DATA/opendialkg"
        ),
    )

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """Scenarios of the split, training dialogues, and every work that the file names. Raises DataError."""
        check_split(split, self.card)
        place = data_folder(self.options.path, "opendialkg", self.card)
        if place.is_file() and place.suffix != ".zip":
            place = place.parent
        dialogues = read_dialogues(need_file(place, FILE, card=self.card))
        catalogue, notes = self._catalogue(place, dialogues)
        ids = {item.title: item.id for item in catalogue}
        sides: dict[str, list[TrainingDialogue]] = {"train": [], "validation": [], "test": []}
        for number, dialogue in enumerate(dialogues, 1):
            messages = tuple(msgspec.structs.replace(m, items=tuple(ids[name] for name in m.items)) for m in dialogue)
            side = sides[hash_split("\n".join(message.text for message in messages))]
            side.append(TrainingDialogue(id=f"book-{number}", messages=messages))
        scenarios = cut(sides[split], catalogue, ("genre", "writer"))
        genres = genre_names(catalogue)
        named = sum(not genres.isdisjoint(scenario.need.targets) for scenario in scenarios)
        notes += [
            f"{len(scenarios)} rows from {len(sides[split])} dialogues",
            f"in {mentioned_before(scenarios)} rows a target is already mentioned in the context",
            f"split by us (70/15/15 by a hash of the dialogue's text; {len(dialogues)} dialogues): the source has no split",
            "the same dialogues are part of `opendialkg`, split otherwise: don't train on one and test on the other",
            "the source has no like/dislike labels: the need holds the targets and their attributes only",
        ]
        if named:
            notes.append(f"in {named} rows a target bears the name of a genre: the source links works by name alone")
        return Split(name=split, scenarios=scenarios, training=sides["train"], catalogue=catalogue, notes=tuple(notes))

    def _catalogue(self, place: Any, dialogues: list[tuple[Message, ...]]) -> tuple[Catalogue, list[str]]:
        names = unique(name for dialogue in dialogues for message in dialogue for name in message.items)
        file = find_file(place, "id2info.json")
        if file is None:
            items = [make_item(name, name, None, {}) for name in names]
            return Catalogue(items), ["id2info.json is missing: the works have titles only, no attributes"]
        works = read_id2info(file, set(names))
        unknown = [name for name in names if name not in works.ids]
        items = [*map(_as_book, works.catalogue), *(make_item(name, name, None, {}) for name in unknown)]
        notes = ["id2info.json merges works of one name: facts of a film (actors, director, its year) were left out"]
        if unknown:
            notes.append(f"{len(unknown)} works are not in id2info.json and have no attributes")
        return Catalogue(items), notes


def _as_book(item: Item) -> Item:
    """Without the facts of a film that bears the same name; its year goes too, because it may be the film's."""
    film = "actor" in item.attributes or "director" in item.attributes
    attributes = {facet: values for facet, values in item.attributes.items() if facet not in ("actor", "director")}
    return msgspec.structs.replace(item, attributes=attributes, year=None if film else item.year)


def read_dialogues(file: DataFile) -> list[tuple[Message, ...]]:
    """Every line's messages; `items` holds the names of the works. Raises DataError with file, line, message and field."""
    dialogues = []
    decode = msgspec.json.Decoder().decode
    with open_file(file) as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file}:{number}"
            if not line.strip():
                continue
            try:
                content = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{where}: not valid JSON ({error})") from None
            if not isinstance(content, list) or not content:
                raise DataError(f"{where}: expected a list of messages, found {type(content).__name__}")
            dialogues.append(tuple(_message(entry, f"{where}: message {n}") for n, entry in enumerate(content)))
    return dialogues


def _message(entry: Any, where: str) -> Message:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected an object, found {type(entry).__name__}")
    role = field(entry, "role", str, where)
    if role not in ROLES:
        raise DataError(f"{where}: field 'role': expected 'user' or 'assistant', found {role!r}")
    return Message(role=ROLES[role], text=field(entry, "text", str, where), items=unique(strings(entry, "item", where)))
