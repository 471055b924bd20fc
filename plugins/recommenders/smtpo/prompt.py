"""What the reasoning model is asked: the compact form for small models; the worded form, a prompt file, for large ones.

Which form, how many candidates and in what order belongs to a model as much as its weights do: it lies beside them as
prompting.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from harness.api import Conversation, Item, Statement
from harness.errors import DataError
from harness.llm.api import ChatMessage

from ... import prompting, quoting
from ...smtpo.cards import GROUPS, compact_dialogue, compact_item
from .chain import identifier

FILE: Final = "prompting.json"
Form = Literal["compact", "worded"]
Order = Literal["retriever", "shuffled"]
_VALUES: Final = 3


class Prompting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model was trained to be asked. All [inferred]: the paper's prompts are not public."""

    form: Annotated[Form, msgspec.Meta(description="compact: attribute values alone; worded: instructions and titles")] = (
        "compact"
    )
    candidates: Annotated[int, msgspec.Meta(ge=1, le=99, description="candidates that the model is shown")] = 20
    answer: Annotated[int, msgspec.Meta(ge=1, le=99, description="candidates that it answers with")] = 10
    order: Annotated[
        Order,
        msgspec.Meta(
            description="retriever: best first, so that a place tells what the retriever thinks; shuffled: by the seed"
        ),
    ] = "retriever"
    earlier: Annotated[bool, msgspec.Meta(description="compact: show what was said of earlier wishes")] = False
    last_words: Annotated[int, msgspec.Meta(ge=0, description="compact: words of the seeker's last message that are shown")] = (
        16
    )

    def save(self, folder: Path) -> None:
        """Beside the weights."""
        (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    @classmethod
    def load(cls, folder: Path) -> Prompting:
        """Raises DataError (file, field)."""
        path = folder / FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"{path} can't be read: {error}; train the artefact again") from None


class Prompter:
    """Renders prompts of either form. Pure."""

    def __init__(self, how: Prompting, noun: str, prompt: str = "") -> None:
        """`prompt` is the path of another file for the worded form. Raises UsageError for an unusable one."""
        self.how, self._noun = how, noun
        self.worded = prompting.load(__package__, "smtpo.v1", prompt)
        self.worded.check(
            {"system": ("k",), "user": ("dialogue", "candidates")}, ("noun", "k", "dialogue", "stated", "candidates")
        )

    def messages(
        self,
        conversation: Conversation,
        groups: Mapping[str, Sequence[Statement]],
        candidates: Sequence[Item],
        k: int,
    ) -> tuple[ChatMessage, ...]:
        """What is asked about candidates in the order shown, `k` of which are to be answered."""
        if self.how.form == "compact":
            return (ChatMessage("user", self.compact(conversation, groups, candidates)),)
        values = {
            "noun": self._noun,
            "k": str(min(k, len(candidates))),
            "dialogue": quoting.transcript(conversation, ("seeker", "you")),
            "stated": quoting.listed(_lines(groups)),
            "candidates": "\n".join(f"{identifier(n)} {_described(item)}" for n, item in enumerate(candidates, 1)),
        }
        return ChatMessage("system", self.worded.text("system", **values)), ChatMessage(
            "user", self.worded.text("user", **values)
        )

    def compact(self, conversation: Conversation, groups: Mapping[str, Sequence[Statement]], candidates: Sequence[Item]) -> str:
        """What was said, then one line per candidate: what is looked up must have been read before (docs/smtpo.md)."""
        said = compact_dialogue(conversation, groups, earlier=self.how.earlier, last_words=self.how.last_words)
        cards = [f"{identifier(number)} {compact_item(item)}" for number, item in enumerate(candidates, 1)]
        return "\n".join([said, *cards] if said else cards)


def _lines(groups: Mapping[str, Sequence[Statement]]) -> list[str]:
    said = {name: ", ".join(quoting.plain(f"{s.facet}: {s.value}", 120) for s in groups[name]) for name in GROUPS}
    return [f"{name}: {values}" for name, values in said.items() if values]


def _described(item: Item) -> str:
    facets = (quoting.facts({facet: values}, _VALUES) for facet, values in item.attributes.items() if values)
    return " | ".join((quoting.title(item), *facets))
