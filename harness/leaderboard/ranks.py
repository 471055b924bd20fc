"""Dialogues without their texts: where each target stood in each list. Enough for every ranking and interaction metric.

What is scored from such rows are records whose lists hold stand-ins: a target by its number, anything else by its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from harness.api import AttemptRecord, DialogueRecord, TurnRecord, Usage
from harness.leaderboard.types import RankFault, RankRow, RankTurn, Tokens
from harness.views import target_ranks


def rank_row(record: DialogueRecord) -> RankRow:
    """The row of a dialogue."""
    targets = tuple(dict.fromkeys(record.targets))
    return RankRow(
        scenario=record.scenario,
        source=record.source,
        trial=record.trial,
        stop=record.stop,
        targets=len(targets),
        turns=[
            RankTurn(
                ranks=list(target_ranks(turn.items, targets)),
                length=len(turn.items),
                leak=bool(turn.leaks),
                injection=turn.injection,
                user_injection=turn.user_injection,
                recommender_usage=Tokens.of(turn.recommender_usage),
                simulator_usage=Tokens.of(turn.simulator_usage),
            )
            for turn in record.turns
        ],
        faults=[
            RankFault(
                blame=fault.blame, kind=fault.kind, attempt=fault.attempt, turn=fault.turn, role=fault.role,
                usage=Tokens.of(fault.usage),
            )
            for fault in record.faults
        ],
        seconds={role: spent for role, spent in record.seconds.items() if role in ("recommender", "simulator")},  # type: ignore[misc]
    )  # fmt: skip


def record_of(row: RankRow) -> DialogueRecord:
    """A record that scores as the row's dialogue does."""
    targets = tuple(f"target {number}" for number in range(row.targets))
    return DialogueRecord(
        scenario=row.scenario,
        source=row.source,
        trial=row.trial,
        stop=row.stop,
        targets=targets,
        turns=tuple(_turn(turn, targets) for turn in row.turns),
        faults=tuple(
            AttemptRecord(fault.blame, fault.kind, "", fault.attempt, fault.turn, fault.role, _usage(fault.usage))
            for fault in row.faults
        ),
        seconds={str(role): spent for role, spent in row.seconds.items()},
    )


def _turn(turn: RankTurn, targets: tuple[str, ...]) -> TurnRecord:
    items = [f"place {place}" for place in range(turn.length)]
    for target, rank in zip(targets, turn.ranks, strict=True):
        if rank:
            items[rank - 1] = target
    return TurnRecord(
        items=tuple(items),
        leaks=("a target",) if turn.leak else (),
        injection=turn.injection,
        user_injection=turn.user_injection,
        recommender_usage=_usage(turn.recommender_usage),
        simulator_usage=_usage(turn.simulator_usage),
    )


def _usage(tokens: Tokens | None) -> Usage | None:
    return None if tokens is None else Usage(**msgspec.structs.asdict(tokens))


def in_order(records: Iterable[DialogueRecord]) -> list[DialogueRecord]:
    """By scenario and trial, as a submission holds them: whatever order they were played in."""
    return sorted(records, key=lambda record: (record.scenario, record.trial))


def transcripts_hash(records: Iterable[DialogueRecord]) -> str:
    """SHA-256 of dialogues in order, without their seconds: the one part that may differ between two equal runs."""
    digest = hashlib.sha256()
    encode = msgspec.json.Encoder(order="deterministic").encode
    for record in records:
        digest.update(encode(msgspec.structs.replace(record, seconds={})) + b"\n")
    return digest.hexdigest()


def scenario_hash(scenarios: Iterable[tuple[str, str, int]]) -> str:
    """SHA-256 of the scenarios that were played: (id, source, number of targets), each once."""
    return hashlib.sha256(msgspec.json.encode(sorted(set(scenarios)))).hexdigest()


def scenarios_of(records: Iterable[DialogueRecord]) -> Iterator[tuple[str, str, int]]:
    """What `scenario_hash` is about."""
    return ((record.scenario, record.source, len(set(record.targets))) for record in records)
