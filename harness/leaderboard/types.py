"""What the files of a submission and of a board hold. Unknown fields are refused at every level."""

from __future__ import annotations

import functools
import types
import typing
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.api import Ceiling, DialogueRecord, StopReason, Usage

SUBMISSION, MANIFEST, DIALOGUES, RANKS = "submission.json", "manifest.json", "dialogues.jsonl.gz", "ranks.jsonl.gz"
BOARD, REPRODUCED, SUBMISSIONS = "board.json", "reproduced.json", "submissions"

MAX_TURNS, MAX_K, MAX_TRIALS, MAX_TARGETS = 100, 1000, 1000, 1000
MAX_COUNT = 10**12
MAX_SECONDS = 10**9

Form = Literal["transcripts", "ranks"]
Name = Annotated[str, Meta(min_length=1, max_length=80)]
Short = Annotated[str, Meta(min_length=1, max_length=200)]
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Amount = Annotated[float, Meta(ge=0, le=float(MAX_COUNT))]
Score = Annotated[float, Meta(ge=-1e9, le=1e9)]
Value = Score | Literal["unscored"]
Interval = tuple[Score, Score] | Literal["unscored"]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that a stranger's file is read into."""


def strict(kind: Any) -> Any:
    """A copy of a type in which every struct, at any depth, refuses unknown fields."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _strict_struct(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(strict(each) for each in arguments)]  # noqa: UP007  made of values
    if origin in (tuple, list, dict):
        return origin[tuple(each if each is Ellipsis else strict(each) for each in arguments)]
    return kind


@functools.cache
def _strict_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """One copy per struct: the schema knows them by name."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            fields.append((field.name, strict(field.type), field.default))
        elif field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, strict(field.type), msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, strict(field.type)))
    return msgspec.defstruct(
        kind.__name__, fields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, module=__name__
    )


# ------------------------------------------------------------------------------------------------------------- a submission


class Estimate(Strict, frozen=True, kw_only=True):
    """A mean over `n` scenarios with its 95 % interval; `micro` is the mean over labels, where there is one."""

    value: Value
    ci: Interval
    n: Count
    micro: Value | None = None


class Gain(Strict, frozen=True, kw_only=True):
    """Run minus control on the same scenarios; p of the paired permutation test by source dialogue."""

    control: Short
    metric: Short
    difference: Value
    ci: Interval
    p: Value
    n: Count


class Counts(Strict, frozen=True, kw_only=True):
    """Dialogues, unless the name says otherwise. `leaking`: the simulator named a target before it was recommended."""

    scenarios: Count
    sources: Count
    played: Count
    valid: Count
    invalid: Count
    recommender_faults: Count
    leaking: Count
    injecting: Count
    """The recommender tried to instruct the simulator."""


class Spent(Strict, frozen=True, kw_only=True):
    """Sums over a run, by role."""

    calls: Count
    prompt_tokens: Count
    completion_tokens: Count
    cost: Amount
    """US dollars."""
    seconds: Amount


class Results(Strict, frozen=True, kw_only=True):
    """What the transcripts give. `passed`: pass^k for k = 1, 2, ... trials."""

    scores: dict[Short, Estimate]
    by_turn: dict[Short, list[Value]]
    passed: list[Estimate]
    counts: Counts
    spent: dict[Literal["recommender", "simulator"], Spent]
    gains: list[Gain] = []


class Submission(Strict, frozen=True, kw_only=True):
    """submission.json. `transcripts` is the SHA-256 of the dialogues without their seconds: equal runs have an equal one."""

    format: Literal[1] = 1
    name: Name
    authors: Annotated[list[Short], Meta(min_length=1, max_length=50)]
    code_url: Annotated[str, Meta(max_length=500)] = ""
    """https; empty for the harness's own recommenders alone."""
    description: Annotated[str, Meta(max_length=2000)] = ""
    form: Form
    transcripts: Sha256
    trained_on: Annotated[list[Short], Meta(max_length=100)] = []
    """Data sets whose training data shaped the system; what its artefacts say comes on top."""
    trained_against: Annotated[list[Short], Meta(max_length=100)] = []
    """Simulators."""
    controls: Annotated[list[Short], Meta(max_length=10)] = []
    """Simulators of the control runs that come along."""
    results: Results
    files: Annotated[dict[Short, Sha256], Meta(max_length=24)]


class Manifest(Strict, frozen=True, kw_only=True):
    """manifest.json: which run this is. `fields` is what the fingerprint covers."""

    format: Literal[1] = 1
    fingerprint: Sha256
    fields: Annotated[dict[Short, Any], Meta(max_length=2000)]
    rows: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    scenarios: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    made_by: dict[Short, Annotated[str, Meta(max_length=200)]] = {}


# -------------------------------------------------------------------------------------------------- dialogues without texts


class Tokens(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """As `harness.Usage`, within bounds."""

    calls: Count = 0
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cost: Amount = 0.0
    cache_hits: Count = 0

    @classmethod
    def of(cls, usage: Usage | None) -> Tokens | None:
        return None if usage is None else cls(**msgspec.structs.asdict(usage))


class RankTurn(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """`ranks`: the 1-based place of each target in the list, 0 where it is absent; `length` of the list."""

    ranks: Annotated[list[Annotated[int, Meta(ge=0, le=MAX_K)]], Meta(min_length=1, max_length=MAX_TARGETS)]
    length: Annotated[int, Meta(ge=0, le=MAX_K)]
    leak: bool = False
    injection: bool = False
    user_injection: bool = False
    recommender_usage: Tokens | None = None
    simulator_usage: Tokens | None = None


class RankFault(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A failed call without its message."""

    blame: Literal["recommender", "simulator", "transport"]
    kind: Short
    attempt: Annotated[int, Meta(ge=0, le=1000)] = 0
    turn: Annotated[int, Meta(ge=0, le=MAX_TURNS)] = 0
    role: Literal["recommender", "simulator"] = "recommender"
    usage: Tokens | None = None


class RankRow(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """One dialogue as a line of ranks.jsonl.gz: everything that a ranking metric needs, and not a word that was said."""

    scenario: Id
    source: Id
    trial: Annotated[int, Meta(ge=0, lt=MAX_TRIALS)]
    stop: StopReason
    targets: Annotated[int, Meta(ge=1, le=MAX_TARGETS)]
    turns: Annotated[list[RankTurn], Meta(max_length=MAX_TURNS)]
    faults: Annotated[list[RankFault], Meta(max_length=1000)] = []
    seconds: dict[Literal["recommender", "simulator"], Annotated[float, Meta(ge=0, le=float(MAX_SECONDS))]] = {}


# ------------------------------------------------------------------------------------------------------------------ a board


class Board(Strict, frozen=True, kw_only=True):
    """board.json: one (data set, variant, protocol, simulator). `fields`: what all submissions' fingerprints agree on."""

    format: Literal[1] = 1
    title: Short
    form: Form
    fields: dict[Short, Any]
    scenario_hash: Sha256
    rows: Count
    scenarios: Count
    sources: Count
    floors: list[Short] = []
    control: Short = "exclude-only"
    """The control that the column of the feedback gain is about."""
    notes: list[str] = []
    references: list[Ceiling] = []
    """What simple and optimal methods reach on these rows, where the data set knows."""


def schema() -> dict[str, Any]:
    """JSON schema of all files: one definition per file."""
    names = {SUBMISSION: Submission, MANIFEST: Manifest, RANKS: RankRow, DIALOGUES: strict(DialogueRecord), BOARD: Board}
    found, parts = msgspec.json.schema_components(names.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Submissions to the leaderboards of crs-harness",
        "description": "By file; a line of dialogues.jsonl.gz or ranks.jsonl.gz is one object.",
        "files": dict(zip(names, found, strict=True)),
        "$defs": dict(sorted(parts.items())),
    }
