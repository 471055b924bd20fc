"""The information barrier: the same conversations are played twice, with other needs behind them. Whoever answers differently
has seen what nobody handed over, however it came by it."""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator

from harness.api import KnowledgeLevel, Message, Need, Scenario
from harness.testing.clauses import Ledger, Stop, shown
from harness.testing.probes import Lister, Seeker
from harness.testing.trials import Trial, fresh
from harness.testing.world import World

CASES = 8
TURNS = 3
# What a simulator's answer is made of, and a recommender's.
_FIELDS = {"recommend": ("text", "items", "reasoning"), "reply": ("user_text", "action", "accepted", "rejected", "statements")}

Answers = list[list[tuple[object, ...]]]


@contextlib.contextmanager
def examining(ledger: Ledger) -> Iterator[None]:
    """Ends when nothing more can be tried. Whoever walks the interpreter's objects may hold a half-built one, which CPython
    answers with a SystemError wherever that is being built: no component that keeps to its arguments sees one."""
    try:
        yield
    except Stop:
        pass
    except SystemError as error:
        ledger.breach("barrier", f"objects of the interpreter broke while it was called, as they do under a walk: {error}")


def check_barrier(trial: Trial, level: KnowledgeLevel = "label_free") -> None:
    """`level` is what a simulator under test may see; a recommender may see nothing."""
    ledger = trial.ledger
    if level == "target_aware":
        ledger.skip("barrier", "it is told the targets")
        return
    if ledger.broken("same-again", "same-fresh"):
        ledger.skip("barrier", "its answers differ anyway")
        return
    ledger.tried("barrier")
    first, second = (_answers(trial, level, number) for number in (1, 2))
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        for turn, (left, right) in enumerate(zip(one, other, strict=False), start=1):
            if left != right:
                field = next(n for n, name in enumerate(_FIELDS[trial.method]) if left[n] != right[n])
                name, values = _FIELDS[trial.method][field], f"{shown(left[field])} became {shown(right[field])}"
                ledger.breach("barrier", f"conversation {number}, turn {turn}: with another need behind it {name} {values}")
                break


def _answers(trial: Trial, level: KnowledgeLevel, number: int) -> Answers:
    """What a new instance answers. The needs are made before it is prepared and are gone afterwards: of two worlds that are
    there at once, a prying component might find the same one twice. One dialogue at a time: only the needs may differ."""
    gc.collect()
    hidden = World("hidden", trial.world.catalogue, trial.world.training, list(_scenarios(trial.world, level, number)))
    instance = fresh(trial)
    # Neither partner may know the needs: one that shows or names a target would tell of it.
    blind = World("blind", trial.world.catalogue, trial.world.training, ())
    sides = (instance, Seeker(blind, titles=False)) if trial.method == "recommend" else (Lister(blind), instance)
    records = trial.caller.play(hidden, *sides, turns=TURNS, k=trial.k, leak_policy="keep")
    return [[tuple(getattr(turn, name) for name in _FIELDS[trial.method]) for turn in r.turns] for r in records]


def _scenarios(world: World, level: KnowledgeLevel, number: int) -> Iterator[Scenario]:
    """Contexts that stand nowhere else, so that nobody can take another world's scenario for one of these."""
    ids = world.catalogue.ids
    for case in range(CASES):
        draw = random.Random(f"{number}:{case}")
        known = ids[case % len(ids)]  # in any profile: what may be seen must be the same in both
        targets = tuple(draw.sample([i for i in ids if i != known] or list(ids), 1))
        liked = known if level == "profile" else draw.choice(ids)
        item = world.catalogue.get(liked)
        need = Need(targets, liked_items=(liked,), liked_attributes={} if item is None else dict(item.attributes))
        context = (Message("seeker", f"Good evening. I am number {case} in the queue."),)
        yield Scenario(f"hidden-{case}", f"hidden-{case}", context, need)
