"""Facets of items ("genre", "cast") and the words that people and data sets have for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from harness.api import Catalogue
from harness.text import tokenise

# Words of a question, and names of facets, that mean one family of facets.
_FAMILIES: Final = MappingProxyType(
    {
        word: family
        for family, words in (
            ("genre", "genre genres category categories"),
            ("director", "director directors directed directs directing filmmaker filmmakers"),
            ("star", "star stars starring actor actors actress actresses cast performer performers"),
            ("writer", "writer writers written writes screenwriter screenwriters"),
            ("author", "author authors"),
            ("country", "country countries nation"),
            ("language", "language languages"),
            ("decade", "decade decades era"),
            ("year", "year years"),
        )
        for word in words.split()
    }
)
# Words that ask for a family only where no plainer word does: "what kind of actor" asks for an actor.
_VAGUE: Final = MappingProxyType(
    {"kind": "genre", "kinds": "genre", "type": "genre", "types": "genre", "sort": "genre", "style": "genre"}
    | {"old": "year", "older": "year", "new": "year", "newer": "year", "recent": "year", "when": "year"}
)
TIME: Final = frozenset(("decade", "year"))


def family(facet: str) -> str:
    """ "actors" -> "star"; a facet without synonyms is its own family, in plain words ("plot_keyword" -> "plot keyword")."""
    plain = facet.replace("_", " ").strip().lower()
    return _FAMILIES.get(plain, plain)


def same_family(facet: str, asked: str) -> bool:
    """Whether a facet answers a question about a family: a decade also answers "which year?" and the other way round."""
    own = family(facet)
    return own == asked or (own in TIME and asked in TIME)


def families_of(catalogue: Catalogue) -> tuple[str, ...]:
    """The families of a catalogue's facets, in order of appearance."""
    facets = dict.fromkeys(facet for item in catalogue for facet in item.attributes)
    return tuple(dict.fromkeys(map(family, facets)))


def asked_families(text: str, families: Sequence[str]) -> tuple[str, ...]:
    """Families of facets that a text asks about, in order of mention; `families` are the catalogue's own, known by name."""
    words = [token.norm for token in tokenise(text)]
    plain = [_FAMILIES.get(word) or (word if word in families else None) for word in words]
    joined = f" {' '.join(words)} "
    plain += [name for name in families if " " in name and f" {name} " in joined]
    found = tuple(dict.fromkeys(name for name in plain if name))
    return found or tuple(dict.fromkeys(_VAGUE[word] for word in words if word in _VAGUE))


def noun_of(catalogue: Catalogue) -> str:
    """What one item is called: "film" where most items name film makers, "book" where they name authors, else "title"."""
    made = Counter(
        "book" if name == "author" else "film"
        for item in catalogue
        for name in {family(facet) for facet in item.attributes} & {"author", "director", "star"}
    )
    return made.most_common(1)[0][0] if made else "title"
