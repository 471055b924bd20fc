"""One recommender or simulator under examination, and everything about it before it is called: made, declared, prepared."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from harness.api import DialogueRecord
from harness.batching import is_async
from harness.calls import Elsewhere
from harness.errors import ComponentFault, HarnessError, PluginError
from harness.models import more_models, own_model
from harness.testing.calls import Caller, Method, Outcome, snapshot
from harness.testing.clauses import Ledger, shown, told
from harness.testing.elsewhere import Answer
from harness.testing.probes import Probe
from harness.testing.world import World


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
    elsewhere: Callable[[], Answer] | None = None


def make(trial: Trial) -> Any:
    """A new instance. Raises Stop."""
    trial.ledger.tried("made")
    try:
        return trial.make()
    except (Exception, SystemExit) as error:
        raise trial.ledger.stop("made", told(error)) from error


def declares(trial: Trial, instance: Any) -> None:
    """Has it what it needs, and does it say what it must? Raises Stop without."""
    ledger, method = trial.ledger, trial.method
    if isinstance(instance, Elsewhere):  # what its class must declare was looked at where it is
        ledger.tried("declares", f"called {'in batches' if instance.batched else 'in its own process'}")
        trial.declare(instance)
        revision(trial, instance)
        return
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
    try:
        own_model(instance)
    except HarnessError:  # what it needs isn't there: prepare() will tell
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("declares", f"default_llm() must give a text or None: {told(error)}")
    try:
        more_models(instance)
    except HarnessError:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("declares", f"more_llms() must give names and models: {told(error)}")
    close = getattr(instance, "close", None)
    if close is None:
        ledger.skip("closes", "it has no close()")
    elif is_async(close) and is_async(single) and batch is None:
        ledger.tried("closes")
    else:
        plain = "close()" if not is_async(close) else f"{method}()"
        ledger.breach("closes", f"{plain} is not async: nobody calls close()", mild=True)
    revision(trial, instance)


def revision(trial: Trial, instance: Any) -> None:
    """What identifies it: twice, by another instance, and in another process."""
    ledger = trial.ledger
    own = getattr(instance, "revision", None)
    if not callable(own):
        ledger.skip("revision", "it has none")
        return
    ledger.tried("revision")
    try:
        first = own()
        msgspec.json.encode(first)
        found = [("called again", own()), ("asked of another instance", make(trial).revision())]
    except HarnessError:  # what it needs isn't there: prepare() will tell
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("revision", f"it is no JSON data: {told(error)}")
        return
    for what, second in found:
        if snapshot(first) != snapshot(second):
            ledger.breach("revision", f"it gave {shown(first)}, and {what} {shown(second)}")
    with contextlib.suppress(RuntimeError):  # why there is no answer is told where answers are compared
        other = None if trial.elsewhere is None else trial.elsewhere()
        if other is not None and not other.error and snapshot(first).decode() != other.revision:
            ledger.breach("revision", f"it gives {shown(first)} here and {shown(other.revision)} in another process")


def setup_of(instance: Any, setup: Any) -> Any:
    """What this instance is handed: the trial's one model stands for its further ones too."""
    return msgspec.structs.replace(setup, more_llms=dict.fromkeys(more_models(instance), setup.llm))


def prepare(trial: Trial, instance: Any) -> None:
    """With the world's training dialogues. Raises Stop."""
    trial.ledger.tried("prepares")
    if hasattr(instance, "prepare"):
        try:
            if inspect.isawaitable(instance.prepare(setup_of(instance, trial.setup(tuple(trial.world.training))))):
                raise TypeError("prepare() must be a plain method, not async")
        except (Exception, SystemExit) as error:
            raise trial.ledger.stop("prepares", f"on {trial.world.name}: {told(error)}") from error


def fresh(trial: Trial) -> Any:
    """Another instance, made and prepared. Raises Stop."""
    instance = make(trial)
    prepare(trial, instance)
    return instance


def untrained(trial: Trial) -> None:
    """Without any training dialogues."""
    ledger = trial.ledger
    ledger.tried("prepares-untrained")
    instance = make(trial)
    if not hasattr(instance, "prepare"):
        return
    try:
        instance.prepare(setup_of(instance, trial.setup(())))
    except HarnessError as error:
        if isinstance(instance, Elsewhere) and isinstance(error, PluginError):  # how whatever else it raised comes from there
            ledger.breach("prepares-untrained", f"prepare() raised {told(error)}")
        else:
            ledger.tried("prepares-untrained", f"it says why not: {told(error)}")
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
        ledger.breach("prepares-untrained", f"prepare() raised {told(error)}")
        return
    probe = trial.probes(instance)[0]
    (outcome,) = trial.caller.ask(instance, trial.method, [probe.arguments])
    if isinstance(outcome.fault, ComponentFault):
        ledger.breach("prepares-untrained", f"prepare() worked, but {probe.label}: {outcome.fault}")


def digest(outcome: Outcome) -> str:
    """What has to be the same about two equal calls: everything but costs and scores, whose last bits may differ."""
    if outcome.fault is not None:
        return f"{type(outcome.fault).__name__}: {outcome.fault}"
    value = outcome.value
    if isinstance(value, msgspec.Struct):
        parts = {n: getattr(value, n) for n in value.__struct_fields__ if n not in ("usage", "scores")}
        return snapshot(parts).decode("utf-8", "replace")
    return shown(value)
