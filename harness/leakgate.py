"""The one leak gate: every text of a simulator passes here once, and the same text goes to everybody after that.

A text that names a target which is neither recommended nor mentioned in public yet is a leak (protocol, section 2). Matching is
exact over normalised titles and aliases: one pass over the text, independent of the catalogue's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from harness.api import Item
from harness.text import PhraseIndex, tokenise

LeakPolicy = Literal["redact", "keep", "stop"]
WITHHELD = "[title withheld]"

_YEAR = re.compile(r"\s*[\(\[]?\s*((?:18|19|20)\d\d)\s*[\)\]]?")
_NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "2": "ii", "3": "iii",
             "4": "iv", "5": "v", "6": "vi", "7": "vii", "8": "viii", "9": "ix"}  # fmt: skip
_ARTICLES = ("the", "a", "an")
_QUOTES = "\"'“”‘’«»*_"
# Words that are ordinary English as well as titles ("It", "Up", "Get Out"). A title made of them alone counts only where it is
# written as one: with its year, in quotes, or capitalised inside a sentence.
_ORDINARY = frozenset(
    """action animation comedy documentary drama fantasy musical mystery romance thriller western
    a about after again all alien aliens alive alone along also always am an and angel animal another any anything apart are
    around as at away baby back bad be beast beautiful because been before begin behind believe best better between beyond big
    birds black blind blood blow blue body book born both boy boys brave bright bring brother brothers but by bye call can cars
    change chance choice city clean click clue cold come contact cool country crash crazy crime cube cut dark day days dead dear
    deep do does doing dogs done down dream dreams drive dune each easy edge end enemy enough epic even ever every everything
    evil face faith fall family fame far fast father fear fight fire first flight fly for forever found fracture free freedom
    friday friend friends from frozen full fun funny game get gift girl girls give go going gone good grand gravity great
    green guess half hall hand happy hard have he head heart heat heaven help her here hero hidden high him his hit hold holiday
    home hope horror hot house how hush i if in inside into is it its jaws joy jump just keep kids kill king kiss know last late
    law leave left legend let liar life lift light like lion little live lock long look looking lost love lucky mad man me meet
    men milk mind mine miracle misery monster moon more most mother move movie movies much mud must my need never new next night
    no nothing notice now of off old on once one only open or other our out over own paid parents party passengers past pay
    people perfect pi pick platoon play please power private problem pulse push queen race rain ray ready real red remember rent
    rest ride right rings road room rope run rush safe same saw say scream sea second see serenity seven shaft she shine short
    show sick signs silence sing single sister sisters six sky sleep sleepers smile snatch so some something song speed split
    spotlight spy star stars stay step still stop strange street strong super sure surprise take taken talk tell ten than that
    the them then there these they thing things think this those three thunder time to today together tomorrow tonight too
    touch town toy traffic trapped true truth try tully turn twins two under unfaithful until up us very vice walk wall want war
    warrior was watch water way we wedding week well were what when where which who whole why wild will win wings winter wish
    with within without witness woman women wonder word words work world would wow year years yes yesterday yet you young
    your""".split()
)


class GateResult(msgspec.Struct, frozen=True):
    """The text as everybody gets it, the leaked target ids, and the catalogue ids that the resulting text names."""

    text: str
    leaks: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class LeakGate:
    """Built once per run from the catalogue; `check` is called once per simulator text."""

    __slots__ = ("_index", "_ordinary", "_years")

    def __init__(self, catalogue: Iterable[Item]) -> None:
        self._index = PhraseIndex()
        self._ordinary: set[str] = set()
        self._years: dict[str, int | None] = {}
        for item in catalogue:
            self._years[item.id] = item.year
            for name in (item.title, *item.aliases):
                self._add(name, item.id)

    def _add(self, name: str, item_id: str) -> None:
        spellings = {name, name.replace("-", ""), name.replace("&", " and ")}
        spellings |= {" ".join(_NUMERALS.get(t.norm, t.norm) for t in tokenise(name))}
        for spelling in spellings:
            self._add_words([t.norm for t in tokenise(spelling)], item_id)

    def _add_words(self, words: list[str], item_id: str) -> None:
        if not words:
            return
        self._index.add(" ".join(words), item_id)
        self._note(words)
        if len(words) > 1 and words[0] in _ARTICLES:
            # "the matrix" is also called "matrix"; "a man" is not called "man", but then the word is an ordinary one.
            self._index.add(" ".join(words[1:]), item_id)
            self._note(words[1:])
        if len(words) > 2 and words[-1] in _ARTICLES:  # "Matrix, The"
            self._index.add(" ".join((words[-1], *words[:-1])), item_id)

    def _note(self, words: list[str]) -> None:
        if all(w in _ORDINARY or len(w) == 1 or w.isdigit() for w in words):
            self._ordinary.add(" ".join(words))

    def check(self, text: str, *, hidden: Iterable[str], policy: LeakPolicy = "redact") -> GateResult:
        """`hidden` are the target ids that nobody has named in public yet."""
        hidden = set(hidden)
        leaks: dict[str, None] = {}
        named: dict[str, None] = {}
        pieces: list[str] = []
        position = 0
        for match in self._index.find(text):
            start, end, payloads = match.start, match.end, match.payloads
            year = _YEAR.match(text, end)
            if not self._is_title(text, start, end, year is not None):
                continue
            ids = self._of_year(payloads, int(year.group(1)) if year else None)
            secret = [i for i in ids if i in hidden]
            if not secret:
                named.update(dict.fromkeys(ids))
                continue
            leaks.update(dict.fromkeys(secret))
            if policy == "redact":
                pieces += (text[position:start], WITHHELD)
                position = year.end() if year else end
        pieces.append(text[position:])
        return GateResult("".join(pieces), tuple(leaks), tuple(named))

    def _of_year(self, payloads: tuple[str, ...], year: int | None) -> tuple[str, ...]:
        """Two films of one title: the year decides, where one is said and it fits one of them (off by one is a slip)."""
        if year is None or len(payloads) == 1:
            return payloads
        fitting = tuple(i for i in payloads if abs((self._years[i] or 0) - year) <= 1)
        return fitting or payloads

    def _is_title(self, text: str, start: int, end: int, year: bool) -> bool:
        surface = text[start:end]
        words = tokenise(surface)
        if " ".join(w.norm for w in words) not in self._ordinary:
            return True
        if year or (start > 0 and text[start - 1] in _QUOTES and end < len(text) and text[end] in _QUOTES):
            return True
        # Capitalised as a title: each word of more than three letters, the first and the last; not merely a sentence's start.
        shown = [surface[w.start : w.end] for w in tokenise(surface)]
        capital = shown[0][:1].isupper() and shown[-1][:1].isupper() and all(s[:1].isupper() for s in shown if len(s) > 3)
        if not capital or surface in ("I", "A"):
            return False
        if len(shown) > 1:
            return not surface.isupper() or not text.isupper()
        before = text[:start].rstrip()
        return bool(before) and before[-1] not in ".!?:;\n-–—" and not text.isupper()
