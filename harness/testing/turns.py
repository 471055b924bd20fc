"""What recommenders and simulators have in common: prepared once, called for many dialogues, without memory or chance."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from harness.api import DialogueRecord
from harness.batching import is_async
from harness.errors import ComponentFault, HarnessError, TransportExhausted, described
from harness.testing.calls import Caller, Method, Outcome, snapshot, watched_generators
from harness.testing.clauses import Ledger, shown
from harness.testing.probes import Probe
from harness.testing.turnclauses import MANY_TURNS
from harness.testing.world import World

TURNS = 5


class Trial(msgspec.Struct):
    """One component under examination. `make` gives a new instance; `judge` looks at the value of a call, `judge_record` at a
    played dialogue; `elsewhere` gives the outputs of the same calls in another process."""

    ledger: Ledger
    method: Method
    make: Callable[[], Any]
    setup: Callable[[Sequence[Any]], Any]
    """Training dialogues -> what `prepare` is handed."""
    world: World
    k: int
    caller: Caller
    partner: object
    """The other side of whole dialogues."""
    probes: Callable[[Any], list[Probe]]
    judge: Callable[[Probe, Any], None]
    judge_record: Callable[[DialogueRecord], None]
    declare: Callable[[Any], None] = lambda instance: None
    elsewhere: Callable[[], list[str]] | None = None


def examine(trial: Trial) -> Any:
    """Try everything and return the instance that was tried; raises Stop when nothing more can be tried."""
    ledger = trial.ledger
    instance = _make(trial)
    _declares(trial, instance)
    before = snapshot((list(trial.world.catalogue), list(trial.world.training)))
    _prepare(trial, instance)
    _untrained(trial)
    probes = trial.probes(instance)
    calls = [probe.arguments for probe in probes]
    with watched_generators() as used:
        first = trial.caller.ask(instance, trial.method, calls)
    _answered(trial, probes, first)
    ledger.tried("no-global-random")
    for name in used:
        ledger.breach("no-global-random", f"a call changed the state of the global generator {name}")
    again = trial.caller.ask(instance, trial.method, calls)
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


def _make(trial: Trial) -> Any:
    trial.ledger.tried("made")
    try:
        return trial.make()
    except (Exception, SystemExit) as error:
        raise trial.ledger.stop("made", told(error)) from error


def _declares(trial: Trial, instance: Any) -> None:
    ledger, method = trial.ledger, trial.method
    single, batch = getattr(instance, method, None), getattr(instance, f"{method}_batch", None)
    form = "in batches" if batch is not None else "asynchronously" if is_async(single) else "from several threads"
    if batch is None and getattr(instance, "serial", False):
        form = "one call at a time"
    ledger.tried("declares", f"called {form}")
    trial.declare(instance)
    if not callable(single if batch is None else batch):
        raise ledger.stop("declares", f"it has neither {method}() nor {method}_batch()")
    serial, maximum = getattr(instance, "serial", False), getattr(instance, "max_batch", None)
    if not isinstance(serial, bool):
        ledger.breach("declares", f"serial is {shown(serial)}")
    if maximum is not None and (not isinstance(maximum, int) or maximum < 1):
        raise ledger.stop("declares", f"max_batch is {shown(maximum)}")
    prepare = getattr(instance, "prepare", None)
    if prepare is None:
        ledger.breach("declares", "it has no prepare()")
    elif is_async(prepare):
        raise ledger.stop("declares", "prepare() is async")
    revision = getattr(instance, "revision", None)
    if callable(revision):
        _revision(ledger, revision)


def _revision(ledger: Ledger, revision: Callable[[], Any]) -> None:
    try:
        first, second = revision(), revision()
        msgspec.json.encode(first)
    except HarnessError:  # what it needs isn't there: prepare() will tell
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("declares", f"revision() must give JSON data: {told(error)}")
        return
    if first != second:
        ledger.breach("declares", f"revision() gave {shown(first)}, then {shown(second)}: no run could be resumed")


def _prepare(trial: Trial, instance: Any) -> None:
    trial.ledger.tried("prepares")
    if hasattr(instance, "prepare"):
        try:
            if inspect.isawaitable(instance.prepare(trial.setup(tuple(trial.world.training)))):
                raise TypeError("prepare() must be a plain method, not async")
        except (Exception, SystemExit) as error:
            raise trial.ledger.stop("prepares", f"on {trial.world.name}: {told(error)}") from error


def _fresh(trial: Trial) -> Any:
    instance = _make(trial)
    _prepare(trial, instance)
    return instance


def _untrained(trial: Trial) -> None:
    ledger = trial.ledger
    ledger.tried("prepares-untrained")
    instance = _make(trial)
    if not hasattr(instance, "prepare"):
        return
    try:
        instance.prepare(trial.setup(()))
    except HarnessError as error:
        ledger.tried("prepares-untrained", f"it says why not: {told(error)}")
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("prepares-untrained", f"prepare() raised {told(error)}")
        return
    probe = trial.probes(instance)[0]
    (outcome,) = trial.caller.ask(instance, trial.method, [probe.arguments])
    if isinstance(outcome.fault, ComponentFault):
        ledger.breach("prepares-untrained", f"prepare() worked, but {probe.label}: {outcome.fault}")


def _answered(trial: Trial, probes: Sequence[Probe], outcomes: Sequence[Outcome]) -> None:
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
            ledger.breach("no-exceptions", f"{probe.label}: {fault}")
        elif isinstance(fault, TransportExhausted):
            raise ledger.stop("transport", f"{probe.label}: {fault}")
        elif fault is not None:
            raise ledger.stop("transport", f"{probe.label}: {told(fault)}")
        elif outcome.made:
            trial.judge(probe, outcome.value)
        if outcome.changed:
            ledger.breach("leaves-input", f"{probe.label}: the call changed its arguments")


def _company(trial: Trial, instance: Any, probes: Sequence[Probe], first: Sequence[Outcome]) -> None:
    """Other orders, other instances, batches of other composition, threads."""
    ledger, calls, method, caller = trial.ledger, [probe.arguments for probe in probes], trial.method, trial.caller
    order = list(range(len(calls)))
    random.Random(5).shuffle(order)
    _same(trial, "same-fresh", probes, first, caller.ask(_fresh(trial), method, calls, order=order))
    for concurrency in (len(calls), 3):
        crowd = caller.ask(instance, method, calls, concurrency=concurrency, order=order)
        _same(trial, "same-in-company", probes, first, crowd)
    single = getattr(instance, method, None)
    if hasattr(instance, f"{method}_batch"):
        _batches(trial, instance, probes, first)
        ledger.skip("same-in-threads", "batches are sent one after the other")
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
        ledger.skip("same-elsewhere", "only tried for installed components")
        return
    ledger.tried("same-elsewhere")
    try:
        answers = trial.elsewhere()
    except RuntimeError as error:
        ledger.breach("same-elsewhere", str(error))
        return
    for probe, outcome, answer in zip(probes, first, answers, strict=False):
        if digest(outcome) != answer:
            ledger.breach("same-elsewhere", f"{probe.label}: another answer in another process")


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
            ledger.breach("plays", f"scenario {record.scenario}, turn {fault.turn}: {fault.kind}: {fault.message}")
        trial.judge_record(record)
    for place in changed:
        ledger.breach("leaves-input", f"{place}: the call changed its arguments")
    ledger.tried("state-json")
    if ledger.broken("same-again"):
        return
    ledger.tried("no-memory")
    for position in (0, len(trial.world.scenarios) - 1):
        (alone,) = played(_fresh(trial), only=[position])
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


def digest(outcome: Outcome) -> str:
    """What has to be the same about two equal calls: everything but costs and scores, whose last bits may differ."""
    if outcome.fault is not None:
        return f"{type(outcome.fault).__name__}: {outcome.fault}"
    value = outcome.value
    if isinstance(value, msgspec.Struct):
        parts = {n: getattr(value, n) for n in value.__struct_fields__ if n not in ("usage", "scores")}
        return snapshot(parts).decode("utf-8", "replace")
    return shown(value)


def _difference(one: Outcome, other: Outcome) -> str:
    if one.fault is not None or other.fault is not None or type(one.value) is not type(other.value):
        return f"{shown(digest(one))}, then {shown(digest(other))}"
    for name in one.value.__struct_fields__:
        left, right = getattr(one.value, name), getattr(other.value, name)
        if name not in ("usage", "scores") and snapshot(left) != snapshot(right):
            return f"{name} was {shown(left)}, then {shown(right)}"
    return "the answers differ"


def told(error: BaseException) -> str:
    """An exception in a finding."""
    text = described(error, 300)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
