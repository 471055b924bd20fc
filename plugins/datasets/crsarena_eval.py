"""CRSArena-Eval: dialogues of real users with nine recommenders, scored by people per turn and per dialogue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec

from harness.api import AnnotatedDialogue, AnnotatedMessage, DatasetCard, HumanLabels, RemoteFile, Role, Split
from harness.errors import DataError

from .cutting import check_split
from .files import data_folder, field, need_file, read_json
from .human_labels import Range, no_scenarios, number

FILE: Final = "crs_arena_eval.json"
COMMIT: Final = "cd4b3f7bcf0c99020e0f4ebc1a3d331220a8953d"
ROLES: Final[Mapping[str, Role]] = MappingProxyType({"USER": "seeker", "ASST": "recommender"})
# As documented by the authors; the last two stand in the file only. The overall impression comes first.
TURN_ASPECTS: Final[Mapping[str, Range]] = MappingProxyType({"relevance": (0, 3), "interestingness": (0, 2)})
DIALOGUE_ASPECTS: Final[Mapping[str, Range]] = MappingProxyType(
    {
        "dialogue_overall": (0, 4),
        "understanding": (0, 2),
        "task_completion": (0, 2),
        "interest_arousal": (0, 2),
        "efficiency": (0, 1),
        "preference_elicitation": (0, 2),
        "explanation": (0, 2),
    }
)
_SPELLINGS: Final = MappingProxyType({"crb-crs": "crbcrs"})

CARD = DatasetCard(
    name="crsarena-eval",
    title="CRSArena-Eval: human scores of dialogues with nine conversational recommenders",
    licence="MIT as the README of informagi/face says (there is no LICENSE file); the dialogues come from CRSArena-Dial, which "
    "states no licence",
    citation="FACE: A Fine-grained Reference Free Evaluator for Conversational Recommender Systems, arXiv:2506.00314, 2025. "
    "Dialogues: Bernard et al., CRS Arena: Crowdsourced Benchmarking of Conversational Recommender Systems, WSDM 2025.",
    homepage="https://github.com/informagi/face",
    how_to_get=f"By hand: copy dataset/{FILE} from https://github.com/informagi/face into a folder; give it as path=FOLDER "
    "or as $HARNESS_DATA/crsarena_eval",
    files=(
        RemoteFile(
            FILE,
            f"https://raw.githubusercontent.com/informagi/face/{COMMIT}/dataset/{FILE}",
            sha256="c4432965afc6654b1f1b73431cd567f5d9dd44d0e43f680f1652053f104e74e5",
            bytes=1_061_710,
        ),
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `crsarena-eval`."""

    path: Annotated[
        str | None, msgspec.Meta(description=f"folder with {FILE}, or the file; default: $HARNESS_DATA/crsarena_eval")
    ] = None


class CrsArenaEval:
    """Human scores for `harness metaeval`; there is nothing to play on.

    A conversation's id is the system's name and the session of a user, who may have talked with two systems: the session is
    the source, so that intervals resample users. A turn without a score of an aspect has none; empty replies stay, because
    they were scored.
    """

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """Raises DataError: there are no scenarios."""
        check_split(split, self.card)
        raise no_scenarios(self.card)

    def annotated(self) -> HumanLabels:
        """All dialogues in the order of the file. Raises DataError (file, conversation, turn, field)."""
        file = need_file(data_folder(self.options.path, "crsarena_eval", self.card), FILE, card=self.card)
        content = read_json(file)
        if type(content) is not list or not content:
            raise DataError(f"{file}: expected a list of conversations")
        dialogues = [_dialogue(each, f"{file}: conversation {n}") for n, each in enumerate(content, 1)]
        return HumanLabels(dialogues, notes=tuple(_notes(dialogues)))


def _dialogue(record: Any, where: str) -> AnnotatedDialogue:
    if type(record) is not dict:
        raise DataError(f"{where}: expected an object")
    name = field(record, "conv_id", str, where)
    where = f"{where} ({name})"
    turns = field(record, "dialogue", list, where)
    scores = field(record, "dial_level_aggregated", dict, where)
    messages = tuple(_message(turn, f"{where}, turn {n}") for n, turn in enumerate(turns))
    system, session = _system(name, where)
    return AnnotatedDialogue(name, system, messages, _scores(scores, DIALOGUE_ASPECTS, where), session)


def _message(turn: Any, where: str) -> AnnotatedMessage:
    if type(turn) is not dict:
        raise DataError(f"{where}: expected an object")
    role = ROLES.get(field(turn, "role", str, where))
    if role is None:
        raise DataError(f"{where}: field 'role': expected one of {', '.join(ROLES)}, found {turn['role']!r}")
    scores = field(turn, "turn_level_aggregated", dict, where, {})
    return AnnotatedMessage(role, field(turn, "utterance", str, where), _scores(scores, TURN_ASPECTS, where))


def _scores(scores: dict[str, Any], known: Mapping[str, Range], where: str) -> dict[str, float]:
    """Known aspects in this module's order, then any others as they stand."""
    order = [*(aspect for aspect in known if aspect in scores), *(aspect for aspect in scores if aspect not in known)]
    return {aspect: number(scores[aspect], aspect, where, known.get(aspect)) for aspect in order}


def _system(name: str, where: str) -> tuple[str, str]:
    """ "kbrd_redial_<uuid>" -> ("kbrd_redial", the uuid)."""
    system, _, session = name.rpartition("_")
    if not system or not session:
        raise DataError(f"{where}: field 'conv_id': expected SYSTEM_DATASET_UUID")
    model, _, data = system.partition("_")
    return (f"{_SPELLINGS.get(model, model)}_{data}" if data else system), session


def _notes(dialogues: list[AnnotatedDialogue]) -> list[str]:
    replies = [m for d in dialogues for m in d.messages if m.role == "recommender"]
    sessions = len({dialogue.source for dialogue in dialogues})
    notes = [
        f"{len(dialogues):,} dialogues of {sessions:,} user sessions, which the intervals resample",
        "scores are aggregated over annotators by the authors; single annotations, and so people's agreement, are not public",
    ]
    for aspect, (_, high) in TURN_ASPECTS.items():
        given = [m.scores[aspect] for m in replies if aspect in m.scores]
        if len(given) < len(replies):
            notes.append(f"{aspect} is missing for {len(replies) - len(given)} of {len(replies):,} recommender messages")
        if given and max(given) < high:
            notes.append(f"{aspect} is documented as 0 to {high:g}; nothing above {max(given):g} occurs")
    empty = sum(not m.text.strip() for d in dialogues for m in d.messages)
    if empty:
        notes.append(f"{empty} messages are empty; they were scored and stay")
    return notes
