"""`ievalm-attr`: the attribute question answering of iEvaLM (Wang et al., EMNLP 2023). It is told the targets; no model.

In each turn the recommender picks genre, star, director (writer too, where the catalogue has it) or to recommend:
- An attribute is answered with the values of all targets in the catalogue, in their order; it can be picked once. One that was
  picked before, one that no target has a value of, and a question about anything else get "no information".
- A list with a target in it is accepted, any other list is turned down as a whole.

The published code has the recommender choose from a menu; here the choice is read from its text. A turn picks an attribute
when it asks for one: with an open question ("Which genre do you like?"), as an order ("Tell me a director"), or by the bare
word; in a turn without a list any question that names an attribute or one of its values will do ("Do you like horror?").
Titles of shown items are not read. Everything else that comes with a list is a recommendation. So a recommender that never
asks is told "I don't like them." in every turn and learns no attribute ever: in the style `published`, which turns nothing down
by id, nothing at all; in the style `clean` it learns which items were refused, as from the control `exclude-only`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from harness.api import Catalogue, Conversation, Feedback, Item, Knowledge, KnowledgeLevel, SimulatorSetup, Statement
from harness.errors import UsageError
from harness.text import AttributeIndex, normalise

from ..facets import asked_families, families_of, family
from .target import attributes_of
from .wording import sayable

PUBLISHED: Final = ("genre", "star", "director", "writer")
ACCEPT: Final = "That's perfect, thank you!"
REFUSE: Final = "I don't like them."
NOTHING: Final = "Sorry, no information about this. Please ask for something else, or recommend."
_READ_AT_MOST: Final = 2_000
_SENTENCE: Final = re.compile(r"[^.!?\n]*[.!?\n]?")
_OPEN: Final = re.compile(
    r"\b(?:which|what|who|whose|any|favou?rites?|preferred|prefer|preferences?)\b|^\s*(?:please\s+)?(?:tell|ask|name|choose)\b",
    re.IGNORECASE,
)
_BARE: Final = 4
"""Words that a text may have to count as a bare pick ("B: genre")."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ievalm-attr`."""

    style: Annotated[
        Literal["clean", "published"],
        msgspec.Meta(description="clean: a refused list is turned down by its ids too; published: in words only"),
    ] = "clean"
    facets: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="attributes that can be asked for; empty: genre, star, director and writer as far as the catalogue has "
            "them, and every facet where it has none of these"
        ),
    ] = ()


class Memory(msgspec.Struct, frozen=True):
    """What rides in the state: the attributes that were picked."""

    picked: tuple[str, ...] = ()


class IevalmAttr:
    """See the module."""

    knowledge: KnowledgeLevel = "target_aware"

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def prepare(self, setup: SimulatorSetup) -> None:
        """Raises UsageError for a facet that the catalogue doesn't have."""
        self._catalogue = setup.catalogue
        self._families = _choices(setup.catalogue, self.options.facets)
        self._index = AttributeIndex(setup.catalogue)

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        last = conversation.messages[-1] if conversation.messages else None
        ranked = tuple(dict.fromkeys(last.ranked)) if last is not None else ()
        accepted = tuple(item_id for item_id in ranked if item_id in knowledge.targets)
        if accepted:
            return Feedback(ACCEPT, "accept", accepted=accepted, rejected=(), statements=())
        memory = Memory() if conversation.state is None else msgspec.convert(conversation.state, Memory)
        shown = [item for item in map(self._catalogue.get, ranked) if item is not None]
        pick = self.pick(last.text if last is not None else "", shown)
        if pick is None and ranked:
            refused = ranked if self.options.style == "clean" else ()
            return Feedback(REFUSE, rejected=refused, statements=(), state=msgspec.to_builtins(memory))
        said = () if pick is None or pick in memory.picked else self._values(pick, knowledge)
        if pick is not None:
            memory = Memory(tuple(dict.fromkeys((*memory.picked, pick))))
        text = ", ".join(dict.fromkeys(statement.value for statement in said)) or NOTHING
        return Feedback(text, rejected=(), statements=said, state=msgspec.to_builtins(memory))

    def pick(self, text: str, shown: Sequence[Item]) -> str | None:
        """The attribute that a recommender's text asks for; None when it recommends, or asks for nothing that is known."""
        text = _without_titles(text[-_READ_AT_MOST:], shown)
        if len(normalise(text).split()) <= _BARE and not shown:
            return self._asked(text) or self._by_value(text)
        for sentence in _SENTENCE.findall(text):
            if _OPEN.search(sentence) or ("?" in sentence and not shown):
                asked = self._asked(sentence)
                if asked is not None:
                    return asked
        return self._by_value(text) if "?" in text and not shown else None

    def _asked(self, text: str) -> str | None:
        return next((name for name in asked_families(text, self._families) if name in self._families), None)

    def _by_value(self, text: str) -> str | None:
        """The attribute of which the text names a value."""
        found = (family(facet) for match in self._index.find(text) for facet, _ in match.payloads)
        return next((name for name in found if name in self._families), None)

    def _values(self, pick: str, knowledge: Knowledge) -> tuple[Statement, ...]:
        targets = [item for item in map(self._catalogue.get, knowledge.targets) if item is not None]
        union = attributes_of(targets).items()
        return tuple(Statement(f, value) for f, values in union if family(f) == pick for value in values if sayable(value))


def _choices(catalogue: Catalogue, facets: Sequence[str]) -> tuple[str, ...]:
    there = families_of(catalogue)
    asked = tuple(dict.fromkeys(map(family, facets)))
    missing = [name for name in asked if name not in there]
    if missing:
        raise UsageError(
            f"simulator ievalm-attr: the catalogue has no facet {missing[0]!r}; it has {', '.join(there) or 'none'}"
        )
    return asked or tuple(name for name in PUBLISHED if name in there) or there


def _without_titles(text: str, shown: Sequence[Item]) -> str:
    """The text without the titles of shown items, longest first: "What Women Want" asks nothing."""
    for name in sorted({item.title for item in shown if item.title}, key=len, reverse=True):
        text = text.replace(name, " ")
    return text
