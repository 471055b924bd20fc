"""Dialogues as DialogueKit (https://github.com/iai-group/DialogueKit) keeps them: a JSON list, utterance by utterance.

DialogueKit 0.1.1 writes "conversation ID" and "utterance ID" and reads "conversation_id" and "utterance_id": an export has
both, an import takes either. What the format has no field for stands under "harness", which DialogueKit keeps as metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from harness.api import Action, Message, StopReason
from harness.errors import DataError
from harness.exchange.foreign import Foreign, Said, dialogues_of, field
from harness.exchange.items import Linker
from harness.exchange.played import Played, PlayedDialogues, Turn

OURS: Final = "harness"
SLOTS: Final = frozenset(("title", "item", "movie", "book", "name", "recommended"))
"""Slots of an agent's dialogue acts whose values are titles of items."""


class OurDialogue(msgspec.Struct, frozen=True, kw_only=True):
    """What an export adds to a dialogue."""

    scenario: str
    source: str
    trial: Annotated[int, msgspec.Meta(ge=0, le=9_999)] = 0
    stop: StopReason
    targets: tuple[str, ...]
    target_titles: tuple[str, ...] = ()
    hidden: str = "targets and target_titles: the recommender never saw them"


class OurUtterance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an export adds to an utterance. `turn` 0: a message of the context."""

    turn: int
    items: tuple[str, ...] = ()
    action: Action | None = None
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------------------------- export


def write(played: PlayedDialogues, path: Path) -> None:
    """A JSON list, one dialogue per line."""
    with path.open("wb") as file:
        before = b"[\n"
        for dialogue in played:
            file.write(before + msgspec.json.encode(_exported(played, dialogue)))
            before = b",\n"
        file.write(b"\n]\n")


def _exported(played: PlayedDialogues, dialogue: Played) -> dict[str, Any]:
    record = dialogue.record
    name = record.scenario if not record.trial else f"{record.scenario}#{record.trial}"
    said = [_utterance("USER" if m.role == "seeker" else "AGENT", m.text, OurUtterance(turn=0)) for m in dialogue.context]
    for turn in dialogue.turns():
        said += _turn(played, turn)
    for number, utterance in enumerate(said):
        utterance["utterance ID"] = utterance["utterance_id"] = f"{name}_{number}"
    ours = OurDialogue(
        scenario=record.scenario,
        source=record.source,
        trial=record.trial,
        stop=record.stop,
        targets=dialogue.targets,
        target_titles=tuple(played.titles(dialogue.targets)),
    )
    return {
        "conversation ID": name,
        "conversation_id": name,
        "agent": {"id": str(played.run["recommender"]), "type": "AGENT"},
        "user": {"id": str(played.run["simulator"]), "type": "USER"},
        "conversation": said,
        "metadata": {OURS: ours},
    }


def _turn(played: PlayedDialogues, turn: Turn) -> Iterator[dict[str, Any]]:
    record = turn.record
    if record is None:
        return
    shown = {"annotations": [["recommended", title] for title in played.titles(record.items)]} if record.items else {}
    yield _utterance("AGENT", record.text, OurUtterance(turn=turn.number, items=record.items)) | shown
    if record.user_text is not None:
        answer = OurUtterance(turn=turn.number, action=record.action, accepted=record.accepted, rejected=record.rejected)
        yield _utterance("USER", record.user_text, answer)


def _utterance(participant: Literal["AGENT", "USER"], text: str, ours: OurUtterance) -> dict[str, Any]:
    return {"participant": participant, "utterance": text, OURS: ours}


# ------------------------------------------------------------------------------------------------------------------- import


def read(path: Path, linker: Linker) -> Iterator[Foreign]:
    """The dialogues of a file. Raises DataError with the file, the dialogue, the utterance and the field."""
    for where, entry in dialogues_of(path):
        if isinstance(entry, dict) and "dialogues" in entry:  # one file per pair of agent and user, as its manual has it
            for number, inner in enumerate(field(entry, "dialogues", list, where), 1):
                shared = {key: entry[key] for key in ("agent", "user") if key in entry}
                yield dialogue(shared | _object(inner, f"{where}, dialogue {number}"), f"{where}, dialogue {number}", linker)
        else:
            yield dialogue(_object(entry, where), where, linker)


def dialogue(entry: dict[str, Any], where: str, linker: Linker, *, by_user: bool = False) -> Foreign:
    """One dialogue. `by_user`: its source, which the intervals resample, is the user and not the conversation."""
    name = entry.get("conversation_id") or entry.get("conversation ID") or where.rpartition("/")[2]
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        raise DataError(f"{where}: field 'conversation ID': expected a text")
    name = str(name).strip('"')
    where = f"{where} ({name[:60]})"
    metadata = field(entry, "metadata", dict, where, {})
    utterances = field(entry, "conversation", list, where)
    agent, user = _participant(entry, "agent", where), _participant(entry, "user", where)
    source = user if by_user and user else name
    labels = {key: value for key, value in metadata.items() if key != OURS}
    labels |= {key: entry[key] for key in ("vote", "vote_result") if entry.get(key) is not None}
    if OURS in metadata:
        return _own(metadata[OURS], utterances, agent or "unknown", labels, where)
    context, turns = _turns(utterances, where, linker)
    return Foreign(name, source, agent or "unknown", tuple(context), tuple(turns), labels=labels)


def _turns(utterances: list[Any], where: str, linker: Linker) -> tuple[list[Message], list[Said]]:
    """Utterances in a row of one side are one message. What the user says first is the context."""
    context: list[Message] = []
    turns: list[Said] = []
    last = ""
    for number, raw in enumerate(utterances):
        place = f"{where}, utterance {number}"
        side, text = _side(raw, place), field(raw, "utterance", str, place).strip()
        if side == "USER" and not turns:
            context.append(Message("seeker", text, items=linker.named(text)))
        elif side == "USER":
            before = turns[-1].user_text
            turns[-1] = msgspec.structs.replace(turns[-1], user_text=text if before is None else f"{before}\n{text}")
        else:
            items = _recommended(raw, text, place, linker)
            if last == "AGENT":
                before, listed = turns[-1].text, turns[-1].items
                turns[-1] = msgspec.structs.replace(turns[-1], text=f"{before}\n{text}", items=(*listed, *items))
            else:
                turns.append(Said(text, items))
        last = side
    return context, turns


def _recommended(raw: dict[str, Any], text: str, where: str, linker: Linker) -> tuple[str, ...]:
    """The items of an agent's utterance: annotated titles where there are any, else those that its text names. Without a
    catalogue nothing tells a title from another value: empty."""
    if linker.catalogue is None:
        return ()
    found: dict[str, None] = {}
    for number, act in enumerate(field(raw, "dialogue_acts", list, where, [])):
        for pair in field(act, "slot_values", list, f"{where}, dialogue act {number}", []):
            if not isinstance(pair, list) or len(pair) < 2:
                raise DataError(f"{where}, dialogue act {number}: field 'slot_values': expected [slot, value] pairs")
            if isinstance(pair[0], str) and isinstance(pair[1], str) and pair[0].lower() in SLOTS and pair[1].strip():
                found[linker.link(pair[1])] = None
    return tuple(found) or linker.listed(text)


def _own(raw: Any, utterances: list[Any], system: str, labels: dict[str, Any], where: str) -> Foreign:
    """A dialogue that `write` has written."""
    ours = _convert(raw, OurDialogue, f"{where}, metadata")
    context: list[Message] = []
    turns: list[Said] = []
    for number, raw_utterance in enumerate(utterances):
        place = f"{where}, utterance {number}"
        side, text = _side(raw_utterance, place), field(raw_utterance, "utterance", str, place)
        said = _convert(field(raw_utterance, OURS, dict, place), OurUtterance, place)
        if said.turn == 0:
            context.append(Message("seeker" if side == "USER" else "recommender", text))
        elif side == "AGENT":
            turns.append(Said(text, said.items))
        elif turns:
            turns[-1] = msgspec.structs.replace(
                turns[-1], user_text=text, action=said.action, accepted=said.accepted, rejected=said.rejected
            )
        else:
            raise DataError(f"{place}: an answer before anything was said")
    titles = dict(zip(ours.targets, ours.target_titles, strict=False))
    return Foreign(
        ours.scenario, ours.source, system, tuple(context), tuple(turns), ours.targets, titles, ours.stop, ours.trial, labels
    )


def _convert(raw: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: field {OURS!r}: {error}") from None


def _side(raw: Any, where: str) -> str:
    side = str(field(raw, "participant", str, where)).upper()
    if side not in ("AGENT", "USER"):
        raise DataError(f"{where}: field 'participant': expected AGENT or USER, found {side[:40]!r}")
    return side


def _participant(entry: dict[str, Any], role: str, where: str) -> str:
    value = entry.get(role)
    if isinstance(value, dict):
        value = field(value, "id", str, f"{where}, {role}", "")
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where}: field {role!r}: expected an object with an id")
    return (value or "").strip()


def _object(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected an object with a conversation")
    return entry
