"""Dialogues that people have judged, as metrics see any dialogue, and their human scores.

What a seeker says before the first recommender message is the scenario's context; every recommender message is one turn,
answered by whatever the seeker says until the next. There are no lists and no targets: metrics that need them are unscored.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from harness.api import AnnotatedDialogue, DialogueRecord, DialogueView, HumanLabels, Message, Need, Scenario, TurnRecord
from harness.assembly import resolve
from harness.config import Choice
from harness.errors import DataError, HarnessError, PluginError, UsageError, described
from harness.registry import Entry, Registry
from harness.views import dialogue_view

Level = Literal["turn", "dialogue"]


class Judged(msgspec.Struct, frozen=True):
    """A dialogue as a metric sees it, and what people said of its turns (one dict per recommender message) and of it all."""

    id: str
    system: str
    source: str
    record: DialogueRecord
    scenario: Scenario
    turns: tuple[dict[str, float], ...]
    scores: dict[str, float]

    def view(self, max_turns: int) -> DialogueView:
        """Turns beyond the dialogue's own are not played."""
        return dialogue_view(self.record, self.scenario, max_turns)


def load_labels(registry: Registry, choice: Choice) -> tuple[HumanLabels, list[Judged], dict[str, Level]]:
    """A data set's human scores, as given and as `read_labels` reads them.

    Raises UsageError for a data set without any, DataError, or PluginError with the culprit's name.
    """
    part = resolve(registry, "dataset", choice)
    method = getattr(part.create(), "annotated", None)
    if method is None:
        others = [entry.name for entry in registry.entries("dataset") if _has_labels(registry, entry)]
        raise UsageError(f"data set {choice.name} has no human scores; these have: {', '.join(others) or 'none'}")
    try:
        labels = method()
    except HarnessError:
        raise
    except Exception as error:
        raise PluginError(
            f"dataset {choice.name!r} failed in annotated(): {type(error).__name__}: {described(error)}"
        ) from error
    dialogues, levels = read_labels(labels, part.entry.name)
    return labels, dialogues, levels


def _has_labels(registry: Registry, entry: Entry) -> bool:
    try:
        return hasattr(registry.load(entry), "annotated")
    except HarnessError:
        return False


def read_labels(labels: Any, name: str) -> tuple[list[Judged], dict[str, Level]]:
    """The dialogues, and the level of each aspect in order of appearance (turn aspects first).

    `name` is the data set's, for errors. Raises PluginError for another type, DataError for a dialogue that can't be used.
    """
    if not isinstance(labels, HumanLabels):
        raise PluginError(f"dataset {name!r}: annotated() returned {type(labels).__name__}, not a harness.HumanLabels")
    judged: list[Judged] = []
    turn_aspects: dict[str, None] = {}
    dialogue_aspects: dict[str, None] = {}
    seen: set[str] = set()
    for dialogue in labels.dialogues:
        if dialogue.id in seen:
            raise DataError(f"{name}: dialogue id {dialogue.id!r} stands twice")
        seen.add(dialogue.id)
        judged.append(_judged(dialogue, name))
        turn_aspects.update(dict.fromkeys(aspect for turn in judged[-1].turns for aspect in turn))
        dialogue_aspects.update(dict.fromkeys(judged[-1].scores))
    if not judged:
        raise DataError(f"{name} has no dialogue with human scores")
    both = sorted(turn_aspects.keys() & dialogue_aspects.keys())
    if both:
        raise DataError(f"{name}: {both[0]!r} is scored per turn and per dialogue: give one of them another name")
    return judged, {**dict.fromkeys(turn_aspects, "turn"), **dict.fromkeys(dialogue_aspects, "dialogue")}


def labels_hash(labels: HumanLabels) -> str:
    """SHA-256 of all dialogues with their scores; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for dialogue in labels.dialogues:
        digest.update(msgspec.json.encode(dialogue, order="deterministic") + b"\n")
    return digest.hexdigest()


def _judged(dialogue: AnnotatedDialogue, name: str) -> Judged:
    where = f"{name}: dialogue {dialogue.id!r}"
    context: list[Message] = []
    said: list[tuple[str, list[str]]] = []
    scores: list[dict[str, float]] = []
    for message in dialogue.messages:
        if message.role == "recommender":
            said.append((message.text, []))
            scores.append(_checked(message.scores, where))
            continue
        if message.scores:
            raise DataError(f"{where}: a seeker's message has scores; they belong to the recommender's")
        if said:
            said[-1][1].append(message.text)
        else:
            context.append(Message("seeker", message.text))
    if not said:
        raise DataError(f"{where} has no message of a recommender: there is nothing to judge")
    source = dialogue.source or dialogue.id
    turns = tuple(
        TurnRecord(text, user_text="\n".join(answers) if answers else None, action="continue" if answers else None)
        for text, answers in said
    )
    record = DialogueRecord(dialogue.id, source, 0, "quit", (), turns)
    scenario = Scenario(dialogue.id, source, tuple(context), Need(()))
    return Judged(dialogue.id, dialogue.system, source, record, scenario, tuple(scores), _checked(dialogue.scores, where))


def _checked(scores: Mapping[str, float], where: str) -> dict[str, float]:
    for aspect, value in scores.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise DataError(f"{where}: the score {aspect!r} is {value!r}, not a finite number; leave out what nobody scored")
    return dict(scores)


def longest(dialogues: Sequence[Judged]) -> int:
    """Recommender messages of the longest dialogue."""
    return max(len(dialogue.turns) for dialogue in dialogues)
