"""The sentence that goes with a list: short, the same for the same list, and nothing in it but what is known."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api import Item

NAMED = 3
QUESTION = "Could you tell me a little more about what you like?"


def title_with_year(item: Item) -> str:
    """ "Alien (1979)"; the bare title where the year is unknown or stands in the title already."""
    if item.year is None or item.title.endswith(f"({item.year})"):
        return item.title
    return f"{item.title} ({item.year})"


def reply(items: Sequence[Item], because: str | None = None) -> str:
    """Name the first three items; `because` is a clause that speaks for the first of them ("you asked for horror")."""
    titles = [title_with_year(item) for item in items[:NAMED]]
    listed = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} or {titles[-1]}"
    return f"Since {because}, how about {listed}?" if because else f"How about {listed}?"
