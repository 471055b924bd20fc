"""Titles in a model's answer: a JSON object, a JSON list, or a numbered list; nothing else is a list of titles."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from harness.llm.api import Completion

from ..answers import decoded, malformed, unwrapped
from .chatting import LONGEST_REASONING

_MOST: Final = 200
_NUMBERED: Final = re.compile(r"(?:[*_]{2})?(\d{1,4})[.)][ \t]*(?:[*_]{2}[ \t]+)?(\S.*)", re.ASCII)
# The title is what is marked as one, else what ends in a year, else the line.
_MARKED: Final = re.compile(r"(\*\*|__|\*|_|[\"“«])(?P<title>.+?)(?:\1|[\"”»])(?P<year>[ \t]*\(\d{4}\))?")
_DATED: Final = re.compile(r".*?\S[ \t]*\(\d{4}\)")


class Titled(msgspec.Struct, frozen=True):
    """A title as an object; what else it says is left aside."""

    title: str
    year: int | None = None

    def __str__(self) -> str:
        return self.title if self.year is None else f"{self.title} ({self.year})"


Entries = Annotated[tuple[str | Titled, ...], msgspec.Meta(max_length=_MOST)]


class _Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    titles: Entries
    text: str = ""
    reasoning: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """Titles as the model wrote them, best first; the text for the seeker ("" if it gave none); its reasoning."""

    titles: tuple[str, ...]
    text: str = ""
    reasoning: str | None = None


def read(completion: Completion) -> Answer:
    """{"titles": [...], "text": ...}, [...] or "1. ...". Raises ComponentFault "empty" or "malformed".

    A title may be an object {"title": ..., "year": ...}. A numbered list counts from 1 without a gap; what stands around it
    belongs to the text, which then is the whole answer.
    """
    answer, thoughts = unwrapped(completion)
    if answer.startswith("{"):
        parsed = decoded(completion, _Object)
        reasoning = parsed.reasoning or thoughts
        return Answer(tuple(map(str, parsed.titles)), parsed.text.strip(), reasoning[:LONGEST_REASONING] or None)
    if answer.startswith("["):
        return Answer(tuple(map(str, decoded(completion, Entries))), "", thoughts[:LONGEST_REASONING] or None)
    titles = numbered(answer)
    if not titles:
        raise malformed(completion, "neither JSON nor a numbered list")
    return Answer(titles, answer, thoughts[:LONGEST_REASONING] or None)


def numbered(text: str) -> tuple[str, ...]:
    """The titles of a numbered list; empty if there is none, or if its numbers aren't 1, 2, 3, ...

    Of a line it is what stands in bold, in italics or in quotes, with its year; else all up to the first year; else all.
    """
    lines = [match for match in (_NUMBERED.fullmatch(line.strip()) for line in text.splitlines()) if match]
    if not 0 < len(lines) <= _MOST or [int(match[1]) for match in lines] != list(range(1, len(lines) + 1)):
        return ()
    return tuple(_title(match[2]) for match in lines)


def _title(line: str) -> str:
    marked = _MARKED.match(line)
    if marked is not None:
        return f"{marked['title'].strip()}{marked['year'] or ''}"
    dated = _DATED.match(line)
    return dated.group() if dated else line
