"""What goes over the pipe between the harness and an isolated recommender: msgpack in frames, never a pickle.

Harness -> process: `Open`, `Prepare`, then `Call`, `Heard` and `Close`. Process -> harness: `Opened`, `Prepared` or `Failed`,
then `Row`, `Fault`, `Asked` and `Closed`. A frame is its length (4 bytes, big-endian) and its content.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from harness.api import Component, Conversation, Item, TrainingDialogue, Usage
from harness.llm.api import ChatMessage, ChatRequest

MOST: Final = 4 << 20
"""Bytes that a frame from the process may have: one dialogue's answer, with its state."""

# ------------------------------------------------------------------------------------------------- from the harness


class Open(msgspec.Struct, frozen=True, tag=True):
    """Import a recommender and make it."""

    name: str
    options: dict[str, Any]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """What `prepare` may see, and how calls will be made. Scenarios never come this way."""

    catalogue: tuple[Item, ...]
    training: tuple[TrainingDialogue, ...]
    k: int
    seed: int
    max_text: int
    timeout: float
    concurrency: int
    llms: dict[str, tuple[str, dict[str, Any]]] = {}
    """Name and revision of the language models that may be asked through the harness, by the recommender's names for them;
    its main one's is empty."""


class Call(msgspec.Struct, frozen=True, tag=True):
    """Conversations of one moment: several for a recommender that computes in batches, else one."""

    id: int
    conversations: tuple[Conversation, ...]
    k: int


class Heard(msgspec.Struct, frozen=True, tag=True):
    """What a language model answered: a text, log-probabilities, or an error."""

    id: int
    text: str = ""
    finish: str = "stop"
    scores: list[float] | None = None
    usage: Usage = Usage()
    spent: Usage = Usage()
    """What is metered: what asking has cost through all layers."""
    error: Literal["", "transport", "refused"] = ""
    message: str = ""
    retry_after: float | None = None
    final: bool = False


class Close(msgspec.Struct, frozen=True, tag=True):
    """The dialogues are over, for now."""


# --------------------------------------------------------------------------------------------------- from the process


class Opened(msgspec.Struct, frozen=True, tag=True):
    """How the recommender is written, and what identifies it."""

    component: Component
    revision: dict[str, Any]
    """Of `Part.revision`: name, options with all defaults, and its own revision if it has one."""
    batched: bool
    serial: bool
    max_batch: int | None = None
    llm: str | None = None
    """The model that it brings along."""
    more_llms: dict[str, str] = {}
    """Its further ones."""
    documented: bool = True
    """Its class has a docstring."""


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """`prepare` has run."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Opening or preparing went wrong, in words for the user."""

    kind: Literal["UsageError", "PluginError", "DataError", "LlmError"]
    text: str
    unknown: bool = False
    """There is no recommender of that name."""


class Row(msgspec.Struct, frozen=True, tag=True):
    """The answer for one conversation of a call."""

    id: int
    row: int
    items: tuple[str, ...]
    text: str
    reasoning: str | None = None
    usage: Usage | None = None
    candidates: tuple[str, ...] | None = None
    state: Any = None


class Fault(msgspec.Struct, frozen=True, tag=True):
    """A call, or one row of it, has no usable answer."""

    id: int
    row: int | None
    kind: Literal["exception", "timeout", "malformed", "empty", "out_of_catalogue", "transport", "refused"]
    message: str
    usage: Usage | None = None
    retry_after: float | None = None
    final: bool = False


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A question to the language model on behalf of a call: a chat, or scores of continuations."""

    id: int
    call: int
    model: str = ""
    """As in `Prepare.llms`."""
    request: ChatRequest | None = None
    messages: tuple[ChatMessage, ...] = ()
    continuations: tuple[str, ...] = ()


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The recommender's own `close` has run."""


Order = Open | Prepare | Call | Heard | Close
Answer = Opened | Prepared | Failed | Row | Fault | Asked | Closed

encode = msgspec.msgpack.Encoder().encode


def frame(message: Order | Answer) -> bytes:
    """A message as it goes over the pipe. Raises TypeError, OverflowError or ValueError for content that it can't hold."""
    content = encode(message)
    return len(content).to_bytes(4, "big") + content
