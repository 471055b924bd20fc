"""What a component returned, looked at before anybody uses it: garbage becomes a fault of its role, never a crash."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from harness.api import Catalogue, Feedback, Recommendation, Statement, Usage
from harness.errors import ComponentFault

MAX_ID = 256
"""Characters of an item id; anything longer is garbage."""


class CheckedList(msgspec.Struct, frozen=True):
    """A usable recommendation: at most k ids, and how many of them are unknown, repeated, or were cut off beyond k."""

    recommendation: Recommendation
    unknown: int = 0
    repeated: int = 0
    dropped: int = 0


def check_recommendation(raw: Any, catalogue: Catalogue, k: int, max_text: int) -> CheckedList:
    """Raises ComponentFault "malformed" or "empty". Unknown and repeated ids keep their places (they count as misses); a list
    without any known id is "out_of_catalogue", which the dialogue decides because it records the list."""
    if not isinstance(raw, Recommendation):
        raise _malformed(f"recommend returned {_kind(raw)}, not a harness.Recommendation")
    _text(raw.text, "text", max_text)
    if raw.reasoning is not None:
        _text(raw.reasoning, "reasoning", 10 * max_text)
    given = _ids(raw.items, "items")
    if raw.scores is not None:
        _scores(raw.scores, len(given))
    _usage(raw.usage)
    if not given:
        if not raw.text.strip():
            raise ComponentFault("empty", "recommend returned neither text nor items")
        return CheckedList(raw)
    items = tuple(given[:k])
    for item in items:
        if not isinstance(item, str) or not item or len(item) > MAX_ID:
            raise _malformed(f"items must be catalogue ids (texts of 1 to {MAX_ID} characters), found {_kind(item)}")
    _encodable(items, "items")
    unknown = sum(1 for item in items if item not in catalogue)
    repeated = len(items) - len(set(items))
    if items is not raw.items:
        raw = msgspec.structs.replace(raw, items=items)
    return CheckedList(raw, unknown, repeated, len(given) - len(items))


def check_feedback(raw: Any, shown_now: tuple[str, ...], shown: Iterable[str], max_text: int) -> Feedback:
    """Raises ComponentFault "malformed" or "empty". `shown_now` are the ids of this turn's list, `shown` those of all turns."""
    if not isinstance(raw, Feedback):
        raise _malformed(f"reply returned {_kind(raw)}, not a harness.Feedback")
    _text(raw.text, "text", max_text)
    if raw.action not in ("continue", "accept", "quit"):
        raise _malformed(f"action must be continue, accept or quit, not {_kind(raw.action)}")
    if raw.action == "continue" and not raw.text.strip():
        raise ComponentFault("empty", "reply returned no text")
    everything = set(shown)
    for name, ids in (("accepted", raw.accepted), ("rejected", raw.rejected)):
        for item in _ids(ids, name) if ids is not None else ():
            if not isinstance(item, str) or item not in everything:
                raise _malformed(f"{name} must be ids that were shown, found {_kind(item)}")
    if raw.action == "accept" and not everything:
        raise _malformed("accept, but nothing was recommended yet")
    if raw.statements is not None:
        for statement in _ids(raw.statements, "statements"):
            if not (
                isinstance(statement, Statement)
                and isinstance(statement.facet, str)
                and isinstance(statement.value, str)
                and statement.polarity in (1, -1)
            ):
                raise _malformed("statements must be harness.Statement(facet, value, +1 or -1)")
            _text(statement.facet + statement.value, "statements", max_text)
    _usage(raw.usage)
    accepted = tuple(raw.accepted) or (shown_now if raw.action == "accept" else ())
    rejected = raw.rejected
    if rejected is None:
        rejected = shown_now if raw.action == "continue" else tuple(i for i in shown_now if i not in accepted)
    statements = None if raw.statements is None else tuple(raw.statements)
    return msgspec.structs.replace(raw, accepted=accepted, rejected=tuple(rejected), statements=statements)


def _malformed(message: str) -> ComponentFault:
    return ComponentFault("malformed", message)


def _kind(value: Any) -> str:
    shown = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else ""
    return f"{type(value).__name__} {shown[:60]}".strip()


def _text(value: Any, name: str, limit: int) -> None:
    if not isinstance(value, str):
        raise _malformed(f"{name} must be a text, found {_kind(value)}")
    if len(value) > limit:
        raise _malformed(f"{name} has {len(value):,} characters, the limit is {limit:,}; it starts {value[:80]!r}")
    _encodable((value,), name)


def _encodable(texts: Iterable[str], name: str) -> None:
    for text in texts:
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise _malformed(f"{name} holds characters that are not valid Unicode (a lone surrogate)") from None


def _ids(value: Any, name: str) -> tuple[Any, ...] | list[Any]:
    if isinstance(value, (tuple, list)):
        return value
    raise _malformed(f"{name} must be a tuple or list, found {_kind(value)}")


def _scores(scores: Any, count: int) -> None:
    scores = _ids(scores, "scores")
    if len(scores) != count:
        raise _malformed(f"scores has {len(scores)} entries for {count} items")
    for score in scores:
        try:
            finite = math.isfinite(score)
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite:
            raise _malformed(f"scores must be finite numbers, found {_kind(score)}")


def _usage(usage: Any) -> None:
    if usage is None:
        return
    if not isinstance(usage, Usage):
        raise _malformed(f"usage must be a harness.Usage, found {_kind(usage)}")
    for name in usage.__struct_fields__:
        value = getattr(usage, name)
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise _malformed(f"usage.{name} must be a finite number of at least 0, found {_kind(value)}")
