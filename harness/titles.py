"""How titles of works are written: year in parentheses, article behind a comma, spellings that mean the same."""

from __future__ import annotations

import re

from harness.text import normalise

_YEAR = re.compile(r"\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\)\s*$")
_ARTICLE_LAST = re.compile(
    r"^(?P<rest>.+), (?P<article>The|An?|Le|La|Les|L'|El|Los|Las|Il|Lo|I|Gli|Un|Une|Una|Der|Die|Das|Ein|Eine|Den|Det|De|O|Os)$"
)


def natural_order(title: str) -> str:
    """ "Matrix, The" -> "The Matrix"; other titles come back unchanged."""
    match = _ARTICLE_LAST.match(title)
    if match is None:
        return title
    article = match["article"]
    return f"{article}{'' if article.endswith(chr(39)) else ' '}{match['rest']}"


def split_year(text: str) -> tuple[str, int | None]:
    """("Heat", 1995) for "Heat (1995)" or "Heat(1995)"; of a range "(2006–2007)" the first year. Single spaces throughout."""
    text = " ".join(text.split())
    match = _YEAR.search(text)
    if match is None or not text[: match.start()]:
        return text, None
    return text[: match.start()].rstrip(), int(match[1])


def title_key(title: str) -> str:
    """Equal for two spellings of a title that differ in case, accents, punctuation, or "&" for "and"."""
    return normalise(title.replace("&", " and "))
