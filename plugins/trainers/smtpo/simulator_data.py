"""What the simulator learns from: moments of training dialogues with the answers of somebody who knows the target.

A moment is a scenario of the train split (its context), up to three lists shown after it, and the answers given. They are made
by rule from the target's attributes, replies in the words of the rule-based seekers. Nothing of the target but its attributes
gets into an answer, and what names any title of the catalogue is left out.

Affinity and popularity of a moment are learned from *other* training dialogues (two folds), as they will be when the simulator
meets dialogues that it has not learned from.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from harness.api import Catalogue, Conversation, Item, Message, RecommenderSetup, Scenario, Split, Statement, TrainingDialogue
from harness.scenarios import novel
from harness.text import AttributeIndex

from ...facets import noun_of
from ...recommenders.hybrid import Hybrid
from ...recommenders.hybrid import Options as HybridOptions
from ...recommenders.reading import Reader
from ...smtpo.user.alignment import Alignment
from ...smtpo.user.view import SHARED, View, Viewer
from .simulator_replies import real_reply, tells
from .simulator_wording import feedback_text

FOLDS: Final = 2
POOL: Final = 50
"""Items of a recommender's list that lists are drawn from."""
_LIKED, _DISLIKED = 5, 2
_TELLING: Final = 0.25
"""Share of the catalogue up to which a value tells items apart. [measured] with all values allowed a greedy model says the most
frequent one of any item, whoever it speaks for."""

Pair = tuple[str, str]
"""Facet and value."""


class Moment(msgspec.Struct, frozen=True):
    """A view, the target, what an informed seeker would say, and the recommender's best items at the context."""

    scenario: str
    turn: int
    view: View
    target: Item
    alignment: Alignment
    reply: str
    pool: tuple[Item, ...]


class Telling:
    """The values that tell items apart: not those that any item is likely to carry."""

    def __init__(self, catalogue: Catalogue) -> None:
        counts = Counter(pair for item in catalogue for pair in pairs(item))
        self.values = frozenset(pair for pair, count in counts.items() if count <= max(1, _TELLING * len(catalogue)))


def pairs(item: Item) -> list[Pair]:
    """(facet, value) of an item, in order."""
    return [(facet, value) for facet, held in item.attributes.items() for value in held]


def align(view: View, target: Item, telling: Telling, catalogue: Catalogue) -> Alignment:
    """What somebody who knows the target would say of the list as far as the dialogue bears it out, by rule.

    A value that nothing in the dialogue points to can't be inferred by a model that knows no target: learning to say it would
    be learning to make something up. Hence liked: the target's values that the seeker has stated, then telling ones that
    several liked items carry, most of them first. disliked: unwanted values that the target lacks, then telling values of at
    least half of the list that it lacks. matched, missing: liked values that some shown item carries, and that none does.
    """
    own = dict.fromkeys(pairs(target))
    stated = [(s.facet, s.value) for s in view.wants]
    liked = [p for p in dict.fromkeys(stated) if p in own]
    alike = Counter(p for row in view.liked for p in pairs(catalogue[row]))
    liked += sorted((p for p in own if alike[p] >= SHARED and p in telling.values and p not in liked), key=lambda p: -alike[p])
    carried = Counter(p for item in view.shown for p in pairs(item))
    disliked = [(s.facet, s.value) for s in view.unwanted if (s.facet, s.value) not in own]
    disliked += [
        p for p, count in sorted(carried.items(), key=lambda entry: -entry[1])
        if 2 * count >= len(view.shown) and p in telling.values and p not in own and p not in disliked
    ]  # fmt: skip
    liked = liked[:_LIKED]
    return Alignment(
        liked=_values(liked),
        disliked=_values(disliked[:_DISLIKED]),
        matched=_values([p for p in liked if p in carried]),
        missing=_values([p for p in liked if p not in carried]),
    )


def _values(found: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for _, value in found))


def fold_of(source: str) -> int:
    """Which fold a dialogue belongs to, by its id."""
    return hashlib.sha256(source.encode()).digest()[0] % FOLDS


class Moments:
    """Makes moments of scenarios. Deterministic by (seed, epoch, scenario id)."""

    def __init__(
        self, catalogue: Catalogue, training: Sequence[TrainingDialogue], seed: int, *, crossed: bool, rounds: int = 3
    ) -> None:
        """`crossed`: learn what a scenario's dialogue is judged by from the other fold; for scenarios of the train split."""
        self.catalogue, self.reader, self.telling = catalogue, Reader(catalogue), Telling(catalogue)
        self._seed, self._rounds, self._crossed = seed, rounds, crossed
        self._noun, self._index = noun_of(catalogue), AttributeIndex(catalogue)
        folds = [[d for d in training if fold_of(d.id) != fold] for fold in range(FOLDS)] if crossed else [list(training)]
        self._parts = [self._part(fold) for fold in folds]

    def _part(self, training: list[TrainingDialogue]) -> tuple[Viewer, Hybrid]:
        viewer = Viewer(self.catalogue, training, reader=self.reader)
        members = ("attribute-match", "bm25", "ease", "popularity") if training else ("attribute-match", "bm25")
        hybrid = Hybrid(HybridOptions(members=members, exclude_rejected=False))
        hybrid.prepare_with(RecommenderSetup(self.catalogue, training, POOL, 0), self.reader)
        return viewer, hybrid

    def part(self, scenario: Scenario) -> tuple[Viewer, Hybrid]:
        """What knows nothing of the scenario's own dialogue."""
        return self._parts[fold_of(scenario.source) if self._crossed else 0]

    def of(self, scenario: Scenario, epoch: int = 0) -> Iterator[Moment]:
        """One moment per round of one scenario, for its first target; none where the target has no attributes."""
        target = self.catalogue.get(scenario.need.targets[0])
        if target is None or not target.attributes:
            return
        viewer, hybrid = self.part(scenario)
        rng = Random(f"{self._seed}|{epoch}|{scenario.id}")
        pool = self.pool(hybrid, scenario)
        messages = list(scenario.context)
        said: list[Statement] = []
        for turn in range(1, self._rounds + 1):
            shown = self._shown(rng, pool, target)
            messages.append(Message("recommender", "", ranked=tuple(item.id for item in shown)))
            view = viewer.view(Conversation(tuple(messages), turn))
            # What has been said rides in the view as the reader finds it; here it is known exactly.
            view = msgspec.structs.replace(view, said=tuple(said))
            alignment = align(view, target, self.telling, self.catalogue)
            reply, statements = feedback_text(rng, view, target, alignment, self._noun)
            yield Moment(scenario.id, turn, view, target, alignment, reply, tuple(pool))
            said += statements
            messages.append(Message("seeker", reply))

    def real(self, moment: Moment, scenario: Scenario) -> Moment | None:
        """What the person of the scenario's dialogue has answered to what they were recommended last, where they said something
        of attributes; else None."""
        found = real_reply(scenario)
        if found is None or not tells(found[1], self._index):
            return None
        conversation, reply = found
        viewer, _ = self.part(scenario)
        view = viewer.view(conversation)
        alignment = align(view, moment.target, self.telling, self.catalogue)
        return msgspec.structs.replace(moment, view=view, alignment=alignment, reply=reply)

    def pool(self, hybrid: Hybrid, scenario: Scenario) -> list[Item]:
        """The best items of the reference recommender, best first."""
        found = hybrid.recommend(Conversation(scenario.context), POOL).items
        return [item for item in map(self.catalogue.get, found) if item is not None]

    def _shown(self, rng: Random, pool: Sequence[Item], target: Item) -> list[Item]:
        """A list of ten: the recommender's own, a random ten of its pool, or anything; three in ten hold the target."""
        kind = rng.random()
        others = [item for item in pool if item.id != target.id]
        if kind < 0.5:
            start = rng.choice((0, 0, 10, 20))
            shown = others[start : start + 10]
        elif kind < 0.85:
            shown = rng.sample(others, min(10, len(others)))
        else:
            shown = [item for item in rng.sample(self.catalogue, min(11, len(self.catalogue))) if item.id != target.id][:10]
        if rng.random() < 0.3 and shown:
            shown[rng.randrange(len(shown))] = target
        return shown


def scenarios_of(split: Split, most: int | None = None, seed: int = 0) -> list[Scenario]:
    """The novel scenarios of a split; at most so many, drawn by the seed."""
    found = novel(split.scenarios)
    return found if most is None or most >= len(found) else Random(f"{seed}|scenarios").sample(found, most)
