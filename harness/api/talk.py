"""What is talked about: items, messages, scenarios, splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

API_VERSION = 1
PROTOCOL_VERSION = "1"

Role = Literal["seeker", "recommender"]
KnowledgeLevel = Literal["label_free", "profile", "target_aware"]
Action = Literal["continue", "accept", "quit"]
Attributes = dict[str, tuple[str, ...]]
StopReason = Literal["accepted", "quit", "max_turns", "recommender_fault", "simulator_fault", "transport", "leak", "cancelled"]


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recommendable item. `attributes` maps a facet ("genre") to its values; missing facets are absent, never empty."""

    id: str
    title: str
    year: int | None = None
    attributes: Attributes = {}
    aliases: tuple[str, ...] = ()
    text: str = ""
    """Free description (a plot, say); may be empty."""


class Catalogue(Sequence[Item]):
    """All items in a fixed order: `catalogue[3]`, `catalogue.get(id)`, `catalogue.index(id)`, `id in catalogue`."""

    __slots__ = ("_items", "_position")

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = tuple(items)
        self._position = {item.id: n for n, item in enumerate(self._items)}
        if len(self._position) != len(self._items):
            seen: set[str] = set()
            twice = next(i.id for i in self._items if i.id in seen or seen.add(i.id))  # type: ignore[func-returns-value]
            raise ValueError(f"item id {twice!r} stands twice in the catalogue")

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._position

    def get(self, item_id: str) -> Item | None:
        """The item of that id, or None."""
        position = self._position.get(item_id)
        return None if position is None else self._items[position]

    def position(self, item_id: str) -> int:
        """Row number of an item, 0-based. Raises KeyError for an unknown id."""
        return self._position[item_id]

    @property
    def ids(self) -> tuple[str, ...]:
        """Item ids in catalogue order."""
        return tuple(self._position)


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One public utterance.

    `items` are catalogue ids that the text mentions (entity links, public). `ranked` is the ranked list that a recommender's
    turn showed, best first. `rejected` are shown items that a seeker's answer turned down.
    """

    role: Role
    text: str
    items: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class Conversation(msgspec.Struct, frozen=True):
    """What a recommender or simulator sees of a dialogue: public messages, oldest first, and nothing else.

    `turn` counts the harness's own turns from 1; `seed` is this role's seed for this dialogue; `state` is whatever this role
    returned with its previous turn (None at first).
    """

    messages: tuple[Message, ...]
    turn: int = 1
    seed: int = 0
    state: Any = None

    @property
    def rejected(self) -> tuple[str, ...]:
        """Ids that the seeker has turned down so far, in order, without repeats."""
        return tuple(dict.fromkeys(i for m in self.messages for i in m.rejected))

    @property
    def mentioned(self) -> tuple[str, ...]:
        """Ids mentioned in the text of either side so far (ranked lists do not count), in order, without repeats."""
        return tuple(dict.fromkeys(i for m in self.messages for i in m.items))


class Need(msgspec.Struct, frozen=True, omit_defaults=True):
    """The hidden side of a scenario. `targets` are what the human recommender recommended next; the rest is what the data set
    knows of the seeker's taste. Attribute maps go from facet to values."""

    targets: tuple[str, ...]
    liked_items: tuple[str, ...] = ()
    disliked_items: tuple[str, ...] = ()
    seen_items: tuple[str, ...] = ()
    liked_attributes: Attributes = {}
    disliked_attributes: Attributes = {}


class Scenario(msgspec.Struct, frozen=True, omit_defaults=True):
    """One test case: a public context and a hidden need.

    `source` is the id of the human dialogue that it was cut from (the cluster of the bootstrap). `private` holds what only the
    data set itself may read (a generator's hidden annotation, say).
    """

    id: str
    source: str
    context: tuple[Message, ...]
    need: Need
    private: dict[str, Any] = {}


class TrainingDialogue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole dialogue of the training split, with the seeker's labels where the data set has them (item ids)."""

    id: str
    messages: tuple[Message, ...]
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


class Split(msgspec.Struct, frozen=True):
    """What `Dataset.load(split)` gives: the scenarios of that split, the *training* dialogues, and the catalogue.

    Scenarios are the data set's raw rows (variant "all"): the core derives `novel` from them. `notes` are facts that a reader
    of a score must know (rows dropped and why, which labels were used).
    """

    name: str
    scenarios: Sequence[Scenario]
    training: Sequence[TrainingDialogue]
    catalogue: Catalogue
    notes: tuple[str, ...] = ()


class AnnotatedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """An utterance of a dialogue that people have judged. `scores` are human scores of a recommender's utterance, by aspect."""

    role: Role
    text: str
    scores: dict[str, float] = {}


class AnnotatedDialogue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded dialogue with human scores, to hold metrics against (`harness metaeval`).

    `system` names the recommender that talked. `scores` are human scores of the whole dialogue, by aspect. What nobody scored
    is absent; several annotators are averaged. `source` is the dialogue that this is an excerpt of (the cluster of the
    bootstrap); empty where it is a dialogue of its own.
    """

    id: str
    system: str
    messages: tuple[AnnotatedMessage, ...]
    scores: dict[str, float] = {}
    source: str = ""


class HumanLabels(msgspec.Struct, frozen=True):
    """What `Dataset.annotated()` gives. An aspect is scored per message or per dialogue, never both under one name.

    `agreement` is Krippendorff's alpha of the annotators (interval data), by aspect, where their single scores are at hand.
    `notes` are facts that a reader of a correlation must know.
    """

    dialogues: Sequence[AnnotatedDialogue]
    agreement: dict[str, float] = {}
    notes: tuple[str, ...] = ()


class Ceiling(msgspec.Struct, frozen=True):
    """A reference score that a data set can compute because it knows how it was made (printed beside its tables)."""

    name: str
    values: dict[str, float]
    """Metric name ("ndcg@10") to value."""
    note: str = ""
