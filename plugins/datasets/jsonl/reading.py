"""Reads and checks the generic format; everything that is wrong is reported at once, with file, line and field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import DataError

from ..files import DataFile, find_file, open_file
from .problems import Problem, kind_of, structure_problems
from .schema import CATALOGUE_FILE, DIALOGUES_FILE, FORMAT, VERSION, DialogueLine, Header, ItemLine, Line, NeedLine

CAP = 100
"""So many problems are listed at most."""


class Content(msgspec.Struct):
    """What the file or folder holds. Places are "file:line" pairs, parallel to the lines."""

    header: Header
    items: list[ItemLine]
    dialogues: list[DialogueLine]


class _Stop(Exception):
    """Reading on makes no sense: the cap is reached or the file is something else."""


def validate_file(path: Path, cap: int = CAP) -> list[Problem]:
    """All problems of a file or folder in the generic format, at most `cap`; an empty list means that it can be loaded."""
    return _Reader(cap).read(path)[1]


def read_header(path: Path) -> Header:
    """The first line alone. Raises DataError."""
    reader = _Reader(1)
    with suppress(_Stop):
        next(reader.lines(_files(path)[0]), None)
    if reader.problems:
        raise DataError(str(reader.problems[0]))
    return reader.header


def read_content(path: Path) -> Content:
    """The checked content. Raises DataError that lists the first problems."""
    content, problems = _Reader(CAP).read(path)
    if problems:
        shown = "\n".join(f"  {p}" for p in problems[:10])
        more = f"\n  and {len(problems) - 10} more; harness data validate {path} lists them" if len(problems) > 10 else ""
        raise DataError(f"{path} can't be loaded:\n{shown}{more}")
    return content


def _files(path: Path) -> list[DataFile]:
    """The one file, or the catalogue and the dialogues of a folder. Raises DataError."""
    if path.is_file():
        return [DataFile(path)]
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    found = [find_file(path, name) for name in (CATALOGUE_FILE, DIALOGUES_FILE)]
    missing = [n for n, file in zip((CATALOGUE_FILE, DIALOGUES_FILE), found, strict=True) if file is None]
    if missing:
        raise DataError(f"{path}: a folder in the {FORMAT} format holds {CATALOGUE_FILE} and {DIALOGUES_FILE}; no {missing[0]}")
    return [file for file in found if file is not None]


class _Reader:
    def __init__(self, cap: int) -> None:
        self.header = Header(format=FORMAT, version=VERSION)
        self.problems: list[Problem] = []
        self._cap = cap
        self._items_whole = True
        """No line was lost that could have been an item: then an unknown id is the dialogue's fault."""
        self._decoder = msgspec.json.Decoder(Line)

    def read(self, path: Path) -> tuple[Content, list[Problem]]:
        content = Content(self.header, [], [])
        places: list[tuple[str, int]] = []
        item_places: list[tuple[str, int]] = []
        try:
            for file in _files(path):
                for number, line in self.lines(file):
                    if isinstance(line, ItemLine):
                        content.items.append(line)
                        item_places.append((str(file), number))
                    else:
                        content.dialogues.append(line)
                        places.append((str(file), number))
            content.header = self.header
            broken = bool(self.problems)
            self._check_items(content.items, item_places)
            self._check_dialogues(content, places)
            if not broken:
                self._check_whole(content, str(path))
        except _Stop:
            pass
        except DataError as error:
            self.problems.append(Problem(str(path), 0, "", str(error).removeprefix(f"{path}: ")))
        return content, self.problems

    def _problem(self, place: tuple[str, int], field: str, message: str) -> None:
        self.problems.append(Problem(place[0], place[1], field, message))
        if len(self.problems) >= self._cap:
            raise _Stop

    def lines(self, file: DataFile) -> Iterator[tuple[int, Line]]:
        """(line number, line) of the lines that are well formed; the others become problems."""
        name, first = str(file), True
        with open_file(file) as opened:
            for number, raw in enumerate(opened, 1):
                raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if not raw.strip():
                    continue
                if first:
                    first = False
                    self._read_header((name, number), raw)
                    continue
                try:
                    yield number, self._decoder.decode(raw)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    self._explain((name, number), raw)
        if first:
            self._problem((name, 0), "", f'is empty; the first line must be {{"format":"{FORMAT}","version":{VERSION}}}')

    def _read_header(self, place: tuple[str, int], raw: bytes) -> None:
        content = self._decoded(place, raw)
        if content is None:
            raise _Stop
        if type(content) is not dict or content.get("format") != FORMAT:
            self._problem(place, "format", f'the first line must be {{"format":"{FORMAT}","version":{VERSION},...}}')
            raise _Stop
        version = content.get("version")
        if version != VERSION:
            newer = type(version) is int and version > VERSION
            fix = "; update crs-harness" if newer else ""
            self._problem(place, "version", f"this program reads version {VERSION}, the file says {version!r}{fix}")
            raise _Stop
        problems = structure_problems(content, Header)
        for field, message in problems:
            self._problem(place, field, message)
        if not problems and self.header == Header(format=FORMAT, version=VERSION):
            self.header = msgspec.convert(content, Header)

    def _explain(self, place: tuple[str, int], raw: bytes) -> None:
        content = self._decoded(place, raw)
        if content is None:
            self._items_whole = False
            return
        kind = kind_of(content)
        self._items_whole = self._items_whole and kind is DialogueLine
        if isinstance(kind, str):
            self._problem(place, "type" if type(content) is dict else "", kind)
            return
        for field, message in structure_problems(content, kind):
            self._problem(place, field, message)

    def _decoded(self, place: tuple[str, int], raw: bytes) -> Any:
        try:
            content = msgspec.json.decode(raw)
        except UnicodeDecodeError as error:
            self._problem(place, "", f"not UTF-8 text ({error.reason}); save the file as UTF-8")
        except (msgspec.DecodeError, RecursionError) as error:
            self._problem(place, "", f"not valid JSON ({error}); each line is one whole JSON object")
        else:
            if content is None:
                self._problem(place, "", "expected a JSON object in one line, found null")
            return content
        return None

    def _check_items(self, items: list[ItemLine], places: list[tuple[str, int]]) -> None:
        seen: dict[str, tuple[str, int]] = {}
        for item, place in zip(items, places, strict=True):
            if not item.id:
                self._problem(place, "id", "is empty")
            if not item.title.strip():
                self._problem(place, "title", "is empty; give the item a title")
            before = seen.setdefault(item.id, place)
            if before is not place:
                self._problem(place, "id", f"{item.id!r} stands already in {before[0]}:{before[1]}; ids must be unique")
            self._check_attributes(place, "attributes", item.attributes)

    def _check_attributes(self, place: tuple[str, int], field: str, attributes: dict[str, tuple[str, ...]]) -> None:
        for facet, values in attributes.items():
            if not facet or not values or not all(values):
                self._problem(place, f"{field}.{facet}", "is empty; leave out facets and values that aren't known")

    def _check_dialogues(self, content: Content, places: list[tuple[str, int]]) -> None:
        ids = {item.id for item in content.items}
        titles = {item.title: item.id for item in content.items}
        dialogues: dict[str, tuple[str, int]] = {}
        cases: dict[str, tuple[str, int]] = {}

        def check_ids(place: tuple[str, int], field: str, given: Iterable[str]) -> None:
            for n, item in enumerate(given if self._items_whole else ()):
                if item not in ids:
                    fix = f"that is a title; its id is {titles[item]!r}" if item in titles else "add it as an item line"
                    self._problem(place, f"{field}[{n}]", f"{item!r} is no item of the catalogue: {fix}")

        for dialogue, place in zip(content.dialogues, places, strict=True):
            before = dialogues.setdefault(dialogue.id, place)
            if not dialogue.id:
                self._problem(place, "id", "is empty")
            elif before is not place:
                self._problem(place, "id", f"{dialogue.id!r} stands already in {before[0]}:{before[1]}; ids must be unique")
            if not dialogue.training and dialogue.split != "train":
                self._problem(place, "training", "only dialogues of the train split are training dialogues; leave it out")
            for name in ("liked", "disliked", "seen"):
                check_ids(place, name, getattr(dialogue, name))
            for n, message in enumerate(dialogue.messages):
                at = f"messages[{n}]"
                for name in ("items", "ranked", "rejected"):
                    check_ids(place, f"{at}.{name}", getattr(message, name))
                if message.recommended is False:
                    continue
                if dialogue.needs is not None:
                    self._problem(place, f"{at}.recommended", "give test cases either here or in 'needs', not both")
                if message.role != "recommender":
                    self._problem(place, f"{at}.recommended", "only a recommender's message can recommend")
                if message.recommended is True and not message.items:
                    self._problem(place, f"{at}.items", "is empty, but recommended is true: list the recommended items")
                elif message.recommended == ():
                    self._problem(place, f"{at}.recommended", "is empty; list the recommended items or leave it out")
                elif message.recommended is not True:
                    check_ids(place, f"{at}.recommended", message.recommended)
            for n, need in enumerate(dialogue.needs or ()):
                self._check_need(place, f"needs[{n}]", need, len(dialogue.messages))
                for name in ("targets", "liked", "disliked", "seen"):
                    check_ids(place, f"needs[{n}].{name}", getattr(need, name) or ())
            for case in case_ids(dialogue):
                before = cases.setdefault(case, place)
                if before is not place:
                    self._problem(place, "needs", f"the test case id {case!r} stands already in {before[0]}:{before[1]}")
            if len(set(case_ids(dialogue))) < len(case_ids(dialogue)):
                self._problem(place, "needs", "two test cases of this dialogue have one id; give them different ids")

    def _check_need(self, place: tuple[str, int], at: str, need: NeedLine, messages: int) -> None:
        if not 0 <= need.turn <= messages:
            self._problem(place, f"{at}.turn", f"is {need.turn}; the dialogue has {messages} messages, so 0 to {messages} fit")
        if not need.targets:
            self._problem(place, f"{at}.targets", "is empty; a test case needs at least one target item")
        self._check_attributes(place, f"{at}.liked_attributes", need.liked_attributes or {})
        self._check_attributes(place, f"{at}.disliked_attributes", need.disliked_attributes or {})

    def _check_whole(self, content: Content, name: str) -> None:
        counts = content.header.counts
        if counts is not None:
            for what, held, promised in (
                ("item", len(content.items), counts.items),
                ("dialogue", len(content.dialogues), counts.dialogues),
            ):
                if held != promised:
                    self._problem(
                        (name, 0), "", f"holds {held} {what} lines, its header says {promised}: cut off or edited; mend it"
                    )
        if not content.items:
            self._problem((name, 0), "", "holds no items; add a line of type item for each item that can be recommended")
        for split in ("validation", "test"):
            here = [d for d in content.dialogues if d.split == split]
            if here and not any(case_ids(d) for d in here):
                fix = 'mark the recommender\'s messages with "recommended": true, or give needs'
                self._problem((name, 0), "", f"the {split} dialogues hold no test case: {fix}")


def case_ids(dialogue: DialogueLine) -> list[str]:
    """Ids of the dialogue's test cases, in order: "<dialogue>:<turn>" unless given."""
    if dialogue.needs is not None:
        return [f"{dialogue.id}:{need.turn}" if need.id is None else need.id for need in dialogue.needs]
    return [f"{dialogue.id}:{n}" for n, message in enumerate(dialogue.messages) if message.recommended is not False]
