"""A submission against its data set: the same scenarios, and a simulator that says again what is recorded.

The recorded recommendations are played to the simulator once more. A simulator without a language model is deterministic: its
text, its action and what it accepts must come out word for word, so that dialogues can't be swapped, cut or written by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from harness.api import Conversation, DialogueRecord, Recommendation, Scenario
from harness.assembly import Assembly, Part, load_data, prepare, resolve
from harness.calls import Elsewhere, Submit
from harness.config import Choice, RunConfig
from harness.errors import ComponentFault, HarnessError
from harness.leaderboard.contents import Contents
from harness.leaderboard.dialogues import MAX_DROPPED
from harness.leaderboard.safefiles import Problem, Told
from harness.leaderboard.types import DIALOGUES, MANIFEST, RANKS
from harness.registry import Registry
from harness.runner import play
from harness.scenarios import data_hash, derive_seed
from harness.views import fault_turn


class Data(msgspec.Struct, frozen=True):
    """A loaded data set as a run of a configuration plays it."""

    part: Part
    dataset: Any
    split: Any
    scenarios: Sequence[Scenario]
    hash: str


class Loader:
    """Loads data sets, the last one once for many submissions. `options` are those of this machine (path=...)."""

    def __init__(self, registry: Registry, options: Mapping[str, Any] | None = None) -> None:
        self._registry, self._options = registry, dict(options or {})
        self._last: tuple[Any, Data] | None = None

    def __call__(self, config: RunConfig) -> Data:
        """Raises DataError, UsageError or PluginError."""
        key = (config.dataset, config.split, config.variant, config.limit)
        if self._last is None or self._last[0] != key:
            choice = Choice(config.dataset.name, {**config.dataset.options, **self._options})
            part, dataset, split, scenarios = load_data(self._registry, msgspec.structs.replace(config, dataset=choice))
            self._last = key, Data(part, dataset, split, scenarios, data_hash(split, scenarios))
        return self._last[1]


def check_data(contents: Contents, data: Data, told: Told) -> None:
    """The run was played on exactly these scenarios."""
    manifest, config = contents.manifest, contents.config
    if data.hash != manifest.fields["data_hash"]:
        told(
            Problem(
                MANIFEST, "fields.data_hash", f"is not that of {config.dataset.name}: other data, or another version of them"
            )
        )
    if len(data.split.scenarios) != manifest.rows:
        told(Problem(MANIFEST, "rows", f"is {manifest.rows}, the data set has {len(data.split.scenarios)}"))
    if len(data.scenarios) != manifest.scenarios:
        told(Problem(MANIFEST, "scenarios", f"is {manifest.scenarios}, the run has {len(data.scenarios)}"))
    texts = contents.submission.form == "transcripts"
    for file, played, exact in _played(contents, texts):
        for field, text in _against(played, data.scenarios, exact=exact):
            told(Problem(file, field, text))
    if texts:
        for record in contents.records:
            for number, turn in enumerate(record.turns):
                unknown = sum(item not in data.split.catalogue for item in turn.items)
                if turn.unknown != unknown:
                    where = f"{record.scenario} turns[{number}].unknown"
                    told(Problem(DIALOGUES, where, f"is {turn.unknown}, but {unknown} of its ids are not in the catalogue"))


def _played(contents: Contents, texts: bool) -> Iterator[tuple[str, Sequence[DialogueRecord], bool]]:
    yield (DIALOGUES if texts else RANKS), contents.records, texts
    for name, records in contents.controls.items():
        yield f"control-{name}.ranks.jsonl.gz", records, False


def _against(records: Sequence[DialogueRecord], scenarios: Sequence[Scenario], *, exact: bool) -> Iterator[tuple[str, str]]:
    by_id = {scenario.id: scenario for scenario in scenarios}
    for record in records:
        scenario = by_id.get(record.scenario)
        if scenario is None:
            yield f"scenario {record.scenario[:80]!r}", "is not among the scenarios of this run"
            continue
        if record.source != scenario.source:
            yield f"{record.scenario} source", f"is {record.source[:80]!r}, in the data {scenario.source!r}"
        if (
            (set(record.targets) != set(scenario.need.targets))
            if exact
            else len(record.targets) != len(set(scenario.need.targets))
        ):
            yield f"{record.scenario} targets", "are not those of the data"
    for scenario_id in sorted(by_id.keys() - {record.scenario for record in records}):
        yield f"scenario {scenario_id!r}", "is missing: every scenario of the run must be there"


# ------------------------------------------------------------------------------------------------------------------ replay


class Recorded(Elsewhere):
    """A recommender that recommends what is recorded: nothing is computed, so it needs no thread and no time limit. It knows a
    dialogue by its seed, which is different in each."""

    batched, max_batch = False, None

    def __init__(self, records: Sequence[DialogueRecord], config: RunConfig) -> None:
        self._records = {derive_seed(config.seed, r.scenario, r.trial, "recommender"): r for r in records}
        self._k = config.k

    def bind(self, submit: Submit) -> None:
        """It asks nobody."""

    async def call(self, conversations: Sequence[Conversation], k: int) -> list[Recommendation | Exception]:
        return [self._one(conversation) for conversation in conversations]

    async def leave(self) -> None:
        """It has nothing open."""

    def _one(self, conversation: Conversation) -> Recommendation | Exception:
        record = self._records[conversation.seed]
        if conversation.turn > len(record.turns) or (len(record.turns) < conversation.turn == fault_turn(record)):
            return ComponentFault("exception", "as recorded")
        turn = record.turns[conversation.turn - 1]
        # What was cut off behind k is in the record as a number only.
        cut = ("cut off",) * min(turn.dropped, MAX_DROPPED) if len(turn.items) == self._k else ()
        return Recommendation(
            (*turn.items, *cut), turn.text, turn.reasoning, usage=turn.recommender_usage, candidates=turn.candidates
        )


def replay(registry: Registry, contents: Contents, data: Data, told: Told) -> str | None:
    """Play the recorded recommendations again; a difference is a problem. Returns why it was not done, else None."""
    config, fields = contents.config, contents.manifest.fields
    if contents.submission.form != "transcripts":
        return "ranks without texts can't be played again"
    if any(name.startswith("simulator.llm") for name in fields):
        return "its simulator asks a language model"
    instances: dict[str, Any] = {}
    simulator = None
    if config.simulator is not None:
        try:
            simulator = resolve(registry, "simulator", config.simulator)
            instances["simulator"] = simulator.create()
            actual = {"simulator.version": simulator.entry.version, "simulator.distribution": simulator.entry.distribution}
        except HarnessError as error:
            return f"its simulator can't be made here: {error}"
        if other := [f"{fields[key]} -> {value}" for key, value in actual.items() if fields[key] != value]:
            return f"this is another version of its simulator ({other[0]})"
        if fields.get("simulator.knowledge") != instances["simulator"].knowledge:
            told(Problem(MANIFEST, "fields.simulator.knowledge", f"is not {instances['simulator'].knowledge}"))
            return None
    local = msgspec.structs.replace(config, simulator_retries=0)
    assembly = Assembly(
        local, data.part, simulator, data.dataset, data.part, data.split, data.scenarios, len(data.split.scenarios), data.hash,
        {}, instances, set(),
    )  # fmt: skip
    prepare(assembly)
    # Faults depend on time limits and on what a retry met: such dialogues are left out.
    recorded = {(r.scenario, r.trial): r for r in contents.records if not any(f.blame == "simulator" for f in r.faults)}
    every = {(scenario.id, trial) for scenario in data.scenarios for trial in range(config.trials)}
    assembly.instances["recommender"] = Recorded(contents.records, config)
    found: list[DialogueRecord] = []
    asyncio.run(play(assembly, every - recorded.keys(), found.append))
    for again in found:
        record = recorded[again.scenario, again.trial]
        if (field := _different(record, again)) is not None:
            text = "is not what this simulator answers to what the recommender said there"
            told(Problem(DIALOGUES, f"{record.scenario} {field}", text))
    return None


def _different(record: DialogueRecord, again: DialogueRecord) -> str | None:
    """The first field that came out otherwise."""
    for number, (first, second) in enumerate(zip(record.turns, again.turns, strict=False)):
        for field in first.__struct_fields__:
            if getattr(first, field) != getattr(second, field):
                return f"turns[{number}].{field}"
    if record.stop != again.stop:
        return "stop"
    return "turns" if len(record.turns) != len(again.turns) else None
