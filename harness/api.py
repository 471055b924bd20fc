"""Domain types and the five component protocols: everything that a plugin and the core say to each other.

Only the standard library and msgspec are imported here, and nothing does I/O. All types are immutable; ids are strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

API_VERSION = 1
PROTOCOL_VERSION = "1"

Role = Literal["seeker", "recommender"]
KnowledgeLevel = Literal["label_free", "profile", "target_aware"]
Action = Literal["continue", "accept", "quit"]
Attributes = dict[str, tuple[str, ...]]
StopReason = Literal["accepted", "quit", "max_turns", "recommender_fault", "simulator_fault", "transport", "leak", "cancelled"]


# --------------------------------------------------------------------------------------------------- what is talked about


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


# ------------------------------------------------------------------------------------------------- what components return


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call cost: LLM calls, tokens, money in US dollars where a price is known, cache hits."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    cache_hits: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.cache_hits + other.cache_hits,
        )


class Recommendation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recommender's turn: reply text and ranked catalogue ids, best first (at most the k that was asked for).

    `items=()` with a text is an honest turn without a recommendation (a question): it scores as a miss, it is no fault.
    `scores`, if given, has one finite number per item. `state` comes back with the next turn; it must be JSON-serialisable.
    """

    items: tuple[str, ...] = ()
    text: str = ""
    reasoning: str | None = None
    scores: tuple[float, ...] | None = None
    state: Any = None
    usage: Usage | None = None


class Statement(msgspec.Struct, frozen=True):
    """A stated attribute preference: facet ("genre"), value ("horror"), polarity +1 wanted, -1 unwanted."""

    facet: str
    value: str
    polarity: Literal[1, -1] = 1


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True):
    """A simulator's turn. The action is explicit: nothing inside the text can end a dialogue.

    `accepted` are the shown items that an "accept" refers to. `rejected=None` means: all items shown this turn, unless
    accepted; an empty tuple says that the seeker did not turn anything down. `statements` is what the text says, where the
    simulator knows it (simulator-quality metrics use it; recommenders never see it).
    """

    text: str
    action: Action = "continue"
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] | None = None
    statements: tuple[Statement, ...] | None = None
    state: Any = None
    usage: Usage | None = None


class Unscored(msgspec.Struct, frozen=True, tag="unscored"):
    """No value, and why. Never NaN, None or 0."""

    reason: str


class Knowledge(msgspec.Struct, frozen=True):
    """What a simulator may see of the need, cut to its declared level by the runner.

    label_free: everything empty. profile: labels and attributes, with the targets removed from every item list.
    target_aware: all of it.
    """

    level: KnowledgeLevel = "label_free"
    liked_items: tuple[str, ...] = ()
    disliked_items: tuple[str, ...] = ()
    seen_items: tuple[str, ...] = ()
    liked_attributes: Attributes = {}
    disliked_attributes: Attributes = {}
    targets: tuple[str, ...] = ()


# -------------------------------------------------------------------------------------------------------- what is recorded


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that failed: who is to blame, how, and how often it had been tried before (0 = first try)."""

    blame: Literal["recommender", "simulator", "transport"]
    kind: str
    """exception | timeout | malformed | empty | out_of_catalogue | transport"""
    message: str
    attempt: int = 0
    turn: int = 0
    role: Literal["recommender", "simulator"] = "recommender"
    usage: Usage | None = None
    """What the failed call cost all the same."""


class TurnRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One played turn. `items` is the ranked list as given (at most K; unknown and repeated ids keep their place and count as
    misses). `user_text` is the gated text: exactly what the recommender read."""

    text: str = ""
    items: tuple[str, ...] = ()
    unknown: int = 0
    repeated: int = 0
    dropped: int = 0
    """Ids beyond K that were cut off."""
    reasoning: str | None = None
    user_text: str | None = None
    action: Action | None = None
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    statements: tuple[Statement, ...] | None = None
    user_items: tuple[str, ...] = ()
    """Catalogue ids that the gated user text names."""
    leaks: tuple[str, ...] = ()
    """Target ids that the simulator's raw text named before they were recommended."""
    injection: bool = False
    """The recommender's text contains an attempt to instruct the simulator."""
    user_injection: bool = False
    """The simulator's text contains an attempt to instruct the recommender or the evaluation."""
    recommender_usage: Usage | None = None
    simulator_usage: Usage | None = None


class DialogueRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of dialogues.jsonl: everything that scoring needs, so that no score needs the dialogue to be played again."""

    scenario: str
    source: str
    trial: int
    stop: StopReason
    targets: tuple[str, ...]
    turns: tuple[TurnRecord, ...]
    faults: tuple[AttemptRecord, ...] = ()
    seconds: dict[str, float] = {}
    """Wall seconds by role; the only part that may differ between two equal runs."""

    @property
    def complete(self) -> bool:
        """False for dialogues that a resume plays again."""
        return self.stop not in ("transport", "cancelled")


# ------------------------------------------------------------------------------------------------------------- set-up


class RecommenderSetup(msgspec.Struct, frozen=True):
    """Handed to `prepare` once per run. `cache_dir` may be used for derived files; it is private to the component.

    `llm` is the `harness.llm.ChatModel` that the user chose for this role, if any; components that chat are async.
    """

    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    k: int
    seed: int
    cache_dir: Path | None = None
    llm: Any = None


class SimulatorSetup(msgspec.Struct, frozen=True):
    """Handed to a simulator's `prepare` once per run."""

    catalogue: Catalogue
    training: Sequence[TrainingDialogue]
    max_turns: int
    seed: int
    cache_dir: Path | None = None
    llm: Any = None


class MetricSetup(msgspec.Struct, frozen=True):
    """Handed to a metric's `prepare` once per scoring. `popularity` counts mentions per item in the training dialogues."""

    catalogue: Catalogue
    popularity: Mapping[str, int]
    k: int
    max_turns: int
    success_k: int | None = None
    """A target among the first `success_k` items is a success; None: anywhere in the list."""
    llm: Any = None
    """The `harness.llm.ChatModel` of the judges, if the user chose one."""


class TrainerSetup(msgspec.Struct, frozen=True):
    """Handed to a trainer: the split to learn from, the split to choose on, and the seed."""

    train: Split
    validation: Split
    seed: int
    preset: str = "tiny"


# ----------------------------------------------------------------------------------------------------- views for metrics


class TurnView(msgspec.Struct, frozen=True):
    """One turn of one recorded dialogue, as a turn-level metric sees it.

    `ranks` has one entry per target: its 1-based place in the list, 0 when absent. A turn that was not played because the
    dialogue had ended before carries the last list (after accept or quit) or no list (after a recommender fault).
    """

    dialogue: DialogueRecord
    scenario: Scenario | None
    turn: int
    """1-based."""
    items: tuple[str, ...]
    ranks: tuple[int, ...]
    played: bool
    record: TurnRecord | None


class DialogueView(msgspec.Struct, frozen=True):
    """One recorded dialogue with its turn views (always `max_turns` of them). `scenario` is None when only the records are
    at hand: a metric that needs it returns `Unscored`."""

    dialogue: DialogueRecord
    scenario: Scenario | None
    turns: tuple[TurnView, ...]


class RunView(msgspec.Struct, frozen=True):
    """All valid dialogues of a run; iterate it once, it streams."""

    dialogues: Iterable[DialogueView]


# ----------------------------------------------------------------------------------------------------------- components


class Component(msgspec.Struct, frozen=True):
    """What a hook yields: a name and where to find the class, so that listing plugins imports nothing heavy.

    `target` is "package.module:Class"; the class is called with one argument, its options. `options` is the "module:Class"
    of a msgspec Struct with a default for each field, or None when there are none.
    """

    name: str
    target: str
    summary: str = ""
    options: str | None = None
    api: int = API_VERSION
    knowledge: KnowledgeLevel | None = None
    """Simulators repeat their level here so that it can be listed without importing them."""
    trained_on: tuple[str, ...] = ()
    """Data sets whose training data shaped this component's shipped weights."""


class DatasetCard(msgspec.Struct, frozen=True):
    """Where a data set comes from and under which terms."""

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    how_to_get: str
    files: tuple[RemoteFile, ...] = ()
    """What `harness data get` may download; empty where the licence or the host doesn't permit it."""


class RemoteFile(msgspec.Struct, frozen=True):
    """A file at its official address."""

    name: str
    url: str
    sha256: str | None = None
    bytes: int | None = None


@runtime_checkable
class Dataset(Protocol):
    """Loads real or made dialogues. Constructed with its options; `path` of the options, else $HARNESS_DATA/<folder>.

    May also offer `ceilings(split: Split) -> list[Ceiling]` (printed beside its tables), and `annotated() -> HumanLabels`:
    dialogues with human scores, which `harness metaeval` holds metrics against.
    """

    card: DatasetCard

    def load(self, split: str) -> Split:
        """`split` is "train", "validation" or "test". Raises DataError (file, line, field, fix)."""
        ...


@runtime_checkable
class Recommender(Protocol):
    """`recommend` may be plain, async, or given as `recommend_batch(conversations, k) -> list[Recommendation]` instead.

    A plain recommender is called from several threads at once when its calls block; `serial = True` as a class attribute asks
    for one call at a time. A batched one may set `max_batch`.
    """

    def prepare(self, setup: RecommenderSetup) -> None: ...

    def recommend(self, conversation: Conversation, k: int) -> Recommendation: ...


@runtime_checkable
class Simulator(Protocol):
    """`reply` may be plain, async, or given as `reply_batch(conversations, knowledge) -> list[Feedback]` instead.

    `knowledge_of = "other"` asks for the knowledge of another scenario (the `shuffled` control).
    """

    knowledge: KnowledgeLevel

    def prepare(self, setup: SimulatorSetup) -> None: ...

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback: ...


@runtime_checkable
class Metric(Protocol):
    """One number per turn, dialogue or run. Aggregation and intervals are the core's.

    `family` groups tables: ranking | interaction | recommender | simulator | cost | judge. `bounds` are the smallest and
    largest possible value (use inf for none). `score` gets a TurnView, DialogueView or RunView according to `level`.

    Two optional members. `over_turns` says how a turn-level metric becomes one value per dialogue: "last" (the default: its
    value at the last turn, lists being carried over) or "mean" (over the turns that have a value; return `Unscored` for a
    turn with `played` False). `score_ranks(ranks, targets)` scores many lists at once, faster than `score`, for metrics that
    are a function of ranks: `ranks` is an integer array [lists, targets] as in `TurnView.ranks`, filled up with 0, `targets`
    [lists] holds the number of targets; it returns a float array [lists], or one `Unscored` for all.

    A metric that asks `setup.llm` (a judge) has an async `score`: many are awaited at once. What a model refuses, a transport
    that fails for good and a time-out are `unscored` with the reason; `revision()`, if given, says which prompt was used. A
    judge of pairs has an async `prefer(first, second)` of two DialogueViews of one scenario, which gives "first", "second",
    "tie" or `Unscored` (`harness compare --judge`).
    """

    level: Literal["turn", "dialogue", "run"]
    family: str
    higher_is_better: bool
    bounds: tuple[float, float]

    def prepare(self, setup: MetricSetup) -> None: ...

    def score(self, view: Any) -> float | Unscored: ...


@runtime_checkable
class Trainer(Protocol):
    """Makes an artefact folder that a recommender or simulator loads by path or name."""

    def train(self, setup: TrainerSetup, output_dir: Path) -> None: ...
