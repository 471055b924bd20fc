"""What the retriever learns from: (conversation -> targets) of the train split, and the same conversations some turns later.

Later turns are made, by seekers of two kinds, in plain sentences of this module's own (no simulator's). One knows what it is
after: a list that misses the targets is turned down, and the answer states attributes of its need. The other, like a
label-free user, does not: it turns down some of the list, says again what the context says, or nothing. A retriever that
has met the first kind alone takes whatever it is told for news. Targets are labels; no text is made from them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from harness.api import Catalogue, Conversation, Message, Need, Scenario, Split, TrainingDialogue

from ...facets import noun_of
from ...recommenders.evidence import known_rows
from ...recommenders.reading import Reader
from ...simulators.wording import phrase, sayable
from ...smtpo.cards import stated

_WANTED: Final = ("I want {np}.", "Something like {np} would be nice.", "{np}, please.", "I love {np}.", "Show me {np}.")
_UNWANTED: Final = ("No {np}.", "I hate {np}.", "I don't care for {np}.", "Not {np}, please.")
_REFUSALS: Final = ("Not what I meant.", "Nothing for me there.", "Sorry, nothing fits.", "")
_LISTED: Final = 10
_REPEATS: Final = 0.7
"""Of the answers of a seeker that knows no more, those that say a wish again. [measured] of the small simulator's replies."""


class Example(msgspec.Struct, frozen=True):
    """One row: what is public, the catalogue rows to be found, and rows that are no negatives for it."""

    messages: tuple[Message, ...]
    targets: tuple[int, ...]
    spared: tuple[int, ...]
    """Rows that the dialogue names anywhere or that the seeker likes: recalled or not, they are no mistakes."""
    need: Need
    fold: int

    def conversation(self, turns: Sequence[Message] = ()) -> Conversation:
        """The context with further turns."""
        return Conversation((*self.messages, *turns), 1 + len(turns) // 2)


def fold_of(source: str, folds: int) -> int:
    """The fold of a human dialogue, from its id alone."""
    return zlib.crc32(source.encode()) % folds


def examples(split: Split, folds: int) -> list[Example]:
    """The scenarios as examples; those without a target in the catalogue are left out."""
    named = {dialogue.id: _named(split.catalogue, dialogue) for dialogue in split.training}
    found = []
    for scenario in split.scenarios:
        targets = known_rows(split.catalogue, scenario.need.targets)
        if targets:
            spared = {*_public(split.catalogue, scenario), *known_rows(split.catalogue, scenario.need.liked_items)}
            spared.update(named.get(scenario.source, ()))
            kept = tuple(sorted(spared.difference(targets)))
            found.append(Example(scenario.context, tuple(targets), kept, scenario.need, fold_of(scenario.source, folds)))
    return found


def _named(catalogue: Catalogue, dialogue: TrainingDialogue) -> list[int]:
    return known_rows(catalogue, dict.fromkeys(i for message in dialogue.messages for i in message.items))


def _public(catalogue: Catalogue, scenario: Scenario) -> list[int]:
    return known_rows(catalogue, dict.fromkeys(i for message in scenario.context for i in (*message.items, *message.ranked)))


class Feedback:
    """Makes later turns. Deterministic by the generator that is handed in."""

    def __init__(self, catalogue: Catalogue, reader: Reader) -> None:
        self._catalogue, self._reader = catalogue, reader
        self._noun = noun_of(catalogue)

    def unsure(self, example: Example, shown: Sequence[int], count: int, rng: Random) -> list[Message]:
        """`count` rounds with a seeker that knows no more than its context: a share of each list is turned down, from nothing
        to everything but the targets, which may stand in it; the answer repeats one wish or states nothing. What was turned
        down is not shown again."""
        groups = stated(example.conversation(), self._reader)
        wishes = {f"{s.facet}\0{s.value}": s for s in groups["wants"] if sayable(s.value)}
        left = [row for row in shown if row not in example.targets]
        place = rng.randrange(4 * _LISTED)
        left[place:place] = rng.sample(example.targets, 1)
        turns: list[Message] = []
        for _ in range(count):
            listed = left[:_LISTED]
            doubtful = [row for row in listed if row not in example.targets]
            gone = set(rng.sample(doubtful, rng.randint(0, len(doubtful))))
            left = [row for row in left if row not in gone]
            sentences = [rng.choice(_REFUSALS)]
            if wishes and rng.random() < _REPEATS:
                wish = wishes.pop(rng.choice(sorted(wishes)))
                np = phrase(wish.facet, (wish.value,), self._noun)
                sentences.append(rng.choice(_WANTED).replace("{np}", np))
            text = " ".join(s[:1].upper() + s[1:] for s in sentences if s) or _REFUSALS[0]
            turns.append(Message("recommender", "How about these?", ranked=tuple(self._catalogue[row].id for row in listed)))
            turns.append(Message("seeker", text, rejected=tuple(self._catalogue[row].id for row in listed if row in gone)))
        return turns

    def turns(self, example: Example, shown: Sequence[int], count: int, rng: Random) -> list[Message]:
        """`count` rounds of list and answer. `shown` are catalogue rows, best first, that lists are cut from; targets are
        passed over. Each answer adds one wanted value, at times an unwanted one, that was not said in these rounds."""
        wrong = [row for row in shown if row not in example.targets]
        said: set[tuple[str, str]] = set()
        turns: list[Message] = []
        for start in range(0, count * _LISTED, _LISTED):
            ids = tuple(self._catalogue[row].id for row in wrong[start : start + _LISTED])
            sentences = [rng.choice(_REFUSALS)]
            sentences += self._stated(example.need.liked_attributes, said, rng, _WANTED, 1)
            if rng.random() < 0.3:
                sentences += self._stated(example.need.disliked_attributes, said, rng, _UNWANTED, 1)
            rng.shuffle(sentences)
            text = " ".join(s for s in sentences if s) or _REFUSALS[0]
            turns.append(Message("recommender", "How about these?", ranked=ids))
            turns.append(Message("seeker", text, rejected=ids))
        return turns

    def _stated(
        self,
        attributes: dict[str, tuple[str, ...]],
        said: set[tuple[str, str]],
        rng: Random,
        templates: Sequence[str],
        count: int,
    ) -> Iterator[str]:
        left = [(f, v) for f, held in attributes.items() for v in held if (f, v) not in said and sayable(v)]
        for facet, value in rng.sample(left, min(count, len(left))):
            said.add((facet, value))
            sentence = rng.choice(templates).replace("{np}", phrase(facet, (value,), self._noun))
            yield sentence[:1].upper() + sentence[1:]
