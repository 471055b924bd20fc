"""The form of an LLM seeker's answer: {text, action, accepted, mentioned} as JSON, read strictly.

Only the JSON field `action` acts. An answer that is not of this form is a fault of the simulator ("malformed"), it is never
guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from harness.api import Action, Catalogue, Feedback, Statement
from harness.errors import ComponentFault
from harness.llm.api import Completion
from harness.text import normalise

from ..answers import decoded
from ..facets import family, same_family


class Mentioned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attribute that the answer's text states."""

    facet: str
    value: str
    wanted: bool


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model answers. `accepted` are numbers of the list that was shown, from 1. `mentioned` may be missing: then the
    text speaks for itself."""

    text: str
    action: Action
    accepted: Annotated[tuple[int, ...], msgspec.Meta(max_length=1000)] = ()
    mentioned: Annotated[tuple[Mentioned, ...], msgspec.Meta(max_length=1000)] | None = None


def schema() -> dict[str, Any]:
    """The JSON schema of an answer, in the subset that servers can hold a model to (everything required, nothing else)."""
    mentioned = {
        "type": "object",
        "properties": {"facet": {"type": "string"}, "value": {"type": "string"}, "wanted": {"type": "boolean"}},
        "required": ["facet", "value", "wanted"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "action": {"type": "string", "enum": ["continue", "accept", "quit"]},
            "accepted": {"type": "array", "items": {"type": "integer"}},
            "mentioned": {"type": "array", "items": mentioned},
        },
        "required": ["text", "action", "accepted", "mentioned"],
        "additionalProperties": False,
    }


def parse(completion: Completion) -> Answer:
    """The answer in a completion: one JSON object, in a code fence or after a reasoning model's thoughts if need be.

    Raises ComponentFault "empty" or "malformed".
    """
    return decoded(completion, Answer)


class Values:
    """The catalogue's attribute values, to turn what a model says it mentioned into statements."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._facets: dict[str, dict[str, str]] = {}
        for item in catalogue:
            for facet, values in item.attributes.items():
                known = self._facets.setdefault(facet, {})
                for value in values:
                    known.setdefault(normalise(value), value)

    def statements(self, mentioned: Sequence[Mentioned], text: str) -> tuple[Statement, ...]:
        """What both the catalogue has and the text can be seen to say; the last word on a value counts.

        A facet may be called by another of its names ("actor" for "star"). A value counts as said when a word of it stands in
        the text, inflected or shortened at most ("comedies", "sci-fi"): a model may list its whole profile otherwise.
        """
        words = normalise(text).split()
        found: dict[tuple[str, str], Statement] = {}
        for claim in mentioned:
            named = self._find(claim.facet, claim.value)
            if named is None or not _said(normalise(named[1]).split(), words):
                continue
            polarity: Literal[1, -1] = 1 if claim.wanted else -1
            found.pop(named, None)
            found[named] = Statement(*named, polarity)
        return tuple(found.values())

    def _find(self, facet: str, value: str) -> tuple[str, str] | None:
        wanted, asked = normalise(value), facet.strip().lower()
        exact = [f for f in self._facets if f.lower() == asked]
        for name in exact or [f for f in self._facets if same_family(f, family(facet))]:
            if wanted in self._facets[name]:
                return name, self._facets[name][wanted]
        return None


def feedback(answer: Answer, shown: Sequence[str], values: Values) -> Feedback:
    """`shown` are the ids that the model saw, in the order of their numbers. What it saw and did not take is turned down.

    Raises ComponentFault "malformed" for an acceptance of nothing, or of a number that is not in the list.
    """
    accepted: tuple[str, ...] = ()
    if answer.action == "accept":
        wrong = [number for number in answer.accepted if not 1 <= number <= len(shown)]
        if wrong or not answer.accepted:
            named = f"number {wrong[0]}" if wrong else "nothing"
            raise ComponentFault("malformed", f"the model accepts {named} of a list of {len(shown)}")
        accepted = tuple(dict.fromkeys(shown[number - 1] for number in answer.accepted))
    return Feedback(
        answer.text.strip(),
        answer.action,
        accepted=accepted,
        rejected=() if accepted else tuple(shown),
        statements=None if answer.mentioned is None else values.statements(answer.mentioned, answer.text),
    )


def _said(value: Sequence[str], words: Sequence[str]) -> bool:
    return any(_alike(a, b) for a in value for b in words)


def _alike(value: str, word: str) -> bool:
    """The same word, shortened ("sci" for "science") or with another ending ("comedies", "wars")."""
    if value == word or word == value + "s":
        return True
    if min(len(value), len(word)) < 3:
        return False
    return value.startswith(word) or (min(len(value), len(word)) > 3 and value[:4] == word[:4])
