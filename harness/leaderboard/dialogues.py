"""Is a recorded dialogue one that this protocol can produce? Whatever can be told from the record alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.api import DialogueRecord, TurnRecord, Usage
from harness.config import RunConfig
from harness.leaderboard.types import MAX_COUNT, MAX_SECONDS, MAX_TARGETS, RankRow

MAX_DROPPED = 100_000
"""Items beyond K that a recommender may give."""
Found = Iterator[tuple[str, str]]
"""(field, what is wrong)"""


def check_record(record: DialogueRecord, config: RunConfig) -> Found:
    """A dialogue with its texts."""
    yield from _frame(record, config)
    shown: set[str] = set()
    for number, turn in enumerate(record.turns):
        place = f"turns[{number}]"
        yield from ((f"{place}.{field}", text) for field, text in _turn(turn, config))
        shown.update(turn.items)
        for field in ("accepted", "rejected"):
            if strangers := [item for item in getattr(turn, field) if item not in shown]:
                yield f"{place}.{field}", f"{strangers[0]!r} was not shown in this dialogue"
    for number, fault in enumerate(record.faults):
        yield from ((f"faults[{number}].usage.{field}", text) for field, text in _usage(fault.usage))
        if not 0 <= fault.turn <= config.turns:
            yield f"faults[{number}].turn", f"the run has {config.turns} turns"
    for role, spent in record.seconds.items():
        if role not in ("recommender", "simulator") or not 0 <= spent <= MAX_SECONDS:
            yield f"seconds.{role}", "must be seconds of the recommender or the simulator"


def check_row(row: RankRow, config: RunConfig) -> Found:
    """A dialogue as ranks."""
    for number, turn in enumerate(row.turns):
        place = f"turns[{number}]"
        placed = [rank for rank in turn.ranks if rank]
        if turn.length > config.k:
            yield f"{place}.length", f"a list has at most {config.k} items here"
        if len(turn.ranks) != row.targets:
            yield f"{place}.ranks", f"there are {row.targets} targets"
        if len(set(placed)) != len(placed):
            yield f"{place}.ranks", "two targets can't stand at one place"
        if placed and max(placed) > turn.length:
            yield f"{place}.ranks", f"the list has {turn.length} items"


def check_end(record: DialogueRecord, config: RunConfig, *, texts: bool) -> Found:
    """Turns and stop reason must fit. `texts`: the record holds actions too."""
    turns, stop = record.turns, record.stop
    if len(turns) > config.turns:
        yield "turns", f"{len(turns)} turns, but the run has at most {config.turns}"
    if stop in ("transport", "cancelled"):
        yield "stop", f"is {stop}: an incomplete dialogue can't be submitted; resume the run"
    if stop == "max_turns" and len(turns) != config.turns:
        yield "stop", f"is max_turns after {len(turns)} of {config.turns} turns"
    blamed = [fault.blame for fault in record.faults]
    for reason in ("recommender", "simulator"):
        if stop == f"{reason}_fault" and reason not in blamed:
            yield "stop", f"is {stop}, but no fault of the {reason} is recorded"
    if stop != "recommender_fault" and "recommender" in blamed:
        yield "stop", f"is {stop}, but a recommender's fault ends a dialogue as recommender_fault"
    if stop == "simulator_fault" and blamed.count("simulator") <= config.simulator_retries:
        yield "faults", f"a simulator's fault ends a dialogue only after {config.simulator_retries} retries"
    if stop in ("accepted", "quit", "leak", "simulator_fault") and not turns:
        yield "turns", f"a dialogue can't end as {stop} before its first turn"
    if config.simulator is None and stop in ("accepted", "quit", "leak", "simulator_fault") and not config.stop_on_success:
        yield "stop", f"is {stop}, but this run has no simulator"
    if texts and turns:
        yield from _actions(record, config)


def _actions(record: DialogueRecord, config: RunConfig) -> Found:
    turns, stop = record.turns, record.stop
    for number, turn in enumerate(turns[:-1]):
        if turn.action != "continue":
            yield f"turns[{number}].action", f"is {turn.action}, but the dialogue goes on"
    expected = {"accepted": "accept", "quit": "quit"}.get(stop)
    success = config.stop_on_success and set(turns[-1].items[: config.success_k]) & set(record.targets)
    if expected is not None and turns[-1].action != expected and not (stop == "accepted" and success):
        yield "stop", f"is {stop}, but the last action is {turns[-1].action}"
    if stop in ("max_turns", "recommender_fault") and turns[-1].action in ("accept", "quit"):
        yield "stop", f"is {stop}, but the last action is {turns[-1].action}"


def _frame(record: DialogueRecord, config: RunConfig) -> Found:
    if not 0 <= record.trial < config.trials:
        yield "trial", f"is {record.trial}; the run has {config.trials} trial(s), counted from 0"
    if not 1 <= len(record.targets) <= MAX_TARGETS or len(set(record.targets)) != len(record.targets):
        yield "targets", "must be at least one, each once"


def _turn(turn: TurnRecord, config: RunConfig) -> Found:
    if len(turn.items) > config.k:
        yield "items", f"{len(turn.items)} items, but a list has at most {config.k} here"
    for field, most in (("text", 1), ("user_text", 1), ("reasoning", 10)):
        if len(getattr(turn, field) or "") > most * config.max_text:
            yield field, f"is longer than the {most * config.max_text:,} characters that a run allows"
    if not 0 <= turn.dropped <= MAX_DROPPED:
        yield "dropped", f"must be from 0 to {MAX_DROPPED:,}"
    if turn.repeated != len(turn.items) - len(set(turn.items)):
        yield "repeated", f"is {turn.repeated}, the list repeats {len(turn.items) - len(set(turn.items))} ids"
    for field in ("recommender_usage", "simulator_usage"):
        yield from ((f"{field}.{name}", text) for name, text in _usage(getattr(turn, field)))


def _usage(usage: Usage | None) -> Found:
    for name in ("calls", "prompt_tokens", "completion_tokens", "cost", "cache_hits"):
        if usage is not None and not (math.isfinite(value := getattr(usage, name)) and 0 <= value <= MAX_COUNT):
            yield name, "must be a number from 0 to 10^12"
