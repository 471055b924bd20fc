"""Descriptors and the five component protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from harness.api.answers import Feedback, Knowledge, Recommendation, Unscored
from harness.api.setups import MetricSetup, RecommenderSetup, SimulatorSetup, TrainerSetup
from harness.api.talk import API_VERSION, Conversation, KnowledgeLevel, Split


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


class ArtifactFolder(msgspec.Struct, frozen=True):
    """What the hook `harness_artifacts` yields: a folder with an artefact inside an installed package."""

    name: str
    """By which `harness.artifacts.find` finds it."""
    package: str
    """Dotted name of the package that the folder lies in."""
    folder: str
    """Relative to the package's own folder, with slashes."""
    summary: str = ""


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
    for one call at a time. A batched one may set `max_batch`. An async one may have `async close()`, awaited at the end of the
    dialogues; more calls may come after it.

    One that brings a language model along has `default_llm() -> str | None` ("hf:/folder/of/an/artefact"): it is `setup.llm`
    unless the user chose another one. Further models that it always asks, whatever the user chooses, it names in
    `more_llms() -> Mapping[str, str]` (its own name for each -> "hf:FOLDER"); they are `setup.more_llms`. `revision() -> dict`
    is what else identifies it: hashes of prompts, of weights.
    """

    def prepare(self, setup: RecommenderSetup) -> None: ...

    def recommend(self, conversation: Conversation, k: int) -> Recommendation: ...


@runtime_checkable
class Simulator(Protocol):
    """`reply` may be plain, async, or given as `reply_batch(conversations, knowledge) -> list[Feedback]` instead.

    `knowledge_of = "other"` asks for the knowledge of another scenario (the `shuffled` control). `default_llm`,
    `more_llms` and `revision` are as with a recommender.
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
