"""From a data set's rows to what is played: variants, seeds, the data hash, and the knowledge that a simulator may see."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from harness.api import Knowledge, KnowledgeLevel, Need, Scenario, Split

VARIANTS = ("novel", "all")


def novel(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Remove targets that the context already mentions; drop scenarios left without targets (protocol, section 1)."""
    kept = []
    for scenario in scenarios:
        mentioned = {i for message in scenario.context for i in (*message.items, *message.ranked)}
        targets = tuple(t for t in scenario.need.targets if t not in mentioned)
        if len(targets) == len(scenario.need.targets):
            kept.append(scenario)
        elif targets:
            kept.append(msgspec.structs.replace(scenario, need=msgspec.structs.replace(scenario.need, targets=targets)))
    return kept


def derive_seed(run_seed: int, scenario: str, trial: int, role: str, attempt: int = 0) -> int:
    """seed(role) = hash(run seed, scenario id, trial, role): 63 bits, the same on every machine, reveals nothing of the id.

    A retried call adds its attempt number, so that a repeated try isn't recorded under the first one's seed.
    """
    material = "\x1f".join((str(run_seed), scenario, str(trial), role, str(attempt)))
    return int.from_bytes(hashlib.blake2b(material.encode(), digest_size=8).digest(), "big") >> 1


def cut_knowledge(need: Need, level: KnowledgeLevel) -> Knowledge:
    """Exactly what a simulator of that level is handed. The targets leave every item list unless it is target-aware."""
    if level == "label_free":
        return Knowledge()
    hidden = () if level == "target_aware" else set(need.targets)
    return Knowledge(
        level=level,
        liked_items=tuple(i for i in need.liked_items if i not in hidden),
        disliked_items=tuple(i for i in need.disliked_items if i not in hidden),
        seen_items=tuple(i for i in need.seen_items if i not in hidden),
        # Copies: what a simulator does to its own must not change the scenario.
        liked_attributes=dict(need.liked_attributes),
        disliked_attributes=dict(need.disliked_attributes),
        targets=need.targets if level == "target_aware" else (),
    )


def other_scenario(scenarios: Sequence[Scenario], position: int, seed: int) -> Scenario:
    """Another scenario for the `shuffled` control, from another source dialogue wherever there is one. Deterministic."""
    count = len(scenarios)
    start = derive_seed(seed, scenarios[position].id, 0, "shuffled") % count
    own = scenarios[position].source
    for step in range(count):
        candidate = scenarios[(start + step) % count]
        if candidate.source != own:
            return candidate
    return scenarios[(position + 1) % count]


def data_hash(split: Split, scenarios: Sequence[Scenario]) -> str:
    """SHA-256 over what is played and learned from: catalogue, training dialogues and the scenarios after their variant."""
    digest = hashlib.sha256()
    encode = msgspec.json.Encoder(order="deterministic").encode_into
    buffer = bytearray()
    for part in (split.catalogue, split.training, scenarios):
        for row in part:
            encode(row, buffer)
            digest.update(buffer)
            digest.update(b"\n")
        digest.update(b"\x00")
    return digest.hexdigest()
