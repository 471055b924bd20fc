"""How foreign text stands in a prompt: as one quoted line that can neither end its block nor pass for anything else.

Recommender texts, human context and catalogue data are all data. A text may hold the words of an order all the same; what it
cannot do is close its quotation, open a new turn, use a chat template's control tokens, or hide characters.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from harness.api import Attributes, Conversation, Item, Message

MAX_TEXT: Final = 2_000
"""Characters of one message that a prompt shows; the middle of a longer one is left out."""
MAX_HISTORY: Final = 12_000
"""Characters of all messages together; the oldest of a longer dialogue are left out."""
_TAIL: Final = 500
_CUT: Final = " [...] "
# "<|im_end|>", "</s>", "<start_of_turn>" and tags like those of the prompt itself all need an angle bracket.
_ANGLES: Final = str.maketrans({"<": "‹", ">": "›", "＜": "‹", "＞": "›"})
_BRACKET_TOKEN: Final = re.compile(r"\[(/?[A-Z][A-Z_]+)\]")
_VARIANTS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
_HIDDEN: Final = ("Cf", "Cs", "Co", "Cn")


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """One line of printable characters without angle brackets and template tokens, cut in the middle where it is too long."""
    if len(text) > 8 * limit:
        text = text[: 4 * limit] + text[-4 * limit :]
    if not text.isascii():
        text = "".join(c for c in _VARIANTS.sub("", text) if unicodedata.category(c) not in _HIDDEN)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = _BRACKET_TOKEN.sub(r"(\1)", line.translate(_ANGLES))
    if len(line) <= limit:
        return line
    tail = min(_TAIL, limit // 4)
    return f"{line[: limit - tail - len(_CUT)]}{_CUT}{line[-tail:]}"


def quoted(text: str, limit: int = MAX_TEXT) -> str:
    """The same in double quotes, those of the text itself escaped."""
    return json.dumps(plain(text, limit), ensure_ascii=False)


def title(item: Item) -> str:
    """ "Alien (1979)", on one line."""
    year = "" if item.year is None or item.title.endswith(f"({item.year})") else f" ({item.year})"
    return plain(f"{item.title}{year}", 300)


def facts(attributes: Attributes, limit: int = 12) -> str:
    """ "genre: horror, comedy; director: Ana Sol": at most `limit` values per facet."""
    return "; ".join(
        f"{plain(facet, 60)}: {', '.join(plain(value, 120) for value in values[:limit])}"
        for facet, values in attributes.items()
        if values
    )


def described(item: Item) -> str:
    """Title, year and attributes of an item."""
    known = facts(item.attributes)
    return f"{title(item)} -- {known}" if known else title(item)


def numbered(items: Iterable[Item]) -> str:
    """A numbered list, one described item per line; "(nothing)" for none."""
    return "\n".join(f"{number}. {described(item)}" for number, item in enumerate(items, 1)) or "(nothing)"


def listed(lines: Iterable[str], none: str = "(nothing known)") -> str:
    """Lines with a dash before each."""
    return "\n".join(f"- {line}" for line in lines) or none


def transcript(conversation: Conversation, names: tuple[str, str] = ("seeker", "recommender")) -> str:
    """All messages as `recommender: "..."` lines, oldest first; the oldest of a very long dialogue are left out, and say so."""
    lines = [f"{names[message.role == 'recommender']}: {quoted(message.text)}" for message in conversation.messages]
    kept = fitting(lines)
    left_out = len(lines) - len(kept)
    return "\n".join([f"({left_out} earlier messages left out)"] * bool(left_out) + kept)


def fitting(lines: Sequence[str], limit: int = MAX_HISTORY) -> list[str]:
    """The last lines that fit into so many characters, and the very last one in any case."""
    kept: list[str] = []
    room = limit
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0 and kept:
            break
        kept.append(line)
    return kept[::-1]


def context_of(conversation: Conversation) -> tuple[Message, ...]:
    """The messages before the first turn of this dialogue: each turn so far added two, the present one has added one."""
    return conversation.messages[: max(0, len(conversation.messages) - 2 * conversation.turn + 1)]
