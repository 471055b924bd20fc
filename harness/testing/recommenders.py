"""The protocol's clauses for recommenders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from harness.api import DialogueRecord, Recommendation, RecommenderSetup, TrainingDialogue
from harness.checks import check_recommendation
from harness.config import RunConfig, Transport
from harness.errors import ComponentFault
from harness.injection import is_injection
from harness.llm.api import ChatModel
from harness.testing.barrier import check_barrier, examining
from harness.testing.calls import Caller
from harness.testing.clauses import Clause, Ledger, Report, shown
from harness.testing.elsewhere import Answer
from harness.testing.probes import Probe, Seeker, for_recommender
from harness.testing.stub import StubModel
from harness.testing.trials import Trial
from harness.testing.turnclauses import turn_clauses
from harness.testing.turns import broken_by, examine
from harness.testing.world import World, small_world

MAX_TEXT = next(f.default for f in msgspec.structs.fields(RunConfig) if f.name == "max_text")
_OWN = (
    Clause(
        "valid-answer",
        "returns a well-formed harness.Recommendation",
        "Recommendation(items=(ids, best first), text=...); scores, if given, one finite number per item",
    ),
    Clause("not-empty", "returns a text, items, or both", "When nothing is left to recommend, say so in the text"),
    Clause("at-most-k", "recommends at most k items", "Cut the list: items[:k]. A run cuts off the rest and counts it"),
    Clause("no-repeats", "lists no item twice", "Drop repeats: tuple(dict.fromkeys(items)). A repeated id counts as a miss"),
    Clause("known-ids", "lists ids of the catalogue only", "Take ids from setup.catalogue. An unknown id counts as a miss"),
    Clause(
        "candidates",
        "its candidates are ids of the catalogue, each once",
        "Give the ids that the retriever found, best first, or leave `candidates` out: they are measured by candidate-recall",
    ),
    Clause(
        "best-first",
        "its scores fall along the list",
        "Sort by falling score (of distances by rising ones, and give their negatives): the first item is the best",
        must=False,
    ),
    Clause(
        "no-orders",
        "its texts give the simulator no orders",
        "Write to a person. Orders to a model (and users' texts that are repeated) are marked as injections in every record",
        must=False,
    ),
    Clause(
        "honours-rejections",
        "doesn't recommend again what the seeker turned down",
        "Leave out the ids in conversation.rejected",
        must=False,
    ),
    Clause(
        "recommends",
        "recommends something in some conversation",
        "See `prepare` and `recommend`: no list ever came",
        must=False,
    ),
)
CLAUSES = turn_clauses("recommend", _OWN)


def check_recommender(
    make: Callable[[], Any],
    *,
    name: str = "",
    world: World | None = None,
    k: int = 10,
    timeout: float = Transport().timeout,
    llm: ChatModel | None = None,
    elsewhere: Callable[[], Answer] | None = None,
    unseen: Mapping[str, str] | None = None,
) -> Report:
    """Try a recommender against every clause that it can break.

    `make` gives a new, unprepared instance each time it is called. `timeout` (seconds) limits every call. `llm` is the language
    model in its setup; a stub that answers at random, but the same to the same request, if none is given. Nothing is raised
    for what the recommender does; `Report.raise_if_failed()` is for tests. `unseen` names the clauses whose breaches would not
    show where it runs, each with the reason.
    """
    world = world or small_world()
    model = llm or StubModel()
    caller = Caller(timeout, model)
    ledger = Ledger(CLAUSES, unseen)
    judge = _Judge(ledger, world)
    trial = Trial(
        ledger=ledger,
        method="recommend",
        make=make,
        setup=lambda training: setup_for(world, training, k, model),
        world=world,
        k=k,
        caller=caller,
        partner=Seeker(world),
        probes=lambda instance: for_recommender(world, k),
        judge=judge.answer,
        judge_record=judge.record,
        elsewhere=elsewhere,
    )
    with examining(ledger):
        instance = examine(trial)
        for size in (1, 3, len(world.catalogue) + 7):
            probes = for_recommender(world, size)[:4]
            outcomes = caller.ask(instance, "recommend", [p.arguments for p in probes])
            for probe, outcome in zip(probes, outcomes, strict=True):
                if outcome.fault is None and outcome.made:
                    judge.answer(probe, outcome.value)
                elif outcome.fault is not None:
                    fault = outcome.fault
                    clause = broken_by(instance, fault) if isinstance(fault, ComponentFault) else "no-exceptions"
                    ledger.breach(clause, f"k={size}, {probe.label}: {fault}")
        check_barrier(trial)
        if not judge.recommended:
            ledger.breach("recommends", "no item in any of the conversations that were tried")
    return Report("recommender", name or type_name(make), tuple(ledger.findings()), tried_on(world, model))


def setup_for(world: World, training: Sequence[TrainingDialogue], k: int, model: ChatModel) -> RecommenderSetup:
    """What prepare is handed."""
    return RecommenderSetup(world.catalogue, training, k, 0, llm=model)


def tried_on(world: World, model: ChatModel) -> str:
    """The world, and the language model where one was asked."""
    if isinstance(model, StubModel):
        return f"{world.name}, with a stub in place of a language model" if model.asked else world.name
    return f"{world.name}, with {model.name}"


class _Judge:
    """Looks at answers and at dialogues."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger, self._catalogue = ledger, world.catalogue
        self.recommended = False
        self._seen = False

    def answer(self, probe: Probe, value: Any) -> None:
        """One call's value."""
        ledger, k = self._ledger, probe.arguments[1]
        where = f"{probe.label} (k={k})"
        for clause in ("valid-answer", "not-empty", "at-most-k", "no-repeats", "known-ids", "recommends"):
            ledger.tried(clause)
        try:
            checked = check_recommendation(value, self._catalogue, k, MAX_TEXT)
        except ComponentFault as fault:
            ledger.breach("not-empty" if fault.kind == "empty" else "valid-answer", f"{where}: {fault}")
            return
        items = checked.recommendation.items
        self.recommended = self.recommended or bool(items)
        if checked.dropped:
            ledger.breach("at-most-k", f"{where}: {len(value.items)} items")
        if checked.repeated:
            twice = next(i for n, i in enumerate(items) if i in items[:n])
            ledger.breach("no-repeats", f"{where}: {shown(twice)} stands in the list more than once")
        if checked.unknown:
            unknown = next(i for i in items if self._catalogue.get(i) is None)
            ledger.breach("known-ids", f"{where}: {shown(unknown)} is not in the catalogue")
        if not self._seen:
            ledger.skip("candidates", "it gives none")
            ledger.skip("best-first", "it gives no scores")
        self._seen = True
        self._details(probe, value)
        self._left_out(set(probe.arguments[0].rejected), items, probe.label)
        check_state(ledger, probe, value.state)

    def _details(self, probe: Probe, value: Recommendation) -> None:
        """What a run takes without a word."""
        ledger = self._ledger
        if value.candidates is not None:
            ledger.tried("candidates")
            unknown = [i for i in value.candidates if self._catalogue.get(i) is None]
            if unknown:
                ledger.breach("candidates", f"{probe.label}: {shown(unknown[0])} is not in the catalogue")
            if len(set(value.candidates)) < len(value.candidates):
                ledger.breach("candidates", f"{probe.label}: an id stands there more than once")
            others = [i for i in value.items if i not in value.candidates]
            if others and not unknown:
                ledger.breach("candidates", f"{probe.label}: {shown(others[0])} is listed but no candidate", mild=True)
        if value.scores is not None:
            ledger.tried("best-first")
            rise = next((n for n, (a, b) in enumerate(itertools.pairwise(value.scores)) if b > a), None)
            if rise is not None:
                a, b = value.scores[rise : rise + 2]
                ledger.breach("best-first", f"{probe.label}: place {rise + 1} has {a:g}, place {rise + 2} has {b:g}")
        ledger.tried("no-orders")
        if is_injection(value.text):
            ledger.breach("no-orders", f"{probe.label}: {shown(value.text, 120)}")

    def record(self, record: DialogueRecord) -> None:
        """One played dialogue."""
        turned_down: set[str] = set()
        for number, turn in enumerate(record.turns, start=1):
            self._left_out(turned_down, turn.items, f"scenario {record.scenario}, turn {number}")
            turned_down.update(turn.rejected)

    def _left_out(self, turned_down: set[str], items: tuple[str, ...], where: str) -> None:
        self._ledger.tried("honours-rejections")
        again = [i for i in items if i in turned_down]
        if again:
            self._ledger.breach("honours-rejections", f"{where}: {shown(again[0])} had been turned down")


def check_state(ledger: Ledger, probe: Probe, state: Any) -> None:
    """Can it be written as JSON?"""
    ledger.tried("state-json")
    try:
        msgspec.json.encode(state)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's object
        ledger.breach("state-json", f"{probe.label}: {shown(state)} can't be written as JSON ({error})")


def type_name(make: Callable[[], Any]) -> str:
    """What to call a component that was handed over without a name."""
    name = getattr(make, "__name__", "")
    return name if name and name != "<lambda>" else "under test"
