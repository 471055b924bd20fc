"""What a simulated seeker says about attributes, and what its need says: the ground of the simulator-quality metrics.

A statement comes from the simulator itself where it gives structured ones, else from the gated text (exact search for the
catalogue's attribute values, polarity from negation cues: a heuristic).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from harness import Catalogue, Scenario, Statement, TurnView, Unscored
from harness.api import Attributes, TurnRecord
from harness.text import AttributeIndex, normalise

NO_ANSWER = Unscored("the seeker gave no answer")
NOT_PLAYED = Unscored("the turn was not played")
NO_SCENARIO = Unscored("needs the scenario's hidden need; only the records are at hand")

Pair = tuple[str, str]
"""(facet, normalised value)"""


class Reader:
    """Reads statements from texts and records. Building the index takes a pass over the catalogue, done at first use."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._index: AttributeIndex | None = None
        self._normal: dict[str, str] = {}
        self._last: tuple[Scenario, set[Pair], set[Pair]] | None = None
        # Several metrics read the same turns of the same chunk of dialogues, one metric after the other.
        self.in_text = lru_cache(maxsize=16_384)(self._in_text)

    def _in_text(self, text: str) -> tuple[tuple[Pair, int], ...]:
        if self._index is None:
            self._index = AttributeIndex(self._catalogue)
        return self._signed(self._index.statements(text))

    def said(self, record: TurnRecord) -> tuple[tuple[Pair, int], ...]:
        """((facet, value), polarity) of what the seeker answered at a turn, without repeats."""
        if record.statements is not None:
            return self._signed(record.statements)
        return self.in_text(record.user_text) if record.user_text else ()

    def _signed(self, statements: tuple[Statement, ...]) -> tuple[tuple[Pair, int], ...]:
        return tuple(dict.fromkeys(((s.facet, self.normal(s.value)), int(s.polarity)) for s in statements))

    def normal(self, value: str) -> str:
        """A value's normal form: case, accents and punctuation do not matter."""
        held = self._normal.get(value)
        if held is None:
            held = self._normal[value] = normalise(value) or value
        return held

    def pairs(self, attributes: Attributes) -> set[Pair]:
        """The (facet, value) pairs of an attribute map."""
        return {(facet, self.normal(value)) for facet, values in attributes.items() for value in values}

    def of_items(self, ids: tuple[str, ...]) -> set[Pair]:
        """All attributes of some items; unknown ids add nothing."""
        items = [item for i in ids if (item := self._catalogue.get(i)) is not None]
        return {pair for item in items for pair in self.pairs(item.attributes)}

    def need(self, scenario: Scenario) -> tuple[set[Pair], set[Pair]]:
        """What the need wants, and what it does not want.

        Wanted: its liked attributes, and those of the targets unless it names them as disliked. Unwanted: its disliked
        attributes and those of the disliked items, unless they are wanted.
        """
        held = self._last
        if held is None or held[0] is not scenario:
            need = scenario.need
            disliked = self.pairs(need.disliked_attributes)
            wanted = self.pairs(need.liked_attributes) | (self.of_items(need.targets) - disliked)
            # The turns of one dialogue come one after the other: the last need is the next one asked for.
            held = self._last = (scenario, wanted, (disliked | self.of_items(need.disliked_items)) - wanted)
        return held[1], held[2]


@lru_cache(maxsize=2)
def reader_for(catalogue: Catalogue) -> Reader:
    """The reader of a catalogue: shared, because its index is costly and it only remembers what texts say."""
    return Reader(catalogue)


def answers(view: TurnView) -> Iterator[TurnRecord]:
    """The seeker's answers at this turn and before."""
    for turn in view.dialogue.turns[: view.turn]:
        if turn.user_text is not None:
            yield turn
