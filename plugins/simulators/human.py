"""`human`: a person in the terminal.

The recommender's text is data: control characters are taken out before it is printed, and only a line that the person types can
end the dialogue.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, TextIO

from harness.api import Catalogue, Conversation, Feedback, Item, Knowledge, KnowledgeLevel, SimulatorSetup

HELP: Final = (
    "Type what you think, or:\n"
    "  /accept [n]             take number n (the first when no number is given)\n"
    "  /reject n [n ...] [why] turn down these numbers; /reject all turns down the whole list\n"
    "  /quit                   end the dialogue (end of input does the same)\n"
    "  /help                   show this"
)
_PROMPT: Final = "you> "


class Human:
    """Prints the recommender's turn with the attributes of each item and reads an answer; asks again when it isn't understood.

    What is typed is the text that the recommender reads. Nothing is turned down unless /reject says so. `stdin` and `stdout`
    default to the process's own at the time of the call.
    """

    knowledge: KnowledgeLevel = "label_free"
    serial = True

    def __init__(self, options: None = None, *, stdin: TextIO | None = None, stdout: TextIO | None = None) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._catalogue = Catalogue(())

    def prepare(self, setup: SimulatorSetup) -> None:
        self._catalogue = setup.catalogue

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        last = conversation.messages[-1] if conversation.messages else None
        ranked = last.ranked if last is not None else ()
        self._print(f"recommender> {_clean(last.text) if last is not None else ''}".rstrip())
        for number, item_id in enumerate(ranked, 1):
            item = self._catalogue.get(item_id)
            self._print(f"{number:>3}. {describe(item) if item is not None else f'{_clean(item_id)} (not in the catalogue)'}")
        if conversation.turn == 1:
            self._print("(/help lists the commands)")
        while True:
            line = self._read()
            if line is None:
                self._print("")
                return _quit()
            answer = self._understand(line, ranked)
            if isinstance(answer, Feedback):
                return answer
            self._print(answer)

    def _understand(self, line: str, ranked: Sequence[str]) -> Feedback | str:
        """The feedback that a line stands for, or what to tell the person before asking again."""
        command, _, rest = line.partition(" ")
        words = rest.split()
        if not line:
            return "Please type an answer; /help lists the commands."
        if not line.startswith("/"):
            return Feedback(line, rejected=())
        match command.lower():
            case "/help":
                return HELP
            case "/quit":
                return "/quit takes no argument." if words else _quit()
            case "/accept":
                if len(words) > 1:
                    return "/accept takes one number."
                chosen = self._numbered(words or ["1"], ranked)
                if isinstance(chosen, str):
                    return chosen
                return Feedback(f"I'll take {self._title(chosen[0])}.", "accept", accepted=chosen, rejected=())
            case "/reject":
                return self._reject(words, ranked)
        return f"Unknown command {command}.\n{HELP}"

    def _reject(self, words: list[str], ranked: Sequence[str]) -> Feedback | str:
        count = next((n for n, word in enumerate(words) if not word.strip(",").isdecimal()), len(words))
        if words and words[0].lower() == "all":
            if not ranked:
                return "Nothing is listed that could be chosen."
            return Feedback(" ".join(words[1:]) or "None of these.", rejected=tuple(dict.fromkeys(ranked)))
        if count == 0:
            return "/reject takes the numbers of what you turn down, or all."
        chosen = self._numbered(words[:count], ranked)
        if isinstance(chosen, str):
            return chosen
        why = " ".join(words[count:])
        return Feedback(why or " ".join(f"Not {self._title(item_id)}." for item_id in chosen), rejected=chosen)

    def _numbered(self, words: Sequence[str], ranked: Sequence[str]) -> tuple[str, ...] | str:
        if not ranked:
            return "Nothing is listed that could be chosen."
        chosen: dict[str, None] = {}
        for word in words:
            digits = word.strip(",")
            if not digits.isdecimal() or len(digits) > 9 or not 1 <= int(digits) <= len(ranked):
                return f"{word} is no number of the list (1 to {len(ranked)})."
            chosen[ranked[int(digits) - 1]] = None
        return tuple(chosen)

    def _title(self, item_id: str) -> str:
        item = self._catalogue.get(item_id)
        return item.title if item is not None else item_id

    def _print(self, line: str) -> None:
        print(line, file=self._stdout or sys.stdout, flush=True)

    def _read(self) -> str | None:
        """A typed line without blanks around it; None at the end of input."""
        print(_PROMPT, end="", file=self._stdout or sys.stdout, flush=True)
        try:
            line = (self._stdin or sys.stdin).readline()
        except UnicodeDecodeError:
            return ""  # asked again
        # A terminal whose encoding is wrong yields lone surrogates, which no JSON record can hold.
        return line.encode("utf-8", "replace").decode("utf-8").strip() if line else None


def describe(item: Item) -> str:
    """ "Alien (1979)  genre: horror, science fiction; director: Ridley Scott", control characters taken out."""
    year = "" if item.year is None or item.title.endswith(f"({item.year})") else f" ({item.year})"
    facets = "; ".join(f"{facet}: {', '.join(values)}" for facet, values in item.attributes.items())
    return _clean(f"{item.title}{year}" + (f"  {facets}" if facets else ""))


def _clean(text: str) -> str:
    return "".join(c for c in text if c in "\n\t" or c.isprintable() or c == " ")


def _quit() -> Feedback:
    return Feedback("I'll stop here.", "quit", rejected=())
