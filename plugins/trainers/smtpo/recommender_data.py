"""Examples that the reasoning recommender is fine-tuned on: situations of the train split, chains of the teacher.

Two sources. *Fresh*: worlds whose catalogue nobody has seen, candidates of a rough retriever, fewer candidates at first (a
curriculum). *Played*: the train split's own scenarios, played over turns through the evaluation's dialogue loop with the
trained retriever, the simulator, and the teacher as recommender, so that states hold real candidates and real feedback.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from harness.api import Conversation, Item, Recommendation, Scenario, Split
from harness.rollouts import Environment

from ...recommenders.evidence import ListOptions, excluded_ids
from ...recommenders.reading import Reader
from ...recommenders.smtpo.chain import render
from ...recommenders.smtpo.prompt import Prompter
from ...recommenders.smtpo.teacher import TeacherSettings, teach
from ...smtpo.cards import stated
from .lm import Example
from .states import rough_states

RECORDED = 100


class Teacher:
    """The teacher as a recommender: what it would have been asked, and what it answers, is kept as examples."""

    serial = True

    def __init__(self, retriever: Any, split: Split, prompter: Prompter, settings: TeacherSettings, seed: int) -> None:
        self._retriever, self._catalogue = retriever, split.catalogue
        self._reader = Reader(split.catalogue)
        self._prompter, self._settings, self._seed = prompter, settings, seed
        self._made: dict[tuple[int, int], Example] = {}

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        """The teacher's list; the example is remembered under the dialogue's seed and turn."""
        how = self._prompter.how
        found = self._retriever.recall(conversation, max(RECORDED, k), exclude=excluded_ids(conversation, ListOptions()))
        items: list[Item] = [self._catalogue[self._catalogue.position(item_id)] for item_id, _ in found]
        if not items:
            return Recommendation(text="What else do you like?")
        draw = Random(f"{self._seed}/{conversation.seed}/{conversation.turn}")
        shown = items[: how.candidates]
        if how.order == "shuffled":
            draw.shuffle(shown)
        groups = stated(conversation, self._reader)
        chain = teach(groups, shown, self._settings, draw)
        messages = self._prompter.messages(conversation, groups, shown, how.answer)
        prompt = "\n\n".join(message.content for message in messages)
        self._made[conversation.seed, conversation.turn] = Example(prompt, render(chain))
        chosen = [shown[number - 1].id for number in chain.answer][:k]
        return Recommendation(tuple(chosen), "How about these?", candidates=tuple(item.id for item in items[:RECORDED]))

    def examples(self) -> list[Example]:
        """In an order that does not depend on the order of play."""
        return [self._made[key] for key in sorted(self._made)]


def played(
    environment: Environment,
    retriever: Any,
    scenarios: Sequence[Scenario],
    prompter: Prompter,
    settings: TeacherSettings,
    *,
    turns: int,
    seed: int,
) -> list[Example]:
    """One example per dialogue and turn, shuffled by the seed."""
    teacher = Teacher(retriever, environment.split, prompter, settings, seed)
    environment.play(teacher, scenarios, turns=turns, seed=seed)
    made = teacher.examples()
    Random(f"played/{seed}").shuffle(made)
    return made


def fresh(
    worlds: Callable[[int], Split],
    prompter: Prompter,
    settings: TeacherSettings,
    *,
    total: int,
    curriculum: Sequence[tuple[float, int]],
    first: int,
    turns: int = 3,
) -> Iterator[Example]:
    """`total` examples from as many worlds as it takes; `worlds(n)` makes world n, from `first` on.

    `curriculum` holds (share of the total until which, candidates): after the last one all candidates are shown.
    """
    made = 0
    for chunk in itertools.count(first) if total else ():
        for state in rough_states(worlds(chunk), chunk, prompter.how.candidates, turns):
            if made >= total:
                return
            draw = Random(f"{chunk}/{made}")
            shown = state.candidates
            size = next((count for share, count in curriculum if made < share * total), len(shown))
            if size < len(shown):
                shown = tuple(shown[place] for place in sorted(draw.sample(range(len(shown)), size)))
            chain = teach(state.groups, shown, settings, draw)
            messages = prompter.messages(state.conversation, state.groups, shown, prompter.how.answer)
            yield Example("\n\n".join(message.content for message in messages), render(chain))
            made += 1
