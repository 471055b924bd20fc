"""What recommenders and simulators have in common: prepared once, called for many dialogues, without memory or chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from harness.api import DialogueRecord
from harness.batching import is_async
from harness.calls import Elsewhere
from harness.errors import ComponentFault, TransportExhausted
from harness.testing.calls import Outcome, snapshot
from harness.testing.clauses import Stop, shown, told
from harness.testing.probes import Probe
from harness.testing.surroundings import Surroundings, watched_generators
from harness.testing.trials import Trial, declares, digest, fresh, make, prepare, untrained
from harness.testing.turnclauses import MANY_TURNS

TURNS = 5


def examine(trial: Trial) -> Any:
    """Try everything and return the instance that was tried; raises Stop when nothing more can be tried."""
    ledger, around = trial.ledger, Surroundings()
    try:
        return _examine(trial)
    finally:
        ledger.tried("leaves-process")
        for what in around.changed():
            ledger.breach("leaves-process", what)
        ledger.tried("lets-go")
        for what in around.left_behind():
            ledger.breach("lets-go", f"{what} is still running")


def _examine(trial: Trial) -> Any:
    ledger = trial.ledger
    instance = make(trial)
    declares(trial, instance)
    before = snapshot((list(trial.world.catalogue), list(trial.world.training)))
    prepare(trial, instance)
    untrained(trial)
    probes = trial.probes(instance)
    calls = [probe.arguments for probe in probes]
    with watched_generators() as used:
        first = trial.caller.ask(instance, trial.method, calls)
    _answered(trial, instance, probes, first)
    ledger.tried("no-global-random")
    for name in used:
        ledger.breach("no-global-random", f"a call changed the state of the global generator {name}")
    again = trial.caller.ask(instance, trial.method, calls)
    _closed(trial, instance, probes, first, again)
    if _same(trial, "same-again", probes, first, again):
        _company(trial, instance, probes, first)
        _elsewhere(trial, probes, first)
    else:
        for clause in ("same-fresh", "same-in-company", "same-in-threads", "same-elsewhere", "no-memory"):
            ledger.skip(clause, "not even two equal calls agree")
    _dialogues(trial, instance)
    ledger.tried("leaves-setup")
    if snapshot((list(trial.world.catalogue), list(trial.world.training))) != before:
        ledger.breach("leaves-setup", "the catalogue or the training dialogues are no longer what they were")
    return instance


def _closed(trial: Trial, instance: Any, probes: Sequence[Probe], first: Sequence[Outcome], again: Sequence[Outcome]) -> None:
    """Between the two, its close() was awaited. Raises Stop when it can't go on after that."""
    ledger = trial.ledger
    for what in trial.caller.closing:
        ledger.breach("closes", what)
    for probe, one, other in zip(probes, first, again, strict=True):
        if one.fault is None and other.fault is not None and is_async(getattr(instance, "close", None)):
            raise ledger.stop("closes", f"{probe.label}, asked again after close(): {other.fault}")


def _answered(trial: Trial, instance: Any, probes: Sequence[Probe], outcomes: Sequence[Outcome]) -> None:
    """Judge every answer. Raises Stop when calls hang or the transport fails."""
    ledger = trial.ledger
    for clause in ("no-exceptions", "leaves-input", "transport"):
        ledger.tried(clause)
    slowest = max(outcome.seconds for outcome in outcomes)
    ledger.tried("in-time", f"slowest of {len(outcomes)} calls: {slowest:.2f} s")
    for probe, outcome in zip(probes, outcomes, strict=True):
        fault = outcome.fault
        if isinstance(fault, ComponentFault) and fault.kind == "timeout":
            raise ledger.stop("in-time", f"{probe.label}: {fault}")
        if isinstance(fault, ComponentFault):
            ledger.breach(broken_by(instance, fault), f"{probe.label}: {fault}")
        elif isinstance(fault, TransportExhausted):
            raise ledger.stop("transport", f"{probe.label}: {fault}")
        elif fault is not None:
            raise ledger.stop("transport", f"{probe.label}: {told(fault)}")
        elif outcome.made:
            trial.judge(probe, outcome.value)
        if outcome.changed:
            ledger.breach("leaves-input", f"{probe.label}: the call changed its arguments")


def broken_by(instance: Any, fault: ComponentFault) -> str:
    """The clause that a fault breaks. The answers of another process are judged there: they come as faults."""
    away = {"malformed": "valid-answer", "empty": "not-empty", "out_of_catalogue": "known-ids", "timeout": "in-time"}
    if not isinstance(instance, Elsewhere):
        return "in-time" if fault.kind == "timeout" else "no-exceptions"
    return "state-json" if "JSON-serialisable" in str(fault) else away.get(fault.kind, "no-exceptions")


def _company(trial: Trial, instance: Any, probes: Sequence[Probe], first: Sequence[Outcome]) -> None:
    """Other orders, other instances, batches of other composition, threads."""
    ledger, calls, method, caller = trial.ledger, [probe.arguments for probe in probes], trial.method, trial.caller
    order = list(range(len(calls)))
    random.Random(5).shuffle(order)
    _same(trial, "same-fresh", probes, first, caller.ask(fresh(trial), method, calls, order=order))
    for concurrency in (len(calls), 3):
        crowd = caller.ask(instance, method, calls, concurrency=concurrency, order=order)
        _same(trial, "same-in-company", probes, first, crowd)
    single = getattr(instance, method, None)
    if hasattr(instance, f"{method}_batch"):
        _batches(trial, instance, probes, first)
        ledger.skip("same-in-threads", "batches are sent one after the other")
    elif isinstance(instance, Elsewhere):
        ledger.skip("same-in-threads", "its own process decides how it is called")
    elif is_async(single):
        ledger.skip("same-in-threads", "async calls share one thread")
    elif getattr(instance, "serial", False):
        ledger.skip("same-in-threads", "it asks for one call at a time")
    elif single is not None:
        _same(trial, "same-in-threads", probes, first, caller.in_threads(single, method, calls))


def _batches(trial: Trial, instance: Any, probes: Sequence[Probe], first: Sequence[Outcome]) -> None:
    """The batch method itself: a run would hide a wrong number of results behind single calls."""
    limit = getattr(instance, "max_batch", None) or len(probes)
    rows = [n for n, outcome in enumerate(first) if outcome.fault is None][:limit]
    calls = [probes[n].arguments for n in rows]
    columns = [calls[0][1] if isinstance(calls[0][1], int) else [c[1] for c in calls]] if calls else []

    class Whole:
        """One call that makes a batch."""

    batch = getattr(instance, f"{trial.method}_batch")
    setattr(Whole, trial.method, staticmethod(batch))
    (outcome,) = trial.caller.ask(Whole(), trial.method, [([c[0] for c in calls], *columns)])
    if outcome.fault is not None:
        trial.ledger.breach("same-in-company", f"a batch of {len(calls)}: {outcome.fault}")
    elif not isinstance(outcome.value, (list, tuple)) or len(outcome.value) != len(calls):
        count = f"{len(outcome.value)} results" if isinstance(outcome.value, (list, tuple)) else shown(outcome.value)
        trial.ledger.breach("same-in-company", f"a batch of {len(calls)} gave {count}")


def _elsewhere(trial: Trial, probes: Sequence[Probe], first: Sequence[Outcome]) -> None:
    ledger = trial.ledger
    if trial.elsewhere is None:
        for clause in ("same-elsewhere", "reads-no-data"):
            ledger.skip(clause, "only tried for installed components")
        return
    ledger.tried("same-elsewhere")
    try:
        answer = trial.elsewhere()
    except RuntimeError as error:
        ledger.breach("same-elsewhere", str(error))
        return
    if answer.error:
        ledger.breach("same-elsewhere", f"in another process it failed: {answer.error}")
    for probe, outcome, there in zip(probes, first, answer.digests, strict=False):
        if digest(outcome) != there:
            ledger.breach("same-elsewhere", f"{probe.label}: another answer in another process")
    ledger.tried("reads-no-data")
    for file in answer.read:
        ledger.breach("reads-no-data", f"it opened {file}")


def _same(trial: Trial, clause: str, probes: Sequence[Probe], first: Sequence[Outcome], second: Sequence[Outcome]) -> bool:
    trial.ledger.tried(clause)
    for probe, one, other in zip(probes, first, second, strict=True):
        if one.made and other.made and digest(one) != digest(other):
            trial.ledger.breach(clause, f"{probe.label}: {_difference(one, other)}")
    return not trial.ledger.broken(clause)


def _dialogues(trial: Trial, instance: Any) -> None:
    """Whole dialogues: alone and interleaved, with the state as it is and through JSON, short and long."""
    ledger = trial.ledger

    def played(component: Any, turns: int = TURNS, **how: Any) -> list[DialogueRecord]:
        sides = (component, trial.partner) if trial.method == "recommend" else (trial.partner, component)
        return trial.caller.play(trial.world, *sides, turns=turns, k=trial.k, tried=trial.method, **how)

    ledger.tried("plays")
    changed: list[str] = []
    together = played(instance, concurrency=8, changed=changed)
    for record in together + played(instance, MANY_TURNS, only=[0, len(trial.world.scenarios) - 1]):
        for fault in record.faults:
            clause = "in-time" if fault.kind == "timeout" else "plays"
            ledger.breach(clause, f"scenario {record.scenario}, turn {fault.turn}: {fault.kind}: {fault.message}")
        trial.judge_record(record)
    if ledger.broken("in-time"):
        raise Stop
    for place in changed:
        ledger.breach("leaves-input", f"{place}: the call changed its arguments")
    ledger.tried("state-json")
    if ledger.broken("same-again"):
        return
    ledger.tried("no-memory")
    for position in (0, len(trial.world.scenarios) - 1):
        (alone,) = played(fresh(trial), only=[position])
        if alone != together[position]:
            ledger.breach("no-memory", _record_difference(alone, together[position]))
    for one, other in zip(together, played(instance, concurrency=8, through_json=True), strict=True):
        if one != other and not ledger.broken("no-memory"):
            ledger.breach("state-json", _record_difference(one, other))


def _record_difference(one: DialogueRecord, other: DialogueRecord) -> str:
    where = f"scenario {one.scenario}"
    for number, (left, right) in enumerate(zip(one.turns, other.turns, strict=False), start=1):
        if left != right:
            names = [n for n in left.__struct_fields__ if getattr(left, n) != getattr(right, n)]
            values = f"{shown(getattr(left, names[0]))} became {shown(getattr(right, names[0]))}"
            return f"{where}, turn {number}: {names[0]} {values}"
    fault = other.faults[-1].message if other.faults else ""
    return f"{where}: it ended with {one.stop}, then with {other.stop} {fault}".rstrip()


def _difference(one: Outcome, other: Outcome) -> str:
    if one.fault is not None or other.fault is not None or type(one.value) is not type(other.value):
        return f"{shown(digest(one))}, then {shown(digest(other))}"
    for name in one.value.__struct_fields__:
        left, right = getattr(one.value, name), getattr(other.value, name)
        if name not in ("usage", "scores") and snapshot(left) != snapshot(right):
            return f"{name} was {shown(left)}, then {shown(right)}"
    return "the answers differ"
