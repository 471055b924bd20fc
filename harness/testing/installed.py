"""Checks an installed component by its name, as `harness check` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import structs

from harness.assembly import load_split, resolve
from harness.config import Choice, Transport
from harness.llm.api import ChatModel
from harness.models import own_model
from harness.registry import Entry, Kind, Registry
from harness.testing import datasetclauses, declarations, metricclauses, recommenders, simulators, trainerclauses
from harness.testing.calls import snapshot
from harness.testing.clauses import Clause, Ledger, Report, Stop
from harness.testing.datasets import check_dataset
from harness.testing.elsewhere import Answer, Died, Task, ask_elsewhere
from harness.testing.metrics import check_metric
from harness.testing.recommenders import check_recommender
from harness.testing.simulators import check_simulator
from harness.testing.stub import StubModel
from harness.testing.trainers import check_trainer
from harness.testing.world import World, small_world, world_of

K = 10
CLAUSES: Mapping[Kind, Sequence[Clause]] = MappingProxyType(
    {
        "dataset": datasetclauses.CLAUSES,
        "recommender": recommenders.CLAUSES,
        "simulator": simulators.CLAUSES,
        "metric": metricclauses.CLAUSES,
        "trainer": trainerclauses.CLAUSES,
    }
)
"""Beside `declarations.CLAUSES`, which are those of every kind."""


def clauses_of(kind: Kind) -> tuple[Clause, ...]:
    """What a report of `check_installed` has a finding for, in that order."""
    return (*declarations.CLAUSES, *CLAUSES[kind])


def check_installed(
    name: str,
    kind: Kind,
    options: Mapping[str, Any] | None = None,
    *,
    dataset: Choice | None = None,
    timeout: float = Transport().timeout,
    llm: Choice | None = None,
    registry: Registry | None = None,
) -> Report:
    """Everything that `check_recommender` and the like try, and what the plugin announces; also in another process.

    `dataset` names the data whose catalogue, training dialogues and some of whose scenarios it is tried on, in place of the
    small world; `llm` the language model that it may ask ("openai:MODEL" and options), in place of a stub. Raises PluginError
    for an unknown name and UsageError for options that it hasn't.
    """
    registry = registry or Registry()
    entry = registry.find(kind, name)
    given = dict(options or {})
    world = world_for(registry, dataset) if kind != "dataset" else None
    ledger = Ledger(declarations.CLAUSES)
    tried_on = world.name if world else "its own files"
    task = Task(kind, Choice(entry.full_name, given), dataset, K, timeout, llm)
    other = _Elsewhere(structs.replace(task, calls=False), entry.distribution)
    findings = Ledger(CLAUSES[kind]).findings()
    try:
        # A trainer's options are texts that it reads itself, in train().
        cls, built = declarations.check_declaration(ledger, registry, entry, {} if kind == "trainer" else given)
        before = snapshot(built)
        task = structs.replace(task, llm=llm or _own_model(lambda: cls(built)))
        # There first: what ends the process shall not end this one, where nobody would be told.
        other = _Elsewhere(task, entry.distribution)
        ledger.tried("survives")
        try:
            other()
        except Died as error:
            other = _Elsewhere(structs.replace(task, calls=False), entry.distribution)
            raise ledger.stop("survives", str(error)) from error
        except RuntimeError:  # why there is no answer is told where answers are compared
            pass
        report = _kind_report(entry, lambda: cls(built), given, world, timeout, model_for(task.llm), other)
        findings, tried_on = list(report.findings), report.world
        ledger.tried("leaves-options")
        if snapshot(built) != before:
            ledger.breach("leaves-options", f"{before.decode()[:80]} became {snapshot(built).decode()[:80]}")
    except Stop:
        pass
    _light(ledger, entry, other)
    return Report(kind, entry.name, (*ledger.findings(), *findings), tried_on)


class _Elsewhere:
    """What another process says, asked once."""

    def __init__(self, task: Task, distribution: str) -> None:
        self._task, self._distribution = task, distribution
        self._said: Answer | RuntimeError | None = None

    def __call__(self) -> Answer:
        """Raises Died or RuntimeError."""
        if self._said is None:
            try:
                self._said = ask_elsewhere(self._task, self._distribution)
            except RuntimeError as error:
                self._said = error
        if isinstance(self._said, RuntimeError):
            raise self._said
        return self._said


def world_for(registry: Registry, dataset: Choice | None) -> World:
    """The small world, or the first scenarios of a data set's test split. Raises DataError where there are none."""
    if dataset is None:
        return small_world()
    part = resolve(registry, "dataset", dataset)
    return world_of(load_split(part, part.create(), "test"), part.entry.name)


def model_for(choice: Choice | None) -> ChatModel:
    """The language model of that name, or the stub. Raises UsageError or LlmError with what to set."""
    if choice is None:
        return StubModel()
    from harness.llm.build import build
    from harness.llm.layers import Layers

    return build(choice.name, choice.options, Layers())


def _own_model(make: Callable[[], Any]) -> Choice | None:
    """The model that a component brings along. What can't be made is found out, and told, by its checks."""
    try:
        spec = own_model(make())
    except Exception:  # noqa: BLE001  a stranger's constructor
        return None
    return None if spec is None else Choice(spec)


def _light(ledger: Ledger, entry: Entry, other: Callable[[], Answer]) -> None:
    ledger.tried("light")
    try:
        heavy = sorted(set(other().listed) & set(declarations.HEAVY))
    except RuntimeError as error:
        ledger.skip("light", str(error))
        return
    if heavy:
        ledger.breach("light", f"listing {entry.distribution} imports {', '.join(heavy)}")


def _kind_report(
    entry: Entry,
    make: Callable[[], Any],
    given: Mapping[str, Any],
    world: World | None,
    timeout: float,
    model: ChatModel,
    elsewhere: Callable[[], Answer],
) -> Report:
    if entry.kind == "dataset":
        return check_dataset(make, name=entry.name, elsewhere=elsewhere)
    if entry.kind == "metric":
        return check_metric(make, name=entry.name, world=world, timeout=timeout, llm=model, elsewhere=elsewhere)
    if entry.kind == "trainer":
        return check_trainer(make, name=entry.name, options=given, world=world, llm=model, elsewhere=elsewhere)
    check = check_recommender if entry.kind == "recommender" else check_simulator
    return check(make, name=entry.name, world=world, k=K, timeout=timeout, llm=model, elsewhere=elsewhere)
