"""What a run is, read from its fingerprint's fields: configuration, board, and what its recommender was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from harness.api import PROTOCOL_VERSION
from harness.config import RunConfig, difference
from harness.errors import UsageError
from harness.leaderboard.types import MAX_K, MAX_TRIALS, MAX_TURNS

ROLES = ("recommender", "simulator", "dataset")
PARTS = ("name", "distribution", "version", "options", "revision", "llm", "knowledge")
"""What a fingerprint says of a component."""
OWN = ("seed", "trials")
"""What may differ between the submissions of a board beside the recommender: how often and with which seeds it was played."""
BY_HASH = ("dataset.options.", "dataset.version", "dataset.distribution")
"""What the data hash speaks for: how the same data are made or found may change."""
_NAME = re.compile(r"[\w.+-]{1,100}", re.ASCII)
_VERSION = re.compile(r"[\w.+!-]{1,100}", re.ASCII)


def config_from(fields: Mapping[str, Any]) -> RunConfig:
    """The configuration that a fingerprint's fields describe; paths, language models and transport are not in them.

    Raises UsageError, which begins with the field's name, for unknown or missing fields and for values out of bounds.
    """
    known = {field.name for field in msgspec.structs.fields(RunConfig)} - {*ROLES, "rec_llm", "sim_llm", "judge_llm"}
    known -= {"transport", "asking", "isolation"}
    plain = {name: value for name, value in fields.items() if "." not in name}
    for name in plain:
        if name not in known | {"protocol", "data_hash"}:
            raise UsageError(f"{name}: a fingerprint has no such field")
    for name in sorted(known | {"protocol", "data_hash"}):
        if name not in plain:
            raise UsageError(f"{name}: is missing")
    if plain.pop("protocol") != PROTOCOL_VERSION:
        raise UsageError(f"protocol: is {fields['protocol']!r}; these boards are of protocol {PROTOCOL_VERSION}")
    if not re.fullmatch("[0-9a-f]{64}", str(plain.pop("data_hash"))):
        raise UsageError("data_hash: is no SHA-256")
    for name in fields:
        role, _, rest = name.partition(".")
        if rest and (role not in ROLES or rest.partition(".")[0] not in PARTS):
            raise UsageError(f"{name}: a fingerprint has no such field")
    for name, most in (("turns", MAX_TURNS), ("k", MAX_K), ("success_k", MAX_K), ("trials", MAX_TRIALS)):
        if not isinstance(plain[name], int) or not 1 <= plain[name] <= most:
            raise UsageError(f"{name}: must be a whole number from 1 to {most}")
    try:
        return msgspec.convert(plain | {role: _choice(fields, role) for role in ROLES}, RunConfig)
    except (msgspec.ValidationError, UsageError) as error:
        message, _, path = str(error).partition(" - at ")
        raise UsageError(f"{path.strip('`$.') or 'fields'}: {message}") from None


def _choice(fields: Mapping[str, Any], role: str) -> dict[str, Any] | None:
    name = fields.get(f"{role}.name")
    if name is None and role == "simulator":
        return None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{role}.name: is no name of a component")
    for key in ("distribution", "version"):
        if not isinstance(value := fields.get(f"{role}.{key}"), str) or not _VERSION.fullmatch(value):
            raise UsageError(f"{role}.{key}: must be a name or version of a package")
    before = f"{role}.options."
    for key, value in fields.items():
        # Whoever checks a submission loads its data set: from the place that he says, never from one that a stranger says.
        if role == "dataset" and key.startswith(before) and (key == f"{before}path" or re.search(r"[/\\~]", str(value))):
            raise UsageError(f"{key}: may name no file or folder")
    return {"name": name, "options": {k.removeprefix(before): v for k, v in fields.items() if k.startswith(before)}}


def board_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that all submissions of a board share."""
    return {
        name: value for name, value in fields.items() if not name.startswith(("recommender.", *BY_HASH)) and name not in OWN
    }


def same_but_for(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str) -> list[str]:
    """Differences outside of the fields that begin with `prefix`."""
    first, second = ({k: v for k, v in each.items() if not k.startswith(prefix)} for each in (ours, theirs))
    return difference(first, second)


def board_name(config: RunConfig) -> str:
    """What a board of such runs is called: data set, variant, simulator, and what is unusual."""
    parts = [config.dataset.name, config.variant, config.simulator.name if config.simulator else "static"]
    parts += [config.split] if config.split != "test" else []
    parts += [config.preset] if config.preset not in ("smtpo", "static") else []
    parts += [f"first-{config.limit}"] if config.limit is not None else []
    return "-".join(part.replace("_", "-") for part in parts)


def trained(fields: Mapping[str, Any], what: str) -> list[str]:
    """Names under `what` ("trained_on", "trained_against") anywhere in the recommender's revision: its artefacts' own words."""
    return sorted(set(_found({k: v for k, v in fields.items() if k.startswith("recommender.")}, what)))


def _found(value: Any, what: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key.rpartition(".")[2] == what and isinstance(inner, list):
                yield from (name for name in inner if isinstance(name, str))
            else:
                yield from _found(inner, what)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, what)
