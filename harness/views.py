"""Recorded dialogues as metrics see them: ranks of the targets, turn by turn, up to the turn cap.

Which dialogues count is decided here too (protocol, section 3): a simulator's fault makes a dialogue *invalid*, a transport
failure or a cancellation leaves it *incomplete*; both are counted and neither is scored. A recommender's fault is a miss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from harness.api import DialogueRecord, DialogueView, Scenario, TurnRecord, TurnView
from harness.errors import DataError, UsageError

Status = Literal["valid", "invalid", "incomplete"]


def status(record: DialogueRecord) -> Status:
    """Whether a dialogue is scored (valid), void (invalid) or to be played again (incomplete)."""
    if not record.complete:
        return "incomplete"
    return "invalid" if record.stop == "simulator_fault" else "valid"


def fault_turn(record: DialogueRecord) -> int | None:
    """The 1-based turn at which the recommender failed and the dialogue ended; None when it didn't."""
    if record.stop != "recommender_fault":
        return None
    named = [fault.turn for fault in record.faults if fault.blame == "recommender" and fault.turn > 0]
    return named[-1] if named else len(record.turns) + 1


def views(
    records: Iterable[DialogueRecord], scenarios: Mapping[str, Scenario] | None, max_turns: int
) -> Iterator[DialogueView]:
    """The valid dialogues, one at a time. `scenarios` by id; None when only the records are at hand.

    Raises DataError for a record whose scenario is unknown or has other targets, UsageError for a turn cap above the one that
    was played.
    """
    for record in records:
        if status(record) == "valid":
            yield dialogue_view(record, find_scenario(record, scenarios), max_turns)


def find_scenario(record: DialogueRecord, scenarios: Mapping[str, Scenario] | None) -> Scenario | None:
    """The scenario that a record was played on. Raises DataError when it isn't there or isn't the same any more."""
    if scenarios is None:
        return None
    scenario = scenarios.get(record.scenario)
    if scenario is None:
        raise DataError(
            f"scenario {record.scenario!r} is in the records but not in the data set: score with the data set, split and "
            "variant that were played"
        )
    if set(scenario.need.targets) != set(record.targets):
        raise DataError(
            f"scenario {record.scenario!r}: the records say targets {sorted(record.targets)}, the data set "
            f"{sorted(scenario.need.targets)}: score with the data set and variant that were played"
        )
    return scenario


def dialogue_view(record: DialogueRecord, scenario: Scenario | None, max_turns: int) -> DialogueView:
    """`max_turns` turn views of one record.

    After accept, quit or a stop by the leak policy, the turns that were not played carry the list of the last played turn
    (an empty one too: the score does not change once the dialogue has ended). The turn of a recommender's fault and those
    after it have no list. Turns beyond `max_turns` are left out.
    """
    if record.stop == "max_turns" and len(record.turns) < max_turns:
        raise UsageError(
            f"scenario {record.scenario!r} was played with {len(record.turns)} turns at most: it cannot be scored at "
            f"{max_turns} turns"
        )
    targets = tuple(dict.fromkeys(record.targets))
    nothing: tuple[tuple[str, ...], tuple[int, ...]] = ((), (0,) * len(targets))
    failed = fault_turn(record)
    carried = nothing
    turns = []
    for turn in range(1, max_turns + 1):
        played: TurnRecord | None = record.turns[turn - 1] if turn <= len(record.turns) else None
        if failed is not None and turn >= failed:
            carried = nothing
        elif played is not None:
            carried = (played.items, target_ranks(played.items, targets))
        turns.append(TurnView(record, scenario, turn, carried[0], carried[1], played is not None, played))
    return DialogueView(record, scenario, tuple(turns))


def target_ranks(items: tuple[str, ...], targets: Sequence[str]) -> tuple[int, ...]:
    """1-based place of each target, 0 when absent. A repeated id counts where it stands first; unknown and repeated ids keep
    their places."""
    return tuple([items.index(target) + 1 if target in items else 0 for target in targets])
