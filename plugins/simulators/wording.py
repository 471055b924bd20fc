"""How an attribute is put into words ("films directed by Jane Campion") and which facets a question asks about.

Values are printed as the catalogue spells them (genres in lower case) with a word between any two of them, so that an exact
phrase search finds each value again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from harness.api import Catalogue
from harness.text import normalise, tokenise

from ..facets import TIME, family

_WORD: Final = re.compile(r"[^\W_]")
_KIND_NOUNS: Final = frozenset(("film", "films", "movie", "movies", "book", "books", "novel", "novels"))
_GENRE_NOUNS: Final = frozenset(
    "action adventure animation biography comedy crime documentary drama fantasy fiction history horror literature musical "
    "mystery noir opera poetry romance story thriller war western".split()
)
_WITH_ARTICLE: Final = frozenset(
    (
        "bahamas",
        "czech republic",
        "dominican republic",
        "gambia",
        "netherlands",
        "philippines",
        "soviet union",
        "uk",
        "united arab emirates",
        "united kingdom",
        "united states",
        "united states of america",
        "us",
        "usa",
        "ussr",
    )
)


def twin_titles(catalogue: Catalogue) -> dict[str, str]:
    """How items are named whose title stands for another item too: with the year, where it is known ("Dune (1984)")."""
    count = Counter(normalise(item.title) for item in catalogue)
    return {
        item.id: f"{item.title} ({item.year})"
        for item in catalogue
        if item.year is not None and count[normalise(item.title)] > 1 and str(item.year) not in item.title
    }


def sayable(value: str) -> bool:
    """Whether a value has a word in it that can be said and found again."""
    return _WORD.search(value) is not None


def phrase(facet: str, values: Sequence[str], noun: str = "film") -> str:
    """A plural noun phrase for items that have these values: "horror films", "films from the 1990s", "films in French"."""
    kind = family(facet)
    if kind == "genre":
        return _of_genre([_lower(value) for value in values], noun)
    if kind == "country":
        return f"{noun}s from {_joined(['the ' + v if v.lower() in _WITH_ARTICLE else v for v in values])}"
    if kind in TIME:
        return f"{noun}s from {_joined([v if v.isdigit() or v.lower().startswith('the ') else f'the {v}' for v in values])}"
    named = _joined(values)
    match kind:
        case "director":
            return f"{noun}s directed by {named}"
        case "star":
            return f"{noun}s starring {named}"
        case "writer":
            return f"{noun}s written by {named}"
        case "author":
            return f"{noun}s by {named}"
        case "language":
            return f"{noun}s in {named}"
    if kind.endswith("s") and not kind.endswith(("ss", "us", "is")):
        return f"{noun}s whose {kind} include {named}"
    return f"{noun}s whose {kind} is {' or '.join(values)}"


def _of_genre(values: Sequence[str], noun: str) -> str:
    # "Action Film" is a noun already, and its plural would no longer be the catalogue's value.
    if any(tokenise(value)[-1].norm in _KIND_NOUNS for value in values):
        return f"{noun}s of the genre {_joined(values)}"
    return f"{_joined(values)} {noun}s"


def _lower(value: str) -> str:
    """Genres are common nouns and are said in lower case. Abbreviations (IMAX) stay, and so do names of several words, which
    some graphs list among the genres ("United Kingdom")."""
    words = value.split()
    if len(words) > 1 and words[-1].lower() not in _GENRE_NOUNS | _KIND_NOUNS:
        return value
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)


def _joined(values: Sequence[str]) -> str:
    # "and" throughout: a comma separates for the eye only, and "comedy, drama" would read as the genre "comedy drama".
    return " and ".join(values)
