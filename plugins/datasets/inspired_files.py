"""INSPIRED's dialogue files: the official TSV, INSPIRED2's JSON, and the prefix rows of instructLF's CSV."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from harness.api import Role
from harness.errors import DataError

from .cutting import strings, unique
from .files import DataFile, field, read_json
from .tables import read_csv, read_tsv

ROLES: dict[str, Role] = {"RECOMMENDER": "recommender", "SEEKER": "seeker"}
LABELS = ("accept_rating_good", "accept_rating_mod", "accept_others", "accept_uninterested", "reject")
COLUMNS = ("dialog_id", "speaker", "text", "movies", "movie_dict", "fine_label", "movie_id")

_MAX_CELL = 100_000
_BETWEEN = re.compile(r";|(?<=\(\d{4}\)),")
_TURN = re.compile(r"^(System|User):[ ]?", re.MULTILINE)


class Turn(msgspec.Struct, frozen=True):
    """What one side says until the other speaks: its utterances joined, and the film titles that they name."""

    role: Role
    text: str
    titles: tuple[str, ...] = ()


class Dialogue(msgspec.Struct, frozen=True):
    """One dialogue. `label` is the fine label, `video` the YouTube id of the trailer that was offered, `listed` the titles of
    the dialogue's own film list; all are empty where the form lacks them."""

    id: str
    turns: tuple[Turn, ...]
    label: str = ""
    video: str = ""
    listed: tuple[str, ...] = ()


class _Draft(msgspec.Struct):
    """A dialogue while its utterances are read."""

    label: str
    video: str
    listed: tuple[str, ...]
    utterances: list[Turn]


def read_official(file: DataFile, repairs: Counter[str]) -> list[Dialogue]:
    """The TSV form: one row per utterance, no quoting, 19 columns (those in COLUMNS are used).

    `repairs` counts what was put right. Raises DataError with file, line and column.
    """
    drafts: dict[str, _Draft] = {}
    listings: dict[str, tuple[str, ...]] = {}
    for where, row in read_tsv(file, COLUMNS):
        dialogue = row["dialog_id"].strip()
        if not dialogue:
            raise DataError(f"{where}: column 'dialog_id' is empty")
        if row["movie_dict"] not in listings:
            listings[row["movie_dict"]] = dict_titles(row["movie_dict"], f"{where}: column 'movie_dict'")
        draft = drafts.get(dialogue)
        if draft is None:
            draft = drafts[dialogue] = _Draft(_label(row["fine_label"], repairs), row["movie_id"].strip(), (), [])
        draft.listed = unique((*draft.listed, *listings[row["movie_dict"]]))
        draft.utterances.append(_utterance(row["speaker"], row["text"], split_titles(row["movies"], repairs), where, repairs))
    return [_finish(dialogue, draft, repairs) for dialogue, draft in drafts.items()]


def read_inspired2(file: DataFile, prefix: str, repairs: Counter[str]) -> list[Dialogue]:
    """The JSON form: a list of dialogues without ids; they get "<prefix>-<number from 1>". Raises DataError with the place."""
    content = read_json(file)
    if not isinstance(content, list):
        raise DataError(f"{file}: expected a list of dialogues, found {type(content).__name__}")
    dialogues = []
    for number, entry in enumerate(content, 1):
        where = f"{file}: dialogue {number}"
        if not isinstance(entry, dict):
            raise DataError(f"{where}: expected an object, found {type(entry).__name__}")
        mentions = entry.get("movie_mentions", {})
        # The file holds Python dict literals inside of strings here.
        listed = dict_titles(mentions, f"{where}: field 'movie_mentions'") if isinstance(mentions, str) else tuple(mentions)
        draft = _Draft(_label(field(entry, "fine_label", str, where, ""), repairs), "", listed, [])
        for position, utterance in enumerate(field(entry, "dialog", list, where), 1):
            here = f"{where}: utterance {position}"
            if not isinstance(utterance, dict):
                raise DataError(f"{here}: expected an object, found {type(utterance).__name__}")
            titles = [t for cell in strings(utterance, "movies", here) for t in split_titles(cell, repairs)]
            role, text = field(utterance, "role", str, here), field(utterance, "utterance", str, here)
            draft.utterances.append(_utterance(role, text, titles, here, repairs))
        dialogues.append(_finish(f"{prefix}-{number}", draft, repairs))
    return dialogues


def read_prefixes(file: DataFile, prefix: str) -> list[Dialogue]:
    """instructLF's training CSV: each row is a dialogue's text up to a recommendation and the titles (no years) that follow.

    Rows of one dialogue stand together and continue each other; they become one dialogue. The text of its last recommendation
    is not in the file: that turn's text is the titles. Ids are "<prefix>-<row number of its first row>".
    """
    groups: list[list[tuple[str, str, tuple[str, ...]]]] = []
    for number, (where, row) in enumerate(read_csv(file, ("full_situation", "movies"))):
        text, titles = row["full_situation"].strip("\n"), _literal(row["movies"], list, f"{where}: column 'movies'")
        if not all(isinstance(title, str) for title in titles):
            raise DataError(f"{where}: column 'movies': expected a list of strings, found {row['movies']!r:.80}")
        if not text.rstrip(" ").endswith("System:"):
            raise DataError(f"{where}: column 'full_situation': expected a text that ends with 'System: '")
        entry = (text, row.get("", "").strip() or str(number), tuple(" ".join(title.split()) for title in titles))
        if groups and text.startswith(groups[-1][-1][0].rstrip(" ")):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [_prefix_dialogue(f"{prefix}-{rows[0][1]}", rows) for rows in groups]


def _prefix_dialogue(dialogue_id: str, rows: list[tuple[str, str, tuple[str, ...]]]) -> Dialogue:
    turns = _turns(rows[-1][0])
    titles: dict[int, list[str]] = {}
    for text, _, named in rows:
        titles.setdefault(len(_turns(text)) - 1, []).extend(named)
    last = unique(titles[len(turns) - 1])
    spoken = [
        Turn(role, text, unique(t for t in titles.get(n, ()) if t)) for n, (role, text) in enumerate(turns[:-1]) if text.strip()
    ]
    return Dialogue(dialogue_id, (*spoken, Turn("recommender", ", ".join(last), last)))


def _turns(text: str) -> list[tuple[Role, str]]:
    marks = list(_TURN.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        ("recommender" if mark[1] == "System" else "seeker", text[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]


def split_titles(cell: str, repairs: Counter[str]) -> list[str]:
    """ "A (2016);  B(1995)" -> ["A (2016)", "B(1995)"]: single spaces, without stray quotes at the ends and without repeats."""
    titles = []
    for part in _BETWEEN.split(cell):
        title = " ".join(part.split())
        bare = title.strip("'\" ")
        repairs["stray quotes around a title"] += bare != title
        if bare:
            titles.append(bare)
    found = list(unique(titles))
    repairs["repeated titles in one cell"] += len(titles) - len(found)
    return found


def dict_titles(cell: str, where: str) -> tuple[str, ...]:
    """The keys of a Python dict literal such as "{'Heat (1995)': 0}"; nothing in the cell is executed. Raises DataError."""
    content = _literal(cell, dict, where)
    if not all(isinstance(key, str) for key in content):
        raise DataError(f"{where}: expected titles as keys, found {cell!r:.80}")
    return unique(t for key in content for t in split_titles(key, Counter()))


def _literal(cell: str, kind: type, where: str) -> Any:
    if not cell.strip():
        return kind()
    if len(cell) > _MAX_CELL:
        raise DataError(f"{where}: {len(cell)} characters are too many for a cell of this kind")
    try:
        content = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        content = None
    if not isinstance(content, kind):
        raise DataError(f"{where}: expected a Python {kind.__name__} literal, found {cell!r:.80}")
    return content


def _label(cell: str, repairs: Counter[str]) -> str:
    """The label if it is a known one, else none: a new label must not make the dialogues unusable."""
    label = cell.strip()
    if label in LABELS:
        return label
    repairs["unknown acceptance labels passed over"] += label not in ("", "nan")
    return ""


def _utterance(speaker: str, text: str, titles: Iterable[str], where: str, repairs: Counter[str]) -> Turn:
    role = ROLES.get(speaker.strip().upper())
    if role is None:
        raise DataError(f"{where}: field 'speaker': expected RECOMMENDER or SEEKER, found {speaker!r}")
    repairs["QUOTATION_MARK in a text"] += "QUOTATION_MARK" in text
    return Turn(role, text.replace("QUOTATION_MARK", '"').strip(), tuple(titles))


def _finish(dialogue_id: str, draft: _Draft, repairs: Counter[str]) -> Dialogue:
    """Joins consecutive utterances of one speaker; blank ones vanish unless they name a film."""
    turns: list[Turn] = []
    for utterance in draft.utterances:
        if not utterance.text and not utterance.titles:
            continue
        if turns and turns[-1].role == utterance.role:
            before = turns.pop()
            text = f"{before.text} {utterance.text}".strip()
            turns.append(Turn(before.role, text, unique((*before.titles, *utterance.titles))))
            repairs["utterances joined to the speaker's one before"] += 1
        else:
            turns.append(utterance)
    return Dialogue(dialogue_id, tuple(turns), draft.label, draft.video, draft.listed)
