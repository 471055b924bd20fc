"""Made-up records of dialogues for metrics: every way in which a dialogue goes and ends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.api import Action, AttemptRecord, DialogueRecord, Scenario, Statement, StopReason, TurnRecord, Usage
from harness.testing.world import World

TURNS = 5
K = 10
_USAGE = Usage(calls=1, prompt_tokens=120, completion_tokens=30, cost=0.0004)


class _Course(msgspec.Struct, frozen=True):
    """How a dialogue goes: turns played, the turn and place at which a target is shown (0: never), and what is odd about it."""

    stop: StopReason
    turns: int
    shown_at: int = 0
    place: int = 0
    lists: bool = True
    sound: bool = True
    """False: unknown and repeated ids, and ids beyond k."""
    leak: bool = False


_COURSES: Sequence[_Course] = (
    _Course("accepted", 1, 1, 1),
    _Course("accepted", 3, 3, 4),
    _Course("max_turns", 5),
    _Course("recommender_fault", 0),
    _Course("recommender_fault", 2),
    _Course("quit", 2),
    _Course("leak", 2, leak=True),
    _Course("max_turns", 5, lists=False),
    _Course("max_turns", 5, sound=False),
    _Course("max_turns", 5, 2, 2),
    _Course("max_turns", 5, 5, 10),
    _Course("accepted", 4, 4, 7),
)


def played(world: World, turns: int = TURNS, k: int = K) -> list[DialogueRecord]:
    """One record per scenario of the world, cut to `turns` turns and lists of k; the same for the same world."""
    return [
        _record(world, scenario, _COURSES[number % len(_COURSES)], turns, k) for number, scenario in enumerate(world.scenarios)
    ]


def best(world: World) -> DialogueRecord:
    """A target on top of the first list, and accepted."""
    return _record(world, world.scenarios[-1], _Course("accepted", 1, 1, 1), TURNS, K)


def worst(world: World) -> DialogueRecord:
    """The same scenario, no target in any turn."""
    return _record(world, world.scenarios[-1], _Course("max_turns", TURNS), TURNS, K)


def _record(world: World, scenario: Scenario, course: _Course, turns: int, k: int) -> DialogueRecord:
    count = min(course.turns, turns)
    stop = course.stop if course.turns <= turns else "max_turns"
    fault = AttemptRecord("recommender", "exception", "RuntimeError: no more films", turn=count + 1)
    return DialogueRecord(
        scenario=scenario.id,
        source=scenario.source,
        trial=0,
        stop=stop,
        targets=scenario.need.targets,
        turns=tuple(_turn(world, scenario, course, number, k) for number in range(1, count + 1)),
        faults=(fault,) if stop == "recommender_fault" else (),
        seconds={"recommender": 0.25 * (count + 1), "simulator": 0.5},
    )


def _turn(world: World, scenario: Scenario, course: _Course, number: int, k: int) -> TurnRecord:
    targets = scenario.need.targets
    others = [i for i in world.catalogue.ids if i not in targets]
    listed = [others[(number * 3 + n) % len(others)] for n in range(min(k, len(others)))] if course.lists else []
    if number == course.shown_at:
        listed[min(course.place, len(listed)) - 1] = targets[0]
    broken = not course.sound and len(listed) > 3
    if broken:
        listed[1], listed[3] = "no-such-item", listed[0]
    turn = TurnRecord(
        text="How about these? 🎬",
        items=tuple(listed),
        unknown=int(broken),
        repeated=int(broken),
        dropped=number if broken else 0,
        reasoning="they match" if number == 1 else None,
        injection=number == 4,
        recommender_usage=_USAGE,
    )
    if number == TURNS:  # the last list is not answered
        return turn
    shown = tuple(dict.fromkeys(i for i in listed if world.catalogue.get(i) is not None))
    ends: dict[str, Action] = {"accepted": "accept", "quit": "quit"}
    action: Action = ends.get(course.stop, "continue") if number == course.turns else "continue"
    said = next(iter(scenario.need.liked_attributes.items()), None)
    return msgspec.structs.replace(
        turn,
        user_text="No, I want drama, and no horror." if action == "continue" else "Fine.",
        action=action,
        accepted=shown[:1] if action == "accept" else (),
        rejected=shown if action == "continue" else (),
        # Every other answer comes without structured statements, as a language model's does.
        statements=(Statement(said[0], said[1][0], 1), Statement("genre", "musical", -1)) if said and number % 2 else None,
        user_items=shown[:1],
        leaks=targets[:1] if course.leak and number == course.turns else (),
        simulator_usage=_USAGE if number % 2 else None,
    )
