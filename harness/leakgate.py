"""The one leak gate: every text of a simulator passes here once, and the same text goes to everybody after that.

A text that names a target which is neither recommended nor mentioned in public yet is a leak (protocol, section 2). Matching is
exact over normalised titles and aliases: one pass over the text, independent of the catalogue's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from harness.api import Item
from harness.disguise import disguised
from harness.text import PhraseIndex, tokenise

LeakPolicy = Literal["redact", "keep", "stop"]
WITHHELD = "[title withheld]"

_YEAR = re.compile(r"\s*([\(\[])?\s*((?:18|19|20)\d\d)(?!\d)(?:\s*[\)\]])?")
_ROMAN = "i ii iii iv v vi vii viii ix x xi xii".split()
_SPELLED = "one two three four five six seven eight nine ten eleven twelve".split()
_NUMERALS = {r: str(n) for n, r in enumerate(_ROMAN, 1) if n > 1} | {w: str(n) for n, w in enumerate(_SPELLED, 1)}
_WRITTEN = (
    {str(n): r for n, r in enumerate(_ROMAN, 1) if n > 1},
    {str(n): w for n, w in enumerate(_SPELLED, 1)},
    {"vol": "volume"},
    {"volume": "vol"},
)
_PARTS = ("part", "vol", "volume", "chapter", "episode")
_INNER = re.compile(r"(?<=\w)[-.·*](?=\w)")
_CATALOGUED = re.compile(r"^(.+), (the|a|an)$", re.IGNORECASE)
_ARTICLE_BEHIND = re.compile(r",\s?(?:the|an?)\b(?!\s+\w)", re.IGNORECASE)
_ARTICLES = ("the", "a", "an")
_WORD_BEFORE = re.compile(r"[\w,)] (\w+) $")
_WORD_AFTER = re.compile(r" (\w+)")
_QUOTES = "\"'“”‘’«»*_"
# Words that are ordinary English as well as titles ("It", "Up", "Get Out"). A title made of them alone counts only where it is
# written as one: with its year in brackets, in quotes, or capitalised inside a sentence.
_ORDINARY = frozenset(
    """action animation comedy documentary drama fantasy musical mystery romance thriller western
    a about after again alien aliens alive all allied alone along also always am an and angel animal another any anything
    apart are around arrival artist as at away baby back bad be beast beautiful because been before begin behind believe best
    better between beyond big birds black blind blood blow blue body book born both boy boys brave bright bring brother
    brothers but by bye call can cars casino cell chance change choice city classic clean click closer clown clue cold college
    come contact cool core country crash crazy crime cube cut dark date day days dead dear deep disaster do does dogs doing
    done doubt down downfall dream dreams drive dune each easy edge election end ending enemy enough epic even ever every
    everything evil face faith fall fame family far fast father fear fight fire first flight fly focus football for forever
    found fracture free freedom friday friend friends from frozen full fun funny game get ghost gift girl girls give glass go
    going gone good grand gravity great green guess half hall hand happening happy hard have haven he head heart heat heaven
    help her here hero hidden high him his hit hold holes holiday hollywood home homecoming hope horror hot hours house how
    hush i identity if in inside into is island it its joy judge jump just justice keep kids kill king kiss know knowing last
    late law leave left legend let liar life lift light like lion little live living lock long look looking lost love loved luck
    lucky mad man mask master me meet men milk mind mine miracle misery monster moon more most mother move movie movies much
    mud must my need never new next nice night no nothing notice now of off old on once one only open or other others our out
    over overboard own paid parents party passengers past pay people perfect pets pi pick play please popcorn post power
    precious prisoners private problem proposal pulse punch push queen race rain ray ready real rec red remember rent rest
    ride right rings road rock room rope run rush safe salt same saw say scary score scream sea second see serenity seven she
    shine short show sick sideways signs silence sing single sister sisters six sky sleep sleepers smile snatch so some
    something song soul species speed spirit splash split spotlight spring spy star stars stay step still stop strange street
    strong summer sunshine super superhero sure surprise tag take taken talk tell ten than that the them then there these they
    thing things think this those three thunder time to today together tomorrow tonight too touch tourist town toy traffic
    trap trapped true truth try turn twins two under unfaithful unknown until up us vacation very vice village visit vow walk
    wall want wanted war warrior was watch water wave way we wedding week weekend well were what when where which who whole
    why wild will win wings winter wish with within without witness woman women wonder word words work world would wow
    wrestler year years yes yesterday yet you young your""".split()
)


class GateResult(msgspec.Struct, frozen=True):
    """The text as everybody gets it, the leaked target ids, and the catalogue ids that the resulting text names."""

    text: str
    leaks: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class _Title(msgspec.Struct, frozen=True):
    """A title in a text: its place, where its year ends if one is said, whose title it is, and whether the year fits (two
    films of one title: the year decides; off by one is a slip)."""

    start: int
    end: int
    stop: int
    ids: tuple[str, ...]
    fits: bool


class LeakGate:
    """Built once per run from the catalogue; `check` is called once per simulator text."""

    __slots__ = ("_index", "_names", "_ordinary", "_years")

    def __init__(self, catalogue: Iterable[Item]) -> None:
        self._names: dict[str, tuple[str, ...]] = {}
        self._index = PhraseIndex()
        self._ordinary: set[str] = set()
        self._years: dict[str, int | None] = {}
        for item in catalogue:
            self._years[item.id] = item.year
            self._names[item.id] = (item.title, *item.aliases)
            for name in (item.title, *item.aliases):
                self._add(name, item.id)

    def _add(self, name: str, item_id: str) -> None:
        name = _CATALOGUED.sub(r"\2 \1", name)
        # "Spider-Man" and "Spiderman", "L.A." and "LA", "&" and "and"
        for spelling in {name, _INNER.sub("", name), name.replace("&", " and ")}:
            words = [t.norm for t in tokenise(spelling)]
            self._add_words(words, item_id)
            digits = [_NUMERALS.get(w, w) for w in words]
            if any(w.isdigit() for w in digits):  # "Rocky II", "Rocky 2", "Ten Things", "Part Two", "Vol. 2"
                short = [
                    w for w, after in zip(digits, (*digits[1:], ""), strict=True) if w not in _PARTS or not after.isdigit()
                ]
                for written in (digits, short):
                    self._add_words(written, item_id)
                    for table in _WRITTEN:
                        self._add_words([table.get(w, w) for w in written], item_id)

    def _add_words(self, words: list[str], item_id: str) -> None:
        if not words:
            return
        self._store(words, item_id)
        if len(words) > 1 and words[0] in _ARTICLES:
            # "the matrix" is also called "matrix"; "a man" is not called "man", but then the word is an ordinary one.
            self._store(words[1:], item_id)

    def _store(self, words: list[str], item_id: str) -> None:
        joined = "".join(words)
        if joined.isascii() and joined.isalnum():
            self._index.add_words(words, item_id)
        else:  # folding may have left something to cut: "⑴" is "(1)" now
            self._index.add(" ".join(words), item_id)
        self._note(words)

    def _note(self, words: list[str]) -> None:
        if all(w in _ORDINARY or w.isdigit() for w in words) or len("".join(words)) == 1:
            self._ordinary.add(" ".join(words))

    def check(self, text: str, *, hidden: Iterable[str], policy: LeakPolicy = "redact") -> GateResult:
        """`hidden` are the target ids that nobody has named in public yet."""
        hidden = set(hidden)
        leaks: dict[str, None] = {}
        named: dict[str, None] = {}
        pieces: list[str] = []
        position = 0
        for title in self._titles(text):
            secret = [i for i in title.ids if i in hidden]
            if not secret:
                named.update(dict.fromkeys(title.ids))
                continue
            leaks.update(dict.fromkeys(secret))
            if policy == "redact" and title.stop > position:
                if title.start >= position:
                    pieces += (text[position : title.start], WITHHELD)
                position = title.stop
        pieces.append(text[position:])
        text = self._undisguised("".join(pieces), hidden, policy, leaks)
        return GateResult(text, tuple(leaks), tuple(i for i in named if i not in leaks))

    def _undisguised(self, text: str, hidden: set[str], policy: LeakPolicy, leaks: dict[str, None]) -> str:
        """The text without hidden titles in disguise, which are leaks as well."""
        pieces: list[str] = []
        position = 0
        for hit in disguised(text, ((i, name) for i in hidden for name in self._names.get(i, ()))):
            leaks[hit.id] = None
            if policy == "redact" and hit.stop > position:
                if hit.start >= position:
                    pieces += (text[position : hit.start], WITHHELD)
                position = hit.stop
        return "".join((*pieces, text[position:]))

    def _titles(self, text: str) -> Iterator[_Title]:
        """What the text names as a title, by place. Of titles inside one another the longest counts, unless only a shorter
        one fits the year that is said; titles that merely overlap all count."""
        found, shouted = [], text.isupper()
        for match in self._index.every(tokenise(text)):
            behind = _ARTICLE_BEHIND.match(text, match.end)  # "Matrix, The"
            end = behind.end() if behind else match.end
            said = _YEAR.match(text, end)
            if self._is_title(text, match.start, match.end, dated=bool(said and said.group(1)), shouted=shouted):
                year = int(said.group(2)) if said else None
                fitting = tuple(i for i in match.payloads if year and abs((self._years[i] or 0) - year) <= 1)
                stop = said.end() if said else end
                found.append(_Title(match.start, match.end, stop, fitting or match.payloads, bool(fitting)))
        fitted = {title.end for title in found if title.fits}
        reach = 0
        for title in sorted(found, key=lambda title: (title.start, -title.end)):
            if title.end > reach and (title.fits or title.end not in fitted):
                reach = title.end
                yield title

    def _is_title(self, text: str, start: int, end: int, *, dated: bool, shouted: bool) -> bool:
        """Ordinary words are a title where they are written as one: with the year in brackets, in quotes, or capitalised."""
        surface = text[start:end]
        words = tokenise(surface)
        if " ".join(w.norm for w in words) not in self._ordinary or dated:
            return True
        if start > 0 and text[start - 1] in _QUOTES and end < len(text) and text[end] in _QUOTES:
            return True
        shown = [surface[w.start : w.end] for w in words]
        if len(shown) == 1:
            return shown[0][0].isupper() and shown[0] not in ("I", "A") and not shouted and _stands_alone(text, start, end)
        # As titles are: the first word, the last, and each of more than three letters.
        large = [s[0].isupper() or s[0].isdigit() for s in shown]
        return large[0] and large[-1] and all(big or len(s) <= 3 for big, s in zip(large, shown, strict=True)) and not shouted


def _stands_alone(text: str, start: int, end: int) -> bool:
    """A capitalised word inside a sentence which isn't a piece of a longer name ("Chris Rock")."""
    before = text[max(0, start - 40) : start]
    told = before.rstrip(" \t")
    if not told or told[-1] in ".!?:;…\n-–—([" or told[-1] in _QUOTES:
        return False
    neighbours = (_WORD_BEFORE.search(before), _WORD_AFTER.match(text, end))
    return not any(word and word.group(1)[0].isupper() and word.group(1) != "I" for word in neighbours)
