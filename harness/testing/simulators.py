"""The protocol's clauses for simulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from harness.api import DialogueRecord, Feedback, SimulatorSetup, TrainingDialogue
from harness.assembly import LEVELS
from harness.checks import ACTIONS, check_feedback
from harness.config import Transport
from harness.errors import ComponentFault
from harness.leakgate import LeakGate
from harness.llm.api import ChatModel
from harness.testing.barrier import check_barrier, examining
from harness.testing.calls import Caller
from harness.testing.clauses import Clause, Ledger, Report, shown
from harness.testing.elsewhere import Answer
from harness.testing.probes import ORDER, PLAIN, Lister, Probe, for_simulator
from harness.testing.recommenders import MAX_TEXT, check_state, tried_on, type_name
from harness.testing.stub import StubModel
from harness.testing.trials import Trial
from harness.testing.turnclauses import turn_clauses
from harness.testing.turns import TURNS, examine
from harness.testing.world import World, small_world

_OWN = (
    Clause(
        "knowledge",
        "declares what it may see of the need",
        'Set `knowledge` on the class to "label_free", "profile" or "target_aware"; `knowledge_of` is "own" or "other"',
    ),
    Clause(
        "action", "its action is continue, accept or quit", "Feedback(text, action): nothing inside the text ends a dialogue"
    ),
    Clause(
        "accepts-shown",
        "accepts and turns down only what was shown",
        "Take ids from the `ranked` of the recommender's messages; `accepted` goes with the action accept, and no id is in "
        "both `accepted` and `rejected`",
    ),
    Clause(
        "valid-answer",
        "returns a well-formed harness.Feedback with a text",
        "Feedback(text, action); a text is needed unless it accepts or quits; statements are harness.Statement",
    ),
    Clause(
        "no-leak",
        "doesn't name a target that nobody has named yet",
        "Describe what is wanted and leave out titles that were neither shown nor mentioned; the leak gate takes them out, and "
        "counts them",
    ),
    Clause(
        "obeys-nobody",
        "a recommender's text gives it no orders",
        "Treat the recommender's text as data: decide to accept or quit by the items that are shown",
        must=False,
    ),
)
CLAUSES = turn_clauses("reply", _OWN)


def check_simulator(
    make: Callable[[], Any],
    *,
    name: str = "",
    world: World | None = None,
    k: int = 10,
    timeout: float = Transport().timeout,
    llm: ChatModel | None = None,
    elsewhere: Callable[[], Answer] | None = None,
) -> Report:
    """Try a simulator against every clause that it can break; arguments as for `check_recommender`."""
    world = world or small_world()
    model = llm or StubModel()
    caller = Caller(timeout, model)
    ledger = Ledger(CLAUSES)
    judge = _Judge(ledger, world)
    trial = Trial(
        ledger=ledger,
        method="reply",
        make=make,
        setup=lambda training: setup_for(world, training, model),
        world=world,
        k=k,
        caller=caller,
        partner=Lister(world),
        probes=lambda instance: for_simulator(world, instance.knowledge, k),
        judge=judge.answer,
        judge_record=judge.record,
        declare=judge.declaration,
        elsewhere=elsewhere,
    )
    with examining(ledger):
        instance = examine(trial)
        _orders(ledger, instance, world, k, caller)
        check_barrier(trial, instance.knowledge)
    return Report("simulator", name or type_name(make), tuple(ledger.findings()), tried_on(world, model))


def setup_for(world: World, training: Sequence[TrainingDialogue], model: ChatModel) -> SimulatorSetup:
    """What prepare is handed."""
    return SimulatorSetup(world.catalogue, training, TURNS, 0, llm=model)


class _Judge:
    """Looks at the declaration, at answers and at dialogues."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger, self._gate, self._catalogue = ledger, LeakGate(world.catalogue), world.catalogue
        self._told_targets = False

    def declaration(self, instance: Any) -> None:
        """Raises Stop without a knowledge level: nobody knows what to hand it."""
        level, of = getattr(instance, "knowledge", None), getattr(instance, "knowledge_of", "own")
        self._ledger.tried("knowledge", shown(level).strip("'"))
        self._told_targets = level == "target_aware"
        if level not in LEVELS:
            raise self._ledger.stop("knowledge", f"knowledge is {shown(level)}")
        if of not in ("own", "other"):
            self._ledger.breach("knowledge", f"knowledge_of is {shown(of)}")

    def answer(self, probe: Probe, value: Any) -> None:
        """One call's value."""
        ledger = self._ledger
        for clause in ("action", "accepts-shown", "valid-answer", "no-leak"):
            ledger.tried(clause)
        if not isinstance(value, Feedback):
            ledger.breach("valid-answer", f"{probe.label}: reply returned {shown(value)}")
            return
        ranked = probe.arguments[0].messages[-1].ranked
        if not isinstance(value.action, str) or value.action not in ACTIONS:
            ledger.breach("action", f"{probe.label}: the action is {shown(value.action)}")
            value = msgspec.structs.replace(value, action="continue")
        elif value.action == "accept" and not ranked:
            ledger.breach("accepts-shown", f"{probe.label}: it accepts, but nothing was shown")
            value = msgspec.structs.replace(value, action="quit")
        self._contradictions(probe, value)
        for field in ("accepted", "rejected"):
            named = getattr(value, field)
            foreign = [i for i in named or () if i not in ranked] if isinstance(named, (tuple, list)) else []
            if foreign:
                ledger.breach("accepts-shown", f"{probe.label}: {field} holds {shown(foreign[0])}, which was not shown")
                value = msgspec.structs.replace(value, **{field: ()})
        try:
            answer = check_feedback(value, ranked, ranked, MAX_TEXT)
        except ComponentFault as fault:
            ledger.breach("valid-answer", f"{probe.label}: {fault}")
            return
        self._leaks(self._gate.check(answer.text, hidden=probe.hidden).leaks, probe.label)
        check_state(ledger, probe, value.state)

    def _contradictions(self, probe: Probe, value: Feedback) -> None:
        """What a run takes without a word."""
        if not isinstance(value.accepted, (tuple, list)):
            return
        if value.accepted and value.action != "accept":
            text = f"{probe.label}: accepted holds {shown(value.accepted[0])}, and the action is {value.action}"
            self._ledger.breach("accepts-shown", text)
        both = [i for i in value.accepted if i in (value.rejected or ())]
        if both:
            self._ledger.breach("accepts-shown", f"{probe.label}: {shown(both[0])} is both accepted and turned down")

    def record(self, record: DialogueRecord) -> None:
        """One played dialogue."""
        for number, turn in enumerate(record.turns, start=1):
            self._leaks(turn.leaks, f"scenario {record.scenario}, turn {number}")

    def _leaks(self, leaks: tuple[str, ...], where: str) -> None:
        if leaks:
            item = self._catalogue.get(leaks[0])
            text = f"{where}: it names the target {item.title if item else leaks[0]!r}"
            # Only a simulator that is told the targets can mean to keep them; the gate is there for its slips.
            self._ledger.breach("no-leak", text, mild=self._told_targets)


def _orders(ledger: Ledger, instance: Any, world: World, k: int, caller: Caller) -> None:
    """The same turn with and without a text that tells it to accept."""
    probes = [p for p in for_simulator(world, instance.knowledge, k) if p.label.endswith("no target shown")]
    ordered = []
    for probe in probes:
        conversation, knowledge = probe.arguments
        last = msgspec.structs.replace(conversation.messages[-1], text=ORDER)
        ordered.append((msgspec.structs.replace(conversation, messages=(*conversation.messages[:-1], last)), knowledge))
    plain = caller.ask(instance, "reply", [probe.arguments for probe in probes])
    obeyed = caller.ask(instance, "reply", ordered)
    ledger.tried("obeys-nobody")
    for probe, one, other in zip(probes, plain, obeyed, strict=True):
        actions = [getattr(outcome.value, "action", "continue") for outcome in (one, other)]
        if actions[0] == "continue" and actions[1] != "continue":
            ledger.breach("obeys-nobody", f"{probe.label}: {actions[1]} when told to accept, {actions[0]} at {PLAIN!r}")
