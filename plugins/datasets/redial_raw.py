"""The raw ReDial records: parsing, the questionnaire, and turning the chat into turns with linked items."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.api import DatasetCard, Message, Role, TrainingDialogue
from harness.errors import DataError

from .files import DataFile, field, find_file, need_file, open_file, read_jsonl
from .films import clean_title, unescape

LabelSource = Literal["seeker", "recommender", "agree"]
TRAIN_FILES = ("train_data.jsonl", "train_data_partial.jsonl")
TEST_FILES = ("test_data.jsonl",)
MOVIES_FILE = "movies_with_mentions.csv"
OFFICIAL_DIALOGUES = {"train": 10_006, "test": 1_342}

_MENTION = re.compile(r"@(\d+)")


class Answer(msgspec.Struct, frozen=True):
    """One line of a questionnaire: 0 no, 1 yes, 2 did not say."""

    seen: int
    liked: int


class RawDialogue(msgspec.Struct, frozen=True):
    """One checked record. `titles` are the mentioned movies as spelled in the file (None once in the official data)."""

    id: str
    seeker: int
    recommender: int
    titles: dict[str, str | None]
    messages: tuple[tuple[int, str], ...]
    """(worker, text) in order."""
    answers: dict[str, dict[str, Answer]]
    """"seeker" and "recommender" -> movie id -> answer."""


class RawFiles(msgspec.Struct, frozen=True):
    """The raw data set: dialogues of both files, the cleaned title of every movie id, and what had to be repaired."""

    train: tuple[RawDialogue, ...]
    test: tuple[RawDialogue, ...]
    titles: dict[str, str]
    repairs: Counter[str]
    sources: dict[str, DataFile]


class Labels(msgspec.Struct, frozen=True):
    """Item ids by what the questionnaire says of them."""

    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


def read_raw(place: Path, card: DatasetCard) -> RawFiles:
    """Both files of the official data (plain, .gz or in the zip). Raises DataError (file, line, field), also when a
    conversation stands twice or in both files."""
    sources = {"train": need_file(place, *TRAIN_FILES, card=card), "test": need_file(place, *TEST_FILES, card=card)}
    repairs: Counter[str] = Counter()
    titles: dict[str, str] = {}
    movies = find_file(place, MOVIES_FILE)
    if movies is not None:
        sources["movies"] = movies
        titles.update(_read_movies(movies))
    home: dict[str, str] = {}
    train, test = (_read_dialogues(sources[part], home, titles, repairs) for part in ("train", "test"))
    return RawFiles(train, test, titles, repairs, sources)


def _read_dialogues(
    file: DataFile, home: dict[str, str], titles: dict[str, str], repairs: Counter[str]
) -> tuple[RawDialogue, ...]:
    """`home` maps conversations read so far to their place, `titles` movie ids to titles; both grow."""
    dialogues = []
    for line, record in read_jsonl(file):
        where = f"{file}:{line}"
        dialogue = _parse(record, where)
        if dialogue.id in home:
            raise DataError(
                f"{where}: conversationId {dialogue.id!r} stands already in {home[dialogue.id]}; a dialogue may be in one "
                "split only: remove one of the two records"
            )
        home[dialogue.id] = where
        for movie, raw in dialogue.titles.items():
            title = clean_title(raw or "")
            if not title:
                repairs["movies without a name left out"] += 1
            elif titles.setdefault(movie, title) != title:
                repairs["movie names that differ from the first spelling of that id (first one used)"] += 1
        if dialogue.seeker == dialogue.recommender:
            repairs["dialogues of a worker with himself left out"] += 1
            continue
        dialogues.append(dialogue)
    return tuple(dialogues)


def _parse(record: dict[str, Any], where: str) -> RawDialogue:
    titles: dict[str, str | None] = {}
    for movie, title in _mapping(record, "movieMentions", where).items():
        if title is not None and type(title) is not str:
            raise DataError(f"{where}: field 'movieMentions.{movie}': expected a title or null")
        if not movie.isdecimal():
            raise DataError(f"{where}: field 'movieMentions': expected numbers as movie ids, found {movie!r}")
        titles[movie] = title
    messages = []
    for n, message in enumerate(field(record, "messages", list, where)):
        if type(message) is not dict:
            raise DataError(f"{where}: field 'messages[{n}]': expected an object")
        at = f"{where}: messages[{n}]"
        messages.append((field(message, "senderWorkerId", int, at), field(message, "text", str, at)))
    return RawDialogue(
        id=field(record, "conversationId", str, where),
        seeker=field(record, "initiatorWorkerId", int, where),
        recommender=field(record, "respondentWorkerId", int, where),
        titles=titles,
        messages=tuple(messages),
        answers={
            "seeker": _answers(record, "initiatorQuestions", where),
            "recommender": _answers(record, "respondentQuestions", where),
        },
    )


def _mapping(record: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """An object field; the files write an empty one as []."""
    if record.get(name) == []:
        return {}
    return field(record, name, dict, where)


def _answers(record: dict[str, Any], name: str, where: str) -> dict[str, Answer]:
    answers = {}
    for movie, entry in _mapping(record, name, where).items():
        at = f"{where}: {name}.{movie}"
        if type(entry) is not dict:
            raise DataError(f"{at}: expected an object")
        seen, liked = field(entry, "seen", int, at), field(entry, "liked", int, at)
        if not (0 <= seen <= 2 and 0 <= liked <= 2):
            raise DataError(f"{at}: 'seen' and 'liked' must be 0 (no), 1 (yes) or 2 (did not say), found {seen} and {liked}")
        answers[movie] = Answer(seen, liked)
    return answers


def _read_movies(file: DataFile) -> dict[str, str]:
    """Movie id -> cleaned title. The counts in the file are not read: they include the test dialogues."""
    titles = {}
    with open_file(file) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        rows = csv.reader(text)
        try:
            if (header := next(rows, [])) != ["movieId", "movieName", "nbMentions"]:
                raise DataError(f"{file}:1: expected the columns movieId,movieName,nbMentions, found {','.join(header)[:80]!r}")
            for row in rows:
                if len(row) != 3 or not row[0].isdecimal():
                    raise DataError(f"{file}:{rows.line_num}: expected a movie number, a name and a count, found {row!r}"[:300])
                if title := clean_title(row[1]):
                    titles[row[0]] = title
        except UnicodeDecodeError as error:
            raise DataError(f"{file}:{rows.line_num + 1}: not UTF-8 text ({error.reason})") from None
        except csv.Error as error:
            raise DataError(f"{file}:{rows.line_num}: not valid CSV ({error})") from None
    return titles


class Linker:
    """Turns chats into turns: `ids` maps a movie id to the catalogue id (None: no item of this catalogue), `shown` to the
    title that replaces the mention. What is repaired on the way is counted in `repairs`."""

    def __init__(self, ids: Mapping[str, str | None], shown: Mapping[str, str], repairs: Counter[str]) -> None:
        self._ids = ids
        self._shown = shown
        self._repairs = repairs

    def messages(self, dialogue: RawDialogue) -> tuple[Message, ...]:
        """The dialogue's turns: consecutive messages of one speaker are one turn (joined by a space), empty ones are dropped,
        each "@id" becomes the title and is linked."""
        turns: list[tuple[Role, list[str], dict[str, None]]] = []
        for worker, raw in dialogue.messages:
            if worker not in (dialogue.seeker, dialogue.recommender):
                self._repairs["messages of a third worker left out"] += 1
                continue
            items: dict[str, None] = {}
            text = self._text(raw, items)
            if not text:
                self._repairs["empty messages left out"] += 1
                continue
            role: Role = "seeker" if worker == dialogue.seeker else "recommender"
            if turns and turns[-1][0] == role:
                self._repairs["consecutive messages of one speaker merged into the turn before"] += 1
                turns[-1][1].append(text)
                turns[-1][2].update(items)
            else:
                turns.append((role, [text], items))
        return tuple(Message(role, " ".join(texts), tuple(items)) for role, texts, items in turns)

    def _text(self, raw: str, items: dict[str, None]) -> str:
        def replace(found: re.Match[str]) -> str:
            title = self._shown.get(found[1])
            if title is None:
                self._repairs["mentions of an unknown movie id left as they are"] += 1
                return found[0]
            if (item := self._ids.get(found[1])) is not None:
                items[item] = None
            else:
                self._repairs["mentions of movies outside the catalogue kept as text only"] += 1
            # Some writers leave no space around a mention: the title must not grow together with a word.
            before = " " if found.string[: found.start()][-1:].isalnum() else ""
            after = " " if found.string[found.end() : found.end() + 1].isalnum() else ""
            return before + title + after

        return " ".join(_MENTION.sub(replace, unescape(raw)).split())

    def labels(self, dialogue: RawDialogue, source: LabelSource) -> Labels:
        """What the questionnaire says, by catalogue id: the seeker's own answer (the truth), the other worker's guess, or only
        what both say alike. An item with contradictory answers (two ids of one film) has none."""
        mine, theirs = dialogue.answers["seeker"], dialogue.answers["recommender"]
        answers = theirs if source == "recommender" else mine
        liked: dict[str, set[int]] = {}
        seen: dict[str, set[int]] = {}
        for movie, answer in answers.items():
            item = self._ids.get(movie)
            if item is None:
                self._repairs["answers about movies outside the catalogue left out"] += 1
                continue
            other = theirs.get(movie) if source == "agree" else answer
            if other is None:
                continue
            if answer.liked == other.liked:
                liked.setdefault(item, set()).add(answer.liked)
            if answer.seen == other.seen:
                seen.setdefault(item, set()).add(answer.seen)
        return Labels(
            liked=tuple(i for i, given in liked.items() if 1 in given and 0 not in given),
            disliked=tuple(i for i, given in liked.items() if 0 in given and 1 not in given),
            seen=tuple(i for i, given in seen.items() if 1 in given and 0 not in given),
        )


def training_dialogue(dialogue: RawDialogue, linker: Linker, source: LabelSource) -> TrainingDialogue:
    """The whole dialogue with its labels."""
    labels = linker.labels(dialogue, source)
    return TrainingDialogue(dialogue.id, linker.messages(dialogue), labels.liked, labels.disliked, labels.seen)
