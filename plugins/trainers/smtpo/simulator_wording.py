"""Feedback in words: what a seeker who knows the target says of a list, by attributes and without a title.

The sentences are those of the rule-based seekers (`simulators.speech`), without the ones that name a shown item.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from harness.api import Item, Statement

from ...facets import family
from ...simulators import speech
from ...simulators.wording import phrase, sayable
from ...smtpo.user.alignment import Alignment
from ...smtpo.user.view import View

_STATED, _MISSING, _OTHER = 3.0, 2.0, 1.0
"""How much likelier a stated, a missing and another liked value is to be named."""


def feedback_text(rng: Random, view: View, target: Item, alignment: Alignment, noun: str) -> tuple[str, tuple[Statement, ...]]:
    """(reply, its statements): a reaction, at times a criticism, one or two wishes, at times what doesn't matter.

    Values that were said in an earlier answer are said again only where nothing else is left.
    """
    own = [(facet, value) for facet, held in target.attributes.items() for value in held]
    liked = [(f, v) for f, v in own if v in alignment.liked and sayable(v)]
    said = {(s.facet, s.value) for s in view.said}
    sentences: list[str] = []
    statements: list[Statement] = []

    def add(facet: str, value: str, polarity: Literal[1, -1], manner: Literal["new", "again"]) -> None:
        template = rng.choice((speech.WANTED if polarity > 0 else speech.UNWANTED)[manner])
        text = template.replace("{np}", phrase(facet, (value,), noun))
        sentences.append(text[:1].upper() + text[1:])
        statements.append(Statement(facet, value, polarity))

    if rng.random() < 0.5:
        sentences.append(rng.choice(speech.NONE_OF_THESE))
    unwanted = [p for p in _disliked(view, alignment) if sayable(p[1]) and p not in said]
    if unwanted and rng.random() < 0.5:
        add(*unwanted[0], -1, "new")
    stated = {(s.facet, s.value) for s in view.wants}
    fresh = [p for p in liked if p not in said]
    for _ in range(1 + (rng.random() < 0.5)):
        choices = [p for p in fresh or liked if all(p[1] != s.value for s in statements)]
        if not choices:
            break
        weights = [_STATED if p in stated else _MISSING if p[1] in alignment.missing else _OTHER for p in choices]
        pair = rng.choices(choices, weights)[0]
        add(*pair, 1, "again" if pair in stated and rng.random() < 0.5 else "new")
    mistaken = dict.fromkeys(
        family(s.facet) for s in view.wants if (s.facet, s.value) not in own and s.facet not in {f for f, _ in liked}
    )
    if mistaken and rng.random() < 0.3:
        sentences.append(rng.choice(speech.NO_PREFERENCE).replace("{family}", rng.choice(list(mistaken))))
    if not sentences:
        sentences.append(nothing_new(rng))
    return " ".join(sentences), tuple(statements)


def nothing_new(rng: Random) -> str:
    """A reply that states nothing."""
    return rng.choice((*speech.NONE_OF_THESE, *speech.NO_ANSWER))


def _disliked(view: View, alignment: Alignment) -> list[tuple[str, str]]:
    """The disliked values with their facets."""
    known = {(s.facet, s.value): None for s in view.unwanted}
    known |= {(f, v): None for item in view.shown for f, held in item.attributes.items() for v in held}
    return [pair for value in alignment.disliked for pair in known if pair[1] == value][:2]
