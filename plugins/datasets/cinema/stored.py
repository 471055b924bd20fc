"""The packaged form of a dialogue, and what is cut from it: test cases and training dialogues.

Films are catalogue positions and values are codes of `World`, so that the files stay small.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from harness.api import Message, Need, Scenario, TrainingDialogue
from harness.errors import DataError

from .levels import Difficulty
from .model import World
from .users import Plan, Said, Wish

Told = list[tuple[str, str, int]]
"""Statements: facet, value, +1 wanted or -1 unwanted."""

_AGAIN = "write it again with python -m harness_plugins.datasets.cinema.generate"


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One message: 1 for the seeker or 0 for the recommender, the text, the films that it names."""

    seeker: int
    text: str
    films: tuple[int, ...] = ()


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A dialogue: its hidden plan, its lines and the numbers of the lines in which films are recommended."""

    plan: Plan
    lines: tuple[Line, ...]
    turns: tuple[int, ...]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First line of a packed file. `films` is the SHA-256 of the film table that the positions refer to."""

    cinema: int
    difficulty: Difficulty
    split: str
    seed: int
    films: str


FORMAT = 1


def file_name(difficulty: str, split: str) -> str:
    """Name of a packed file."""
    return f"{difficulty}-{split}.jsonl.gz"


def pack(header: Header, dialogues: Iterable[Stored]) -> bytes:
    """JSON lines, compressed; equal dialogues give equal bytes."""
    encode = msgspec.json.Encoder().encode
    lines = [encode(header), *(encode(dialogue) for dialogue in dialogues), b""]
    # The operating system's number in the gzip header depends on the Python version.
    packed = bytearray(gzip.compress(b"\n".join(lines), compresslevel=9, mtime=0))
    packed[9] = 255
    return bytes(packed)


def unpack(data: bytes, where: str) -> tuple[Header, list[Stored]]:
    """Header and dialogues of a packed file. Raises DataError (file, line) for damage or another format."""
    try:
        lines = gzip.decompress(data).splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: not a whole gzip file ({error}); {_AGAIN}") from None
    if not lines:
        raise DataError(f"{where}: empty; {_AGAIN}")
    try:
        header = msgspec.json.decode(lines[0], type=Header)
    except msgspec.MsgspecError as error:
        raise DataError(f"{where}, line 1: {error}; {_AGAIN}") from None
    if header.cinema != FORMAT:
        raise DataError(f"{where}, line 1, cinema: format {header.cinema}, this version reads {FORMAT}; {_AGAIN}")
    decode = msgspec.json.Decoder(Stored).decode
    out = []
    for number, line in enumerate(lines[1:], 2):
        try:
            out.append(decode(line))
        except msgspec.MsgspecError as error:
            raise DataError(f"{where}, line {number}: {error}; {_AGAIN}") from None
    return header, out


class _Labels:
    """The seeker's labels of films up to some point of a dialogue (film positions, in order)."""

    def __init__(self) -> None:
        self.liked: list[int] = []
        self.disliked: list[int] = []
        self.seen: list[int] = []

    def name(self, liked: Sequence[int], disliked: Sequence[int]) -> None:
        """Films that the seeker names: they have seen them."""
        self.liked += liked
        self.disliked += disliked
        self.seen += [*liked, *disliked]

    def react(self, wish: Wish) -> None:
        """The answer to the recommended film; "none" and "seen" tell no liking."""
        if wish.reaction in ("loved", "will_watch"):
            self.liked.append(wish.target)
        if wish.reaction == "disliked":
            self.disliked.append(wish.target)
        if wish.reaction in ("loved", "disliked", "seen"):
            self.seen.append(wish.target)


class Cutter:
    """Turns stored dialogues into the harness's types."""

    def __init__(self, world: World, level: Difficulty) -> None:
        self._ids = world.catalogue.ids
        self._values = world.values
        self._level = level
        self._seed = world.seed

    def messages(self, dialogue: Stored) -> tuple[Message, ...]:
        """The public messages."""
        return tuple(
            [Message("seeker" if line.seeker else "recommender", line.text, self._named(line.films)) for line in dialogue.lines]
        )

    def training(self, dialogue: Stored) -> TrainingDialogue:
        """A whole dialogue with the seeker's labels."""
        labels = _Labels()
        for wish in dialogue.plan.wishes:
            labels.name(wish.liked, wish.disliked)
            labels.react(wish)
        named = self._named
        return TrainingDialogue(
            dialogue.plan.id, self.messages(dialogue), named(labels.liked), named(labels.disliked), named(labels.seen)
        )

    def scenarios(self, dialogue: Stored) -> list[Scenario]:
        """One test case per recommending turn; ids are "<dialogue>:<message>", messages counted from 0.

        `private` is what `ceilings` reads: the films named so far with how they came up, what was said about earlier targets,
        what is said and could be said about this one, the films to be named next and those that can be recommended again.
        """
        plan, messages, turns = dialogue.plan, self.messages(dialogue), iter(dialogue.turns)
        out: list[Scenario] = []
        labels = _Labels()
        films: list[tuple[str, str]] = []
        past: list[tuple[str, Told]] = []
        old: list[int] = []
        for number, wish in enumerate(plan.wishes):
            labels.name(wish.liked, wish.disliked)
            films += [("liked", film) for film in self._named(wish.liked)]
            films += [("disliked", film) for film in self._named(wish.disliked)]
            old += wish.liked
            following = plan.wishes[number + 1] if number + 1 < len(plan.wishes) else None
            later = (following.liked, following.disliked) if following else (plan.later_liked, plan.later_disliked)
            answers: list[tuple[tuple[int, ...], int]] = [((film,), made) for film, made in wish.backs]
            answers.append(((wish.target,) if wish.beside < 0 else (wish.target, wish.beside), len(wish.said)))
            for answer, made in answers:
                private: dict[str, Any] = {
                    "level": self._level,
                    "world": self._seed,
                    "named": tuple(films),
                    "past": tuple(past),
                    "said": self._spell(wish.said[:made]),
                    "unsaid": self._spell(wish.said[made:] + wish.unsaid),
                    "later_liked": self._named(later[0]),
                    "later_disliked": self._named(later[1]),
                    "old": self._named(old),
                }
                turn = next(turns)
                need = self._need(answer, labels, later, wish)
                out.append(Scenario(f"{plan.id}:{turn}", plan.id, messages[:turn], need, private))
            labels.react(wish)
            target = self._ids[wish.target]
            films.append(("target", target))
            past.append((target, self._spell(wish.said)))
            if wish.reaction != "disliked":
                old.append(wish.target)
        return out

    def _need(self, answer: Sequence[int], labels: _Labels, later: tuple[tuple[int, ...], ...], wish: Wish) -> Need:
        """What the seeker could tell: films named so far and next, and every value that they hold for this wish."""
        wanted: dict[str, list[str]] = {}
        unwanted: dict[str, list[str]] = {}
        for facet, value, polarity in self._spell(wish.said + wish.unsaid):
            (wanted if polarity > 0 else unwanted).setdefault(facet, []).append(value)
        return Need(
            targets=self._named(answer),
            liked_items=self._named([*labels.liked, *later[0]]),
            disliked_items=self._named([*labels.disliked, *later[1]]),
            seen_items=self._named([*labels.seen, *later[0], *later[1]]),
            liked_attributes={facet: tuple(values) for facet, values in wanted.items()},
            disliked_attributes={facet: tuple(values) for facet, values in unwanted.items()},
        )

    def _named(self, films: Sequence[int]) -> tuple[str, ...]:
        return tuple([self._ids[film] for film in films]) if films else ()  # most lines name none

    def _spell(self, said: Sequence[Said]) -> Told:
        return [(one.facet, self._values[one.facet][one.value], one.polarity) for one in said]
