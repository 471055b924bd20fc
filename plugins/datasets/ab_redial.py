"""AB-ReDial: ReDial dialogues scored by about three annotators each, per dialogue and for three turns each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec

from harness.api import AnnotatedDialogue, AnnotatedMessage, DatasetCard, HumanLabels, RemoteFile, Split
from harness.errors import DataError

from .cutting import check_split
from .files import DataFile, data_folder, need_file
from .human_labels import Range, agreement, averaged, no_scenarios, number
from .tables import read_csv

DIALOGUES, TURNS = "annotated_dialogues.csv", "annotated_turns.csv"
COMMIT: Final = "ad8912c0ef5804e4aa0edde1bedaf8a18233558b"
UTTERANCES: Final = 22
"""Utterance columns of the dialogue file."""
SNIPPET: Final = 4
"""Utterances of an annotated turn: two before it, the recommender's, and the seeker's answer."""
JUDGED: Final = 2
SNIPPETS: Final = 3
# Ranges as they occur in the files: the authors' README names none.
DIALOGUE_ASPECTS: Final[Mapping[str, Range]] = MappingProxyType(
    {
        "dialogue-overall": (1, 5),
        "understanding": (1, 3),
        "task-completion": (1, 3),
        "interest-arousal": (0, 3),
        "efficiency": (0, 1),
    }
)
TURN_ASPECTS: Final[Mapping[str, Range]] = MappingProxyType({"overall": (1, 5), "relevance": (0, 4), "interestingness": (1, 3)})
_NAMES: Final = MappingProxyType({"overall": "turn_overall"})
# The speaker, then a tab, an em space or blanks, then what was said.
_SAID: Final = re.compile(r"(SYSTEM|USER)(?:\s+(.*))?", re.DOTALL)
_BASE: Final = f"https://raw.githubusercontent.com/Clemenciah/AB-ReDial/{COMMIT}/Data"

CARD = DatasetCard(
    name="ab-redial",
    title="AB-ReDial: human scores of ReDial dialogues and turns",
    licence="MIT (LICENSE of Clemenciah/AB-ReDial); the dialogues are ReDial's, CC BY 4.0",
    citation="Clemencia Siro, Mohammad Aliannejadi, Maarten de Rijke: Understanding and Predicting User Satisfaction with "
    "Conversational Recommender Systems. ACM TOIS 42(2), 2023. Dialogues: Li et al., NeurIPS 2018.",
    homepage="https://github.com/Clemenciah/AB-ReDial",
    how_to_get=f"By hand: copy {DIALOGUES} and {TURNS} from https://github.com/Clemenciah/AB-ReDial (folder Data) into a "
    "folder; give it as path=FOLDER or as $HARNESS_DATA/ab_redial",
    files=(
        RemoteFile(
            DIALOGUES,
            f"{_BASE}/{DIALOGUES}",
            sha256="0b2e99c6279c3c5b48f435ae7cc88469261ed844d5e18eae6943a751199c2428",
            bytes=685_647,
        ),
        RemoteFile(
            TURNS,
            f"{_BASE}/{TURNS}",
            sha256="0dd3a8dd7400541d991dfb3caadd82dbda17727161b2de26d78b9da74611eef0",
            bytes=567_728,
        ),
    ),
)

Row = dict[str, float]
Text = tuple[tuple[str, str], ...]
"""(speaker, what was said) of each utterance."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ab-redial`."""

    path: Annotated[
        str | None, msgspec.Meta(description=f"folder with {DIALOGUES} and {TURNS}; default: $HARNESS_DATA/ab_redial")
    ] = None


class AbRedial:
    """Human scores for `harness metaeval`; there is nothing to play on. The recommender was a person: one system, "human".

    A dialogue is scored as a whole; an annotated turn is a dialogue of its own, as its annotators saw it: the four utterances
    around it. Both have the conversation id as their source. A score is the mean over the annotators who gave one. Columns are
    called as in `crsarena-eval` ("task_completion"); a turn's own overall score is `turn_overall`.
    """

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """Raises DataError: there are no scenarios."""
        check_split(split, self.card)
        raise no_scenarios(self.card)

    def annotated(self) -> HumanLabels:
        """Dialogues, then annotated turns, in the order of the files. Raises DataError (file, line, field)."""
        place = data_folder(self.options.path, "ab_redial", self.card)
        dialogues, unscored = _read_dialogues(need_file(place, DIALOGUES, card=self.card))
        turns, left_out, unscored_turns = _read_turns(need_file(place, TURNS, card=self.card))
        given = {**_by_aspect(turns.values()), **_by_aspect(dialogues.values())}
        alphas = {aspect: alpha for aspect, units in given.items() if (alpha := agreement(units)) is not None}
        notes = [
            f"{sum(map(len, dialogues.values())):,} annotations of {len(dialogues):,} dialogues, "
            f"{sum(map(len, turns.values())):,} of {len(turns):,} turns; scores are means over annotators",
            "0 occurs for relevance and interest_arousal; the authors do not say what it means: it counts as the lowest score",
        ]
        if unscored:
            notes.append(f"annotations of dialogues without any score: {unscored}")
        if unscored_turns:
            notes.append(f"annotations of turns that lack a score: {unscored_turns}")
        if left_out:
            notes.append(f"annotations left out, because the turn's third utterance is the seeker's: {left_out}")
        every = [*_annotated(dialogues, None), *_annotated(turns, JUDGED)]
        return HumanLabels(every, agreement=alphas, notes=tuple(notes))


Groups = dict[tuple[str, Text], list[Row]]
"""(conversation id, text) -> what each annotator gave."""


def _read_dialogues(file: DataFile) -> tuple[Groups, int]:
    """The annotations by dialogue, and how many of them hold no score."""
    columns = [f"utterance{n}" for n in range(UTTERANCES)]
    groups: Groups = {}
    unscored = 0
    for where, row in read_csv(file, ("ConvId", *columns, *DIALOGUE_ASPECTS)):
        scores = _scores(row, DIALOGUE_ASPECTS, "", where)
        unscored += not scores
        groups.setdefault((row["ConvId"].strip(), _text(row, columns, where)), []).append(scores)
    return groups, unscored


def _read_turns(file: DataFile) -> tuple[Groups, int, int]:
    """The annotations by turn, how many were left out because they are not of a recommender's utterance, and how many lack a
    score."""
    columns = [[f"utterance{SNIPPET * part + n}" for n in range(SNIPPET)] for part in range(SNIPPETS)]
    ratings = [f"{aspect}{part}" for part in range(1, SNIPPETS + 1) for aspect in TURN_ASPECTS]
    groups: Groups = {}
    left_out = unscored = 0
    for where, row in read_csv(file, ("ConvId", *(name for part in columns for name in part), *ratings)):
        for part in range(SNIPPETS):
            text = _text(row, columns[part], where)
            if len(text) <= JUDGED or text[JUDGED][0] != "SYSTEM":
                left_out += 1
                continue
            scores = _scores(row, TURN_ASPECTS, str(part + 1), where)
            unscored += len(scores) < len(TURN_ASPECTS)
            groups.setdefault((row["ConvId"].strip(), text), []).append(scores)
    return groups, left_out, unscored


def _scores(row: Mapping[str, str], aspects: Mapping[str, Range], suffix: str, where: str) -> Row:
    """What one annotator gave; empty cells are no scores."""
    return {
        _NAMES.get(aspect, aspect.replace("-", "_")): number(row[aspect + suffix], aspect + suffix, where, within)
        for aspect, within in aspects.items()
        if row[aspect + suffix].strip()
    }


def _text(row: Mapping[str, str], columns: Sequence[str], where: str) -> Text:
    said = []
    for column in columns:
        if not row[column].strip():
            continue
        match = _SAID.fullmatch(row[column].strip())
        if match is None:
            raise DataError(f"{where}: {column} must begin with SYSTEM or USER, not {row[column][:40]!r}")
        said.append((match[1], (match[2] or "").strip()))
    return tuple(said)


def _by_aspect(groups: Any) -> dict[str, list[list[float]]]:
    """Aspect -> for each unit the scores of its annotators."""
    found: dict[str, list[list[float]]] = {}
    for rows in groups:
        for aspect in dict.fromkeys(name for row in rows for name in row):
            found.setdefault(aspect, []).append([row[aspect] for row in rows if aspect in row])
    return found


def _annotated(groups: Groups, judged: int | None) -> list[AnnotatedDialogue]:
    """One dialogue per text; where a conversation id has several, they are numbered. `judged` is the scored utterance's place,
    None for scores of the whole."""
    counts: dict[str, int] = {}
    for source, _ in groups:
        counts[source] = counts.get(source, 0) + 1
    numbers: dict[str, int] = {}
    dialogues = []
    for (source, text), rows in groups.items():
        numbers[source] = numbers.get(source, 0) + 1
        scores = averaged(rows)
        mark = "" if judged is None else "turn "
        name = f"{source}/{mark}{numbers[source]}" if counts[source] > 1 or mark else source
        messages = tuple(
            AnnotatedMessage("recommender" if speaker == "SYSTEM" else "seeker", said, scores if place == judged else {})
            for place, (speaker, said) in enumerate(text)
        )
        if any(message.role == "recommender" for message in messages):
            dialogues.append(AnnotatedDialogue(name, "human", messages, scores if judged is None else {}, source))
    return dialogues
