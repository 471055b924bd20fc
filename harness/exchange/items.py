"""Items of other tools -> ids of a catalogue; without a catalogue they stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from harness.api import Catalogue, Item, TrainingDialogue
from harness.checks import MAX_ID
from harness.grounding import Grounder
from harness.leakgate import LeakGate

_NUMBER: Final = r"(?:(?<=\s)|^){}\s?[:.)]\s+"


class Linker:
    """Titles and ids of a foreign dialogue in a catalogue. `catalogue` None: every reference is its own id."""

    def __init__(self, catalogue: Catalogue | None, training: Sequence[TrainingDialogue] = ()) -> None:
        self.catalogue = catalogue
        self._grounder = None if catalogue is None else Grounder(catalogue, training)
        self._gate = None if catalogue is None else LeakGate(catalogue)
        self._found: dict[str, str] = {}
        self._spelled = _spelled(catalogue or ())

    def link(self, reference: str) -> str:
        """The id of an id or title. What no item clearly fits is "ooc:" and the title: it counts as out of catalogue."""
        return self.either(reference, title_first=False)

    def title(self, title: str) -> str:
        """The id of a title, even where that reads as the id of another item ("300", "1917")."""
        if self._grounder is None:
            return " ".join(title.split())[:MAX_ID]
        if title not in self._found:
            self._found[title] = self._grounder.ground(title)
        return self._found[title]

    def name(self, name: str) -> str:
        """The id of an item by the name that a data set gives it: the very spelling first ("Rocky" and "Rocky (1976)" may be
        two entries), then as a title."""
        return self._spelled.get(name) or self.title(name)

    def either(self, reference: str, *, title_first: bool) -> str:
        """The id of what is a title or an id; `title_first` decides where it could be both."""
        if self.catalogue is None or self.catalogue.get(reference) is None:
            return self.title(reference)
        found = self.title(reference) if title_first else reference
        return found if self.known(found) else reference

    def known(self, item: str) -> bool:
        """Whether an id is in the catalogue; without one nobody knows, and everything counts as known."""
        return self.catalogue is None or self.catalogue.get(item) is not None

    def listed(self, text: str) -> tuple[str, ...]:
        """The items that a recommender's text recommends: its numbered list, else the catalogue's titles that it names, in
        order. Empty without a catalogue."""
        if self._gate is None or self._grounder is None:
            return ()
        pieces = numbered(text)
        if not pieces:
            return self.named(text)
        found = []
        for piece in pieces:
            linked = self.link(piece)
            inner = () if self.known(linked) else self.named(piece)
            found.append(inner[0] if inner else linked)
        return tuple(found)

    def named(self, text: str) -> tuple[str, ...]:
        """The items whose titles a text names, in order. Empty without a catalogue."""
        return () if self._gate is None else self._gate.check(text, hidden=(), policy="keep").items

    def leaks(self, text: str, hidden: Iterable[str], titles: dict[str, str]) -> tuple[str, ...]:
        """Those of the `hidden` targets that a seeker's text names. `titles` has theirs, for what no catalogue knows."""
        hidden = tuple(hidden)
        if not hidden or not text:
            return ()
        gate = self._gate
        if gate is None:
            gate = LeakGate(Item(target, *_dated(titles.get(target, target))) for target in hidden)
        return gate.check(text, hidden=hidden, policy="keep").leaks


def _spelled(catalogue: Iterable[Item]) -> dict[str, str]:
    """Names that one item alone has, letter by letter: its title with the year, else its bare title."""
    found: dict[str, str] = {}
    bare: dict[str, str] = {}
    for item in catalogue:
        dated = item.title if item.year is None or str(item.year) in item.title else f"{item.title} ({item.year})"
        found[dated] = item.id if dated not in found else ""
        if item.title != dated:
            bare[item.title] = item.id if item.title not in bare else ""
    return {name: item_id for name, item_id in (bare | found).items() if item_id}


def _dated(title: str) -> tuple[str, int | None]:
    from harness.titles import split_year

    return split_year(title)


def numbered(text: str) -> list[str]:
    """The entries of a list "1: Alien (1979) 2: Heat (1995)", on lines of their own or not; empty unless there are two."""
    found: list[str] = []
    start = re.search(_NUMBER.format(1), text, re.MULTILINE)
    while start is not None:
        behind = re.compile(_NUMBER.format(len(found) + 2), re.MULTILINE).search(text, start.end())
        entry = text[start.end() : behind.start() if behind else len(text)]
        found.append(entry.strip().split("\n")[0].strip())
        start = behind
    return [entry for entry in found if entry] if len(found) > 1 else []
