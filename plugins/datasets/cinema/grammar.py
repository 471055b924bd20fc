"""Puts a plan into words: who says what in which message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from harness.api import Item

from . import phrases
from .model import World
from .stored import Line, Stored
from .users import Plan, Said, Style, Wish

# Titles and values stand between these marks until the end: typing errors are rarer inside.
_OPEN, _CLOSE = "\x02", "\x03"
_MARKED = re.compile(f"({_OPEN}[^{_CLOSE}]*{_CLOSE})")
_LETTERS = "etaoinshrdlu"
_LONGEST = 14
_PERSONS = ("star", "director")

T = TypeVar("T")


class Writer:
    """Writes one dialogue; all choices come from its `draw`."""

    def __init__(self, draw: Random, world: World, style: Style) -> None:
        self._draw = draw
        self._world = world
        self._style = style
        self._lines: list[Line] = []

    def write(self, plan: Plan) -> Stored:
        """The dialogue of a plan: messages alternate between the speakers."""
        turns: list[int] = []
        spare = _LONGEST - 2 * sum(1 + len(wish.backs) for wish in plan.wishes) - 2
        spare -= self._open(spare)
        lead = []
        if not self._lines:
            lead += [self._one(phrases.HELLO)] * self._chance(0.5) + [self._one(phrases.REQUEST)]
        for number, wish in enumerate(plan.wishes):
            spare -= self._ask_for(wish, lead, turns, spare)
            turns.append(len(self._lines))
            self._recommend(wish)
            lead = [self._one(phrases.REACTION[wish.reaction])]
            if number + 1 < len(plan.wishes):
                lead.append(self._one(phrases.NEXT))
        self._say(1, [*lead, self._one(phrases.THANKS)])
        if len(self._lines) < 6 or self._chance(0.6):
            self._say(0, [self._one(phrases.BYE)])
        return Stored(plan, tuple(self._lines), tuple(turns))

    # ------------------------------------------------------------------------------------------------- the dialogue

    def _open(self, spare: int) -> int:
        """Greetings before the first wish; returns the number of messages beyond the two that every wish takes."""
        kind = self._draw.random()
        if kind < 0.35:
            self._say(0, [self._one(phrases.HELLO), self._one(phrases.OFFER)])
            return 1
        if kind < 0.6 and spare >= 2:
            self._say(1, [self._one(phrases.HELLO), *self._chat(phrases.SEEKER_CHAT)])
            self._say(0, [self._one(phrases.HELLO), self._one(phrases.OFFER)])
            return 2
        return 0

    def _ask_for(self, wish: Wish, lead: list[str], turns: list[int], spare: int) -> int:
        """The seeker's messages up to the recommendation, with the recommender's questions and returns to old films.

        Returns how many messages a question took.
        """
        films: list[int] = [*wish.liked, *wish.disliked]
        lead = lead + self._film_sentences(wish)
        made = 0
        for back, upto in wish.backs:
            self._say(1, self._pad(lead + self._statements(wish.said[made:upto], wish.said[:made])), films)
            turns.append(len(self._lines))
            self._say(0, [self._one(phrases.BACK).format(film=self._title(back))], [back])
            lead, films, made = [self._one(phrases.BACK_REPLY)], [], upto
        rest = wish.said[made:]
        if spare < 2 or not self._chance(0.45 if rest else 0.12):
            self._say(1, self._pad(lead + self._statements(rest, wish.said[:made])), films)
            return 0
        # Something is kept for the answer to a question.
        cut = int(self._draw.random() * len(rest)) if rest else 0
        self._say(1, self._pad(lead + self._statements(rest[:cut], wish.said[:made])), films)
        fits = bool(rest) and rest[cut].polarity > 0 and self._chance(0.6)
        question = phrases.ASK_FACET[rest[cut].facet] if fits else phrases.ASK
        self._say(0, [*self._chat(phrases.RECOMMENDER_CHAT), self._one(question)])
        answer = self._statements(rest[cut:], wish.said[: made + cut]) or [self._one(phrases.UNSURE)]
        self._say(1, answer)
        return 2

    def _recommend(self, wish: Wish) -> None:
        film = self._title(wish.target)
        films = [wish.target]
        sentences = self._chat(phrases.RECOMMENDER_CHAT)
        if wish.beside >= 0:
            sentences.append(self._one(phrases.BESIDE).format(film=film, old=self._title(wish.beside)))
            films.append(wish.beside)
        else:
            sentences.append(self._one(phrases.RECOMMEND).format(film=film))
        if self._chance(0.3):
            item: Item = self._world.catalogue[wish.target]
            codes = {facet: self._world.code[facet][self._one(values)] for facet, values in item.attributes.items()}
            facts = {facet: self._value(facet, code, loose=False) for facet, code in codes.items()}
            sentences.append(self._one(phrases.WHY).format(**facts))
        self._say(0, sentences, films)

    # ------------------------------------------------------------------------------------------------- sentences

    def _film_sentences(self, wish: Wish) -> list[str]:
        out = []
        for number, film in enumerate(wish.liked):
            bank = phrases.MORE_LIKED_FILMS if number and self._chance(0.7) else phrases.LIKED_FILM
            out.append(self._one(bank).format(film=self._title(film)))
        for film in wish.disliked:
            out.append(self._one(phrases.DISLIKED_FILM).format(film=self._title(film)))
        return out

    def _statements(self, said: Sequence[Said], before: Sequence[Said]) -> list[str]:
        """Sentences for statements. Leading wanted values of different facets may share one noun phrase."""
        out: list[str] = []
        facets = {(one.facet, one.polarity) for one in before}
        joined: list[Said] = []
        for one in said:
            if one.polarity < 0 or one.retracted >= 0 or one.facet in {other.facet for other in joined}:
                break
            joined.append(one)
        if joined and not facets and self._chance(0.75 if len(joined) > 1 else 0.35):
            out.append(self._one(phrases.WISH).format(thing=self._thing(joined)))
            said = said[len(joined) :]
            facets |= {(one.facet, one.polarity) for one in joined}
        for one in said:
            bank = phrases.UNWANTED if one.polarity < 0 else phrases.ALSO if (one.facet, 1) in facets else phrases.WANTED
            facets.add((one.facet, one.polarity))
            if one.retracted >= 0:
                out.append(self._one(bank[one.facet]).format(value=self._value(one.facet, one.retracted, loose=False)))
                the = "the " if one.facet == "decade" else ""
                out.append(self._one(phrases.CORRECTION).format(value=the + self._value(one.facet, one.value, loose=False)))
                continue
            value = self._value(one.facet, one.value)
            sentences: Sequence[str] = bank[one.facet]
            if one.facet == "genre" and _OPEN not in value:
                sentences = phrases.LOOSE_UNWANTED if one.polarity < 0 else phrases.LOOSE_WANTED
            out.append(self._one(sentences).format(value=value))
        return out

    def _thing(self, said: Sequence[Said]) -> str:
        """ "a comedy film from the 1990s with Jim Carrey" """
        words = {one.facet: self._value(one.facet, one.value) for one in said}
        genre = words.get("genre")
        if not genre:
            head = self._one(("something", "a film", "a good film"))
        elif _OPEN not in genre:
            head = genre
        else:
            head = f"{'an' if genre.strip(_OPEN)[0] in 'aeiou' else 'a'} {genre} film"
        tails = {
            "decade": "from the {}",
            "country": self._one(("from {}", "made in {}")),
            "director": self._one(("by {}", "directed by {}")),
            "star": self._one(("with {}", "starring {}")),
        }
        return " ".join([head, *(tails[facet].format(word) for facet, word in words.items() if facet != "genre")])

    def _value(self, facet: str, code: int, *, loose: bool = True) -> str:
        """A value as this user writes it: sometimes in looser words, a person sometimes by the last name alone."""
        value = self._world.values[facet][code]
        if loose and self._chance(self._style.vague):
            if value in phrases.LOOSE:
                return phrases.LOOSE[value]
            if facet in _PERSONS:
                return _mark(value.split()[-1])
        return f"the {_mark(value)}" if value in phrases.WITH_ARTICLE else _mark(value)

    def _title(self, film: int) -> str:
        item: Item = self._world.catalogue[film]
        return _mark(f"{item.title} ({item.year})" if self._chance(0.6) else item.title)

    def _pad(self, sentences: list[str]) -> list[str]:
        """Adds vague words or small talk, so that something is said even where there is nothing to say."""
        if not sentences or self._chance(0.4 * self._style.vague):
            sentences = [*sentences, self._one(phrases.VAGUE)]
        return [*sentences, *self._chat(phrases.SEEKER_CHAT, 0.15)]

    # ------------------------------------------------------------------------------------------------- words

    def _say(self, seeker: int, sentences: Sequence[str], films: Sequence[int] = ()) -> None:
        text = self._finish(" ".join(sentences), typing=bool(seeker))
        self._lines.append(Line(seeker, text, tuple(films)))

    def _finish(self, text: str, *, typing: bool) -> str:
        """Typing errors, capitals and the end of the marks. Only seekers mistype, as some of them write in lower case."""
        parts = _MARKED.split(text)
        if typing:
            rate = self._style.typos
            parts = [self._mistype(part, rate * (0.3 if part.startswith(_OPEN) else 1.0)) for part in parts]
        text = "".join(parts)
        text = re.sub(rf"(^|[.!?] ){_OPEN}?([a-z])", lambda m: m.group().replace(m[2], m[2].upper()), text)
        text = text.replace(_OPEN, "").replace(_CLOSE, "")
        return text.lower() if typing and self._style.lower else text

    def _mistype(self, text: str, rate: float) -> str:
        if self._draw.random() > 1.0 - (1.0 - rate) ** len(text):
            return text
        places = [n for n in range(1, len(text) - 1) if text[n - 1 : n + 2].isascii() and text[n - 1 : n + 2].isalpha()]
        if not places:
            return text
        place = places[int(self._draw.random() * len(places))]
        kind = self._draw.random()
        if kind < 0.35:
            return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        if kind < 0.65:
            return text[:place] + text[place + 1 :]
        if kind < 0.85:
            return text[:place] + text[place] + text[place:]
        return text[:place] + self._one(_LETTERS) + text[place + 1 :]

    def _chat(self, bank: Sequence[str], rate: float = 0.4) -> list[str]:
        return [self._one(bank)] if self._chance(rate * self._style.chatty) else []

    def _chance(self, probability: float) -> bool:
        return self._draw.random() < probability

    def _one(self, bank: Sequence[T]) -> T:
        return bank[int(self._draw.random() * len(bank))]


def _mark(value: str) -> str:
    return f"{_OPEN}{value}{_CLOSE}"
