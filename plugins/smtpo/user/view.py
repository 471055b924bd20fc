"""What a label-free simulator sees, as the texts that its prompts are filled with.

Two kinds of knowledge: the public dialogue (and the list that is shown), and what the training dialogues tell about items:
how often they are mentioned, and which go together (EASE). Nothing here has access to a need or a target.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from harness.api import Catalogue, Conversation, Item, RecommenderSetup, Statement, TrainingDialogue

from ... import quoting
from ...facets import noun_of
from ...recommenders.ease import Ease
from ...recommenders.ease import Options as EaseOptions
from ...recommenders.reading import Reader
from ...recommenders.topk import Scores
from ...recommenders.training import mention_counts
from ..cards import stated
from .alignment import Alignment

STATE: Final = frozenset(
    "noun dialogue shown turn turns wants unwanted earlier liked disliked summary has lacks said plan".split()
)
"""Placeholders that tell of the dialogue and the list."""
ITEM: Final = frozenset("item card evidence".split())
"""Placeholders that tell of one item in the light of the dialogue."""
SHARED: Final = 2
"""Liked items that carry a value which is taken for a taste. [measured] what only one carries is the target's in one of five
cases."""
_SUMMARY: Final = 6
"""Values that a summary of several items names."""
_LONGEST: Final = 60
"""Characters of a value, at most."""
_REMEMBERED: Final = 8_192
_SHARED_SHOWN: Final = 3
_NO_WORD: Final = re.compile(r"\W")
_EDGES: Final = (3, 8, 20, 45, 100, 200, 400)
"""Upper ends of the buckets of ranks by affinity, for a catalogue of a thousand items; they scale with its size."""


class View(msgspec.Struct, frozen=True):
    """One moment of a dialogue. Statements are of the present wish unless `earlier`; rows are catalogue rows of items that the
    context names; `said` is what this simulator has said so far; `affinity` is the rank of each row by EASE, from 0, or None
    where the context names no item."""

    conversation: Conversation
    wants: tuple[Statement, ...]
    unwanted: tuple[Statement, ...]
    earlier: tuple[Statement, ...]
    said: tuple[Statement, ...]
    liked: tuple[int, ...]
    disliked: tuple[int, ...]
    shown: tuple[Item, ...]
    affinity: Scores | None


class Viewer:
    """Makes views and fills in placeholders. `training` may be empty: then affinity and popularity say nothing."""

    def __init__(
        self,
        catalogue: Catalogue,
        training: Sequence[TrainingDialogue],
        *,
        reader: Reader | None = None,
        turns: int = 5,
        look: int = 10,
    ) -> None:
        """`look` is the length of a list that is looked at."""
        self.catalogue, self.reader = catalogue, reader or Reader(catalogue)
        self._noun, self._turns, self._look = noun_of(catalogue), turns, look
        self._edges = [max(n + 1, round(edge * len(catalogue) / 1000)) for n, edge in enumerate(_EDGES)]
        # The same values and items are written again and again.
        self._plain = lru_cache(maxsize=_REMEMBERED)(_plain)
        self._card = lru_cache(maxsize=_REMEMBERED)(lambda row: self._spelled(_values(catalogue[row])))
        counts = Counter(pair for item in catalogue for pair in set(_values(item)))
        self._rarity = {pair: math.log((1 + len(catalogue)) / count) for pair, count in counts.items()}
        self._ease: Ease | None = None
        self._popularity: list[str] = []
        if training:
            setup = RecommenderSetup(catalogue, training, 10, 0)
            self._ease = Ease(EaseOptions())
            self._ease.prepare_with(setup, self.reader)
            # Eight levels, each twice as often mentioned as the one below.
            counts = mention_counts(catalogue, training) * (4000 / len(training))
            self._popularity = [str(min(int(level), 7)) for level in np.log2(1 + counts)]

    def view(self, conversation: Conversation) -> View:
        """Linear in the dialogue's text; the readings of old messages are remembered."""
        context = Conversation(quoting.context_of(conversation))
        # What was said before this dialogue began tells of the seeker; its own answers are this simulator's guesses.
        groups, later = stated(context, self.reader), stated(conversation, self.reader)
        signs = self.reader.mentioned(context)
        ranked = conversation.messages[-1].ranked if conversation.messages else ()
        items = (self.catalogue.get(item_id) for item_id in dict.fromkeys(ranked))
        affinity: Scores | None = None
        if self._ease is not None and signs:
            scores = self._ease.scores(context)
            affinity = np.empty(len(scores))
            affinity[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
        return View(
            conversation=conversation,
            wants=tuple(groups["wants"]),
            unwanted=tuple(groups["not"]),
            earlier=tuple(groups["earlier"]),
            said=(*later["lately"], *later["lately not"]),
            liked=tuple(row for row, sign in signs.items() if sign > 0),
            disliked=tuple(row for row, sign in signs.items() if sign < 0),
            shown=tuple(item for item in items if item is not None)[: self._look],
            affinity=affinity,
        )

    def state(self, view: View, names: Collection[str], plan: str = "") -> dict[str, str]:
        """Those of the placeholders `STATE` that are named."""
        ways: dict[str, Callable[[], str]] = {
            "noun": lambda: self._noun,
            "dialogue": lambda: quoting.transcript(view.conversation, ("you", "recommender")),
            "shown": lambda: quoting.numbered(view.shown),
            "turn": lambda: str(view.conversation.turn),
            "turns": lambda: str(self._turns),
            "wants": lambda: self._spelled((s.facet, s.value) for s in view.wants),
            "unwanted": lambda: self._spelled((s.facet, s.value) for s in view.unwanted),
            "earlier": lambda: self._spelled((s.facet, s.value) for s in view.earlier if s.polarity > 0),
            "liked": lambda: self._summary(self.catalogue[row] for row in view.liked),
            "disliked": lambda: self._summary(self.catalogue[row] for row in view.disliked),
            "summary": lambda: self._summary(view.shown),
            "has": lambda: self._spelled(p for p in _wants(view) if p in _carried(view)),
            "lacks": lambda: self._spelled(p for p in _wants(view) if p not in _carried(view)),
            "said": lambda: self._spelled((s.facet, s.value) for s in view.said),
            "plan": lambda: plan,
        }
        return {name: way() for name, way in ways.items() if name in names}

    def item(self, view: View, item: Item, names: Collection[str]) -> dict[str, str]:
        """Those of the placeholders `ITEM` that are named."""
        row = self.catalogue.position(item.id)
        ways: dict[str, Callable[[], str]] = {
            "item": lambda: quoting.described(item),
            "card": lambda: self._card(row),
            "evidence": lambda: self._evidence(view, row),
        }
        return {name: way() for name, way in ways.items() if name in names}

    def borne_out(self, view: View, alignment: Alignment) -> Alignment:
        """Without what nothing points to: liked values are stated or carried by several liked items, disliked ones turned down
        or carried by a disliked or a shown item. A small model makes others up, and is hardly ever right then."""
        wanted = {_plain(s.value).casefold() for s in (*view.wants, *view.earlier) if s.polarity > 0}
        wanted |= self._carried_by((self.catalogue[row] for row in view.liked), SHARED)
        unwanted = {_plain(s.value).casefold() for s in (*view.unwanted, *view.earlier) if s.polarity < 0}
        unwanted |= self._carried_by((*(self.catalogue[row] for row in view.disliked), *view.shown))

        def kept(values: Iterable[str], among: Collection[str]) -> tuple[str, ...]:
            return tuple(value for value in dict.fromkeys(values) if _plain(value).casefold() in among)

        return Alignment(
            liked=kept(alignment.liked, wanted),
            disliked=kept(alignment.disliked, unwanted),
            matched=kept(alignment.matched, wanted),
            missing=kept(alignment.missing, wanted),
        )

    def _carried_by(self, items: Iterable[Item], least: int = 1) -> set[str]:
        carried = Counter(value for item in items for value in {_plain(value).casefold() for _, value in _values(item)})
        return {value for value, count in carried.items() if count >= least}

    def _evidence(self, view: View, row: int) -> str:
        """What is known of an item, a mark each, so that a small model can read it: "<+star> <-genre> <!decade> <~genre> <fit3>
        <known5>" for a wish that it meets, one that it doesn't, an unwanted value that it has, a value that it shares with a
        liked item (three times at most), its rank by EASE and its popularity."""
        own, wants = set(_values(self.catalogue[row])), _wants(view)
        marks = [("+" if pair in own else "-", pair[0]) for pair in wants]
        marks += [("!", s.facet) for s in view.unwanted if (s.facet, s.value) in own]
        shared = Counter(p[0] for liked in view.liked for p in _values(self.catalogue[liked]) if p in own)
        marks += [("~", facet) for facet, count in shared.items() for _ in range(min(count, _SHARED_SHOWN))]
        spelled = [f"<{sign}{_NO_WORD.sub('_', facet)}>" for sign, facet in sorted(marks)]
        known = self._popularity[row] if self._popularity else "?"
        return " ".join((*spelled, f"<fit{self._bucket(view.affinity, row)}>", f"<known{known}>"))

    def _bucket(self, affinity: Scores | None, row: int) -> str:
        if affinity is None:
            return "?"
        return str(sum(affinity[row] >= edge for edge in self._edges))

    def _summary(self, items: Iterable[Item]) -> str:
        """The values that several of some items share, the more of them and the rarer in the catalogue the earlier; then others
        in order of appearance."""
        carried = Counter(pair for item in items for pair in _values(item))
        most = sorted(carried.items(), key=lambda entry: -(entry[1] - 1) * self._rarity[entry[0]])[:_SUMMARY]
        return " ".join(self._plain(value) for (_, value), _ in most)

    def _spelled(self, values: Iterable[tuple[str, str]]) -> str:
        """ "genre horror comedy director Ana Sol": each facet before its values."""
        grouped: dict[str, list[str]] = {}
        for facet, value in values:
            grouped.setdefault(facet, []).append(self._plain(value))
        return " ".join(f"{self._plain(facet)} {' '.join(held)}" for facet, held in grouped.items())


def _values(item: Item) -> list[tuple[str, str]]:
    return [(facet, value) for facet, held in item.attributes.items() for value in held]


def _wants(view: View) -> list[tuple[str, str]]:
    return [(s.facet, s.value) for s in view.wants]


def _carried(view: View) -> set[tuple[str, str]]:
    return {pair for item in view.shown for pair in _values(item)}


def _plain(value: str) -> str:
    return quoting.plain(value, _LONGEST)
