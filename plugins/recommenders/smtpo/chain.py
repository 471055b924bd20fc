"""The reasoning chain: preference -> match -> score -> rank -> explanation, then the answer. Written, and read as it streams.

    <think>
    <preference>likes: horror | Japan ; dislikes: comedy</preference>
    <match>[C03] horror | Japan [C07] horror / comedy</match>
    <score>[C03] 8 [C07] 2</score>
    <rank>[C03] [C07] [C01] ...</rank>
    <explain>[C03] has horror and Japan, as you asked.</explain>
    </think>
    <answer>[C03] [C07] [C01] ...</answer>

The order of steps is the paper's (arXiv 2604.03671, as summarised in public); the syntax is this project's. Blanks and line
breaks between the parts mean nothing. `match` and `score` name the candidates that are worth it; after a slash stands what
speaks against one. `answer` holds exactly as many different candidates as were asked for, best first. Nothing follows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

SECTIONS: Final = ("preference", "match", "score", "rank", "explain")
MARKS: Final = (
    "<think>",
    "</think>",
    *(f"<{end}{name}>" for name in (*SECTIONS, "answer") for end in ("", "/")),
    "likes:",
    "dislikes:",
    "|",
    "/",
    ";",
)
"""The texts that a tokenizer made for this format has as one token each."""
LONGEST: Final = 20_000
"""Characters of a chain at most."""
_FREE: Final = 400
"""Characters of what is wanted, of what is not, and of the explanation, where `pattern` holds a model to the form."""
_ENTRY_FREE: Final = 200
"""Characters about one candidate in `match`, there."""
_ID: Final = re.compile(r"\[C(\d{1,3})\]")
_ENTRY: Final = re.compile(r"\[C(\d{1,3})\]([^\[]*)")
_NUMBER: Final = re.compile(r"\s*(10|\d)\s*")
_ORDER: Final = (
    "<think>",
    *(mark for name in SECTIONS for mark in (f"<{name}>", f"</{name}>")),
    "</think>",
    "<answer>",
    "</answer>",
)
_MARK: Final = re.compile("|".join(map(re.escape, _ORDER)))


class MalformedChain(ValueError):
    """What the model wrote breaks the format. The message says where."""


class Match(msgspec.Struct, frozen=True):
    """What speaks for and against one candidate."""

    candidate: int
    matched: tuple[str, ...]
    violated: tuple[str, ...] = ()


class Chain(msgspec.Struct, frozen=True):
    """A chain, read. Candidates are numbers from 1, in the order in which they were shown."""

    likes: tuple[str, ...] = ()
    dislikes: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    scores: tuple[tuple[int, int], ...] = ()
    rank: tuple[int, ...] = ()
    explanation: str = ""
    answer: tuple[int, ...] = ()


def identifier(number: int) -> str:
    """ "[C07]"."""
    return f"[C{number:02d}]"


def render(chain: Chain) -> str:
    """The chain in its strict form."""
    likes, dislikes = " | ".join(chain.likes), " | ".join(chain.dislikes)
    matches = " ".join(
        f"{identifier(m.candidate)} {' | '.join(m.matched)}{' / ' + ' | '.join(m.violated) if m.violated else ''}".strip()
        for m in chain.matches
    )
    scores = " ".join(f"{identifier(candidate)} {score}" for candidate, score in chain.scores)
    return (
        f"<think><preference>likes: {likes} ; dislikes: {dislikes}</preference><match>{matches}</match><score>{scores}</score>"
        f"<rank>{_ids(chain.rank)}</rank><explain>{chain.explanation}</explain></think><answer>{_ids(chain.answer)}</answer>"
    )


def pattern(candidates: int, k: int) -> str:
    """A regular expression of the chain about so many candidates (at least 1), of which `k` are asked for.

    It fixes the order of the parts, which candidates there are, how many an answer holds and how long free text may be: at
    most `LONGEST` together. That no candidate is named twice is not regular; it stays for `parse` to see. Blanks are free
    within narrow limits, because large models break lines and tokenizers made for the form drop blanks.
    """
    numbers = "|".join(f"{number:02d}" for number in range(1, candidates + 1))
    one, gap = rf"\[C(?:{numbers})\]", r"[ \n]{0,2}"
    # Marks, scores, ranks and the rest take under 40 characters per candidate and 2000 besides.
    entry = max(0, min(_ENTRY_FREE, (LONGEST - 2_000) // candidates - 40))
    bodies = {
        "preference": rf" ?likes:[^<;]{{0,{_FREE}}};[ \n]?dislikes:[^<]{{0,{_FREE}}}",
        "match": rf"(?:{one}[^<\[]{{0,{entry}}}){{0,{candidates}}}",
        "score": rf"(?:{one} ?(?:10|[0-9]) ?){{0,{candidates}}}",
        "rank": rf"(?:{one}[ >,]{{0,3}}){{0,{candidates}}}",
        "explain": rf"[^<]{{0,{_FREE}}}",
    }
    thought = gap.join(f"<{name}>{bodies[name]}</{name}>" for name in SECTIONS)
    answer = rf"(?:{one} ?){{{min(k, candidates)}}}"
    return f"<think>{gap}{thought}{gap}</think>{gap}<answer>{answer}</answer>"


def _ids(numbers: Sequence[int]) -> str:
    return " ".join(map(identifier, numbers))


def parse(text: str, candidates: int, k: int) -> Chain:
    """Read a whole chain about so many candidates, of which `k` were asked for. Raises MalformedChain."""
    parser = ChainParser(candidates, k)
    parser.feed(text)
    return parser.finish()


class ChainParser:
    """Reads a chain piece by piece and fails at the first character that can't be right.

    `feed` may be given any split of the text. `done` says that the answer is closed: generation can stop there. The same
    text gives the same outcome however it is cut.
    """

    def __init__(self, candidates: int, k: int) -> None:
        self._candidates = candidates
        self._k = min(k, candidates)
        self._buffer = ""
        self._expected = 0
        self._length = 0
        self._sections: dict[str, str] = {}

    @property
    def done(self) -> bool:
        """Whether the answer is closed."""
        return self._expected == len(_ORDER)

    def feed(self, piece: str) -> None:
        """More text. Raises MalformedChain as soon as it can't become a chain any more."""
        self._length += len(piece)
        if self._length > LONGEST:
            raise MalformedChain(f"it is longer than {LONGEST} characters")
        self._buffer += piece
        while not self.done:
            mark = _MARK.search(self._buffer)
            expected = _ORDER[self._expected]
            if mark is None:
                self._check_open(self._buffer)
                return
            if mark.group() != expected:
                raise MalformedChain(f"{mark.group()} stands where {expected} must")
            self._close(expected, self._buffer[: mark.start()])
            self._buffer = self._buffer[mark.end() :]
            self._expected += 1
        if self._buffer.strip():
            raise MalformedChain("something follows </answer>")

    def finish(self) -> Chain:
        """The chain. Raises MalformedChain where it is not complete."""
        if not self.done:
            raise MalformedChain(f"it ends before {_ORDER[self._expected]}")
        found = self._sections
        likes, dislikes = _preference(found["preference"])
        return Chain(
            likes,
            dislikes,
            tuple(_match(int(m[1]), m[2]) for m in _ENTRY.finditer(found["match"])),
            tuple((int(m[1]), _score(m[2])) for m in _ENTRY.finditer(found["score"])),
            tuple(_numbers(found["rank"])),
            " ".join(found["explain"].split()),
            tuple(_numbers(found["answer"])),
        )

    def _check_open(self, text: str) -> None:
        """Text that has no mark in it yet: between two sections only blanks and the beginning of a mark may stand."""
        expected = _ORDER[self._expected]
        inside = expected.startswith("</") and expected != "</think>"
        if not inside and not expected.startswith(text.strip()):
            raise MalformedChain(f"text stands before {expected}")

    def _close(self, mark: str, text: str) -> None:
        inside = mark.startswith("</") and mark != "</think>"
        if not inside:
            if text.strip():
                raise MalformedChain(f"text stands before {mark}")
            return
        name = mark[2:-1]
        if "<" in text:
            raise MalformedChain(f"an angle bracket stands in {name}")
        if name in ("match", "score", "rank", "answer"):
            self._check_ids(name, text)
        if name == "score":
            for entry in _ENTRY.finditer(text):
                _score(entry[2])
        elif name == "preference":
            _preference(text)
        self._sections[name] = text

    def _check_ids(self, name: str, text: str) -> None:
        if text[: text.find("[") if "[" in text else None].strip():
            raise MalformedChain(f"{name} does not start with a candidate")
        numbers = _numbers(text)
        foreign = [n for n in numbers if not 1 <= n <= self._candidates]
        if foreign:
            raise MalformedChain(f"{name} names {identifier(foreign[0])}, but there are {self._candidates} candidates")
        if len(set(numbers)) < len(numbers):
            raise MalformedChain(f"{name} names a candidate twice")
        if name in ("rank", "answer") and _ID.sub("", text).strip(" \t\r\n>,"):
            raise MalformedChain(f"{name} holds something that is no candidate")
        if name == "answer" and len(numbers) != self._k:
            raise MalformedChain(f"answer holds {len(numbers)} candidates, not {self._k}")


def _numbers(text: str) -> list[int]:
    return [int(found) for found in _ID.findall(text)]


def _values(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for part in text.split("|") if (value := " ".join(part.split()))))


def _preference(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    likes, semicolon, dislikes = text.partition(";")
    start, end = likes.strip(), dislikes.strip()
    if not start.startswith("likes:") or not semicolon or not end.startswith("dislikes:"):
        raise MalformedChain("preference must read likes: a | b ; dislikes: c")
    return _values(start.removeprefix("likes:")), _values(end.removeprefix("dislikes:"))


def _match(candidate: int, text: str) -> Match:
    matched, _, violated = text.partition("/")
    return Match(candidate, _values(matched), _values(violated))


def _score(text: str) -> int:
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise MalformedChain("score must give each candidate a number from 0 to 10")
    return int(number[1])
