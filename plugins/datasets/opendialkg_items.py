"""The works that OpenDialKG's dialogues talk about: titles, years and knowledge-graph facts from id2info.json."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.api import Attributes, Catalogue, DatasetCard, Item
from harness.errors import DataError

from .files import DataFile, field, read_json
from .titles import natural_order

FACETS = ("genre", "director", "actor", "writer", "language")
NEED_FACETS = ("genre", "director", "actor", "writer")
_QUALIFIER = re.compile(r"\s+\([^()]*\)$")
_YEAR = re.compile(r"-?\d{1,4}")

CARD = DatasetCard(
    name="opendialkg",
    title="OpenDialKG (films and books)",
    licence="CC BY-NC 4.0 as stated in the README of facebookresearch/opendialkg: non-commercial use only",
    citation=(
        "Moon, Shah, Kumar, Subba: OpenDialKG: Explainable Conversational Reasoning with Attention-based Walks over "
        "Knowledge Graphs. ACL 2019. Processed turns: Wang, Tang, Zhao, Wang, Wen: Rethinking the Evaluation for "
        "Conversational Recommendation in the Era of Large Language Models (iEvaLM). EMNLP 2023."
    ),
    homepage="https://github.com/facebookresearch/opendialkg",
    how_to_get=(
        "By hand, because the licence forbids commercial use. Processed turns: from https://github.com/RUCAIBox/iEvaLM-CRS put "
        "train_data_processed.jsonl, valid_data_processed.jsonl and test_data_processed.jsonl (data/opendialkg_eval) and "
        "id2info.json, entity2id.json and item_ids.json (data/opendialkg) into one folder. Or the official form: put "
        "opendialkg.csv from https://github.com/facebookresearch/opendialkg (folder data) there; opendialkg_triples.txt beside "
        "it adds facts about the works. Give the folder as path=FOLDER or as $HARNESS_DATA/opendialkg"
    ),
)


class Works(msgspec.Struct, frozen=True):
    """The catalogue and the way from a knowledge-graph name to an item id."""

    catalogue: Catalogue
    ids: Mapping[str, str]
    repeats: int = 0
    """List entries that were dropped because the list already held them."""


def genre_names(catalogue: Catalogue) -> set[str]:
    """Ids of items named like a genre of at least 10 works ("Mystery"): linking by name takes the genre for the work."""
    genres = Counter(genre for item in catalogue for genre in item.attributes.get("genre", ()))
    return {item.id for item in catalogue if genres[item.title] >= 10}


def make_item(item_id: str, name: str, year: int | None, attributes: Attributes) -> Item:
    """Aliases are the title without a qualifier ("Zodiac (Crime Fiction Film)") and in natural order ("Magus, The")."""
    bare = _QUALIFIER.sub("", name)
    aliases = dict.fromkeys(a for a in (bare, natural_order(bare)) if a != name)
    return Item(id=item_id, title=name, year=year, attributes=attributes, aliases=tuple(aliases))


def read_id2info(file: DataFile, keep: set[str] | None = None) -> Works:
    """id2info.json: {id: {name, year?, genre?[], ...}}; unknown fields are absent keys, lists hold repeats.

    `keep` limits the catalogue to these names. Raises DataError with file, id and field.
    """
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected an object from item id to facts, found {type(content).__name__}")
    items: list[Item] = []
    ids: dict[str, str] = {}
    repeats = 0
    for item_id, info in content.items():
        where = f"{file}: item {item_id!r}"
        if not isinstance(info, dict):
            raise DataError(f"{where}: expected an object with at least a name, found {type(info).__name__}")
        name = field(info, "name", str, where)
        if keep is not None and name not in keep:
            continue
        if name in ids:
            raise DataError(f"{where}: the name {name!r} already belongs to item {ids[name]!r}; names must be unique")
        attributes: Attributes = {}
        for facet in FACETS:
            values = _values(info, facet, where)
            kept = tuple(dict.fromkeys(values))
            repeats += len(values) - len(kept)
            if kept:
                attributes[facet] = kept
        ids[name] = item_id
        items.append(make_item(item_id, name, _year(info, where), attributes))
    return Works(Catalogue(items), ids, repeats)


def _values(info: dict[str, Any], facet: str, where: str) -> list[str]:
    values = field(info, facet, list, where, [])
    for value in values:
        if not isinstance(value, str):
            raise DataError(f"{where}: field {facet!r}: expected strings, found {value!r}")
    return [value for value in values if value.strip()]


def _year(info: dict[str, Any], where: str) -> int | None:
    text = field(info, "year", str, where, "")
    if not text:
        return None
    if not _YEAR.fullmatch(text):
        raise DataError(f"{where}: field 'year': expected a year in digits, found {text!r}")
    return int(text)


def read_candidates(entities: DataFile, item_ids: DataFile) -> set[str]:
    """Names of the candidate items: item_ids.json lists entity numbers, entity2id.json names them."""
    numbers = read_json(entities)
    wanted = read_json(item_ids)
    if not isinstance(numbers, dict):
        raise DataError(f"{entities}: expected an object from entity name to number, found {type(numbers).__name__}")
    if not isinstance(wanted, list):
        raise DataError(f"{item_ids}: expected a list of entity numbers, found {type(wanted).__name__}")
    names = {number: name for name, number in numbers.items() if isinstance(number, int)}
    missing = [number for number in wanted if number not in names]
    if missing:
        raise DataError(
            f"{item_ids}: entity number {missing[0]!r} is not in {entities.name}; the files belong to different releases"
        )
    return {names[number] for number in wanted}
