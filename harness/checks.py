"""What a component returned, looked at before anybody uses it: garbage becomes a fault of its role, never a crash."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from harness.api import Action, Catalogue, Feedback, Recommendation, Statement, Usage
from harness.errors import ComponentFault

MAX_ID = 256
"""Characters of an item id; anything longer is garbage."""
ACTIONS: Mapping[str, Action] = MappingProxyType({"continue": "continue", "accept": "accept", "quit": "quit"})
MAX_CANDIDATES = 100
"""Retrieved ids that are recorded per turn; what stands behind them is cut off."""
MAX_COUNT = 2**53
"""Calls, tokens and money of one turn stay below what every JSON reader holds exactly."""


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
    text = _text(raw.text, "text", max_text)
    reasoning = None if raw.reasoning is None else _text(raw.reasoning, "reasoning", 10 * max_text)
    given = _sequence(raw.items, "items")
    if raw.scores is not None:
        _scores(raw.scores, len(given))
    usage = _usage(raw.usage)
    candidates = None if raw.candidates is None else _candidates(raw.candidates, catalogue)
    if not given and not text.strip():
        raise ComponentFault("empty", "recommend returned neither text nor items")
    items = tuple(_id(item) for item in given[:k])
    unknown = sum(catalogue.get(item) is None for item in items)
    return CheckedList(
        Recommendation(items, text, reasoning, None, raw.state, usage, candidates),
        unknown=unknown,
        repeated=len(items) - len(set(items)),
        dropped=len(given) - len(items),
    )


def check_feedback(raw: Any, shown_now: tuple[str, ...], shown: Iterable[str], max_text: int) -> Feedback:
    """Raises ComponentFault "malformed" or "empty". `shown_now` are the ids of this turn's list, `shown` those of all turns."""
    if not isinstance(raw, Feedback):
        raise _malformed(f"reply returned {_kind(raw)}, not a harness.Feedback")
    text = _text(raw.text, "text", max_text)
    action = ACTIONS.get(raw.action) if isinstance(raw.action, str) else None
    if action is None:
        raise _malformed(f"action must be continue, accept or quit, not {_kind(raw.action)}")
    if action == "continue" and not text.strip():
        raise ComponentFault("empty", "reply returned no text")
    everything = set(shown)
    if action == "accept" and not everything:
        raise _malformed("accept, but nothing was recommended yet")
    accepted = _shown(raw.accepted, "accepted", everything) or (shown_now if action == "accept" else ())
    if raw.rejected is None:
        rejected = tuple(i for i in shown_now if i not in accepted)
    else:
        rejected = _shown(raw.rejected, "rejected", everything)
    statements = None
    if raw.statements is not None:
        statements = tuple(_statement(s, max_text) for s in _sequence(raw.statements, "statements"))
    return Feedback(text, action, accepted, rejected, statements, raw.state, _usage(raw.usage))


def spent(raw: Any) -> Usage | None:
    """The usage that an unusable answer reports, if that at least is usable."""
    usage = raw.usage if isinstance(raw, (Recommendation, Feedback)) else None
    try:
        _usage(usage)
    except ComponentFault:
        return None
    return usage if isinstance(usage, Usage) else None


def _malformed(message: str) -> ComponentFault:
    return ComponentFault("malformed", message)


def _kind(value: Any) -> str:
    shown = repr(value) if type(value) in (str, int, float, bool, type(None)) else ""
    return f"{type(value).__name__} {shown[:60]}".strip()


def plain(text: str) -> str:
    """Texts of other libraries' own string types (numpy's, an enumeration's) as plain ones, which any record can hold."""
    return str.__getitem__(text, slice(None)) if type(text) is not str else text


def _text(value: Any, name: str, limit: int) -> str:
    if not isinstance(value, str):
        raise _malformed(f"{name} must be a text, found {_kind(value)}")
    text = plain(value)
    if len(text) > limit:
        raise _malformed(f"{name} has {len(text):,} characters, the limit is {limit:,}; it starts {text[:80]!r}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _malformed(f"{name} holds characters that are not valid Unicode (a lone surrogate)") from None
    return text


def _sequence(value: Any, name: str) -> tuple[Any, ...] | list[Any]:
    if isinstance(value, (tuple, list)):
        return value
    raise _malformed(f"{name} must be a tuple or list, found {_kind(value)}")


def _id(value: Any) -> str:
    if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID:
        return value
    if not isinstance(value, str) or not value or len(value) > MAX_ID:
        raise _malformed(f"items must be catalogue ids (texts of 1 to {MAX_ID} characters), found {_kind(value)}")
    return _text(value, "items", MAX_ID)


def _candidates(value: Any, catalogue: Catalogue) -> tuple[str, ...]:
    """Known ids, each once. Nobody is shown them: an unknown one is left out, it costs no place."""
    known = (item for item in map(_id, _sequence(value, "candidates")) if catalogue.get(item) is not None)
    return tuple(itertools.islice(dict.fromkeys(known), MAX_CANDIDATES))


def _shown(value: Any, name: str, everything: set[str]) -> tuple[str, ...]:
    ids = _sequence(value, name)
    for item in ids:
        if not isinstance(item, str) or item not in everything:
            raise _malformed(f"{name} must be ids that were shown, found {_kind(item)}")
    return tuple(plain(item) for item in ids)


def _statement(value: Any, max_text: int) -> Statement:
    if not isinstance(value, Statement):
        raise _malformed(f"statements must be harness.Statement(facet, value, +1 or -1), found {_kind(value)}")
    if not _is_number(value.polarity, int) or value.polarity not in (1, -1):
        raise _malformed(f"a statement's polarity must be 1 or -1, found {_kind(value.polarity)}")
    facet, named = _text(value.facet, "a statement's facet", max_text), _text(value.value, "a statement's value", max_text)
    return Statement(facet, named, 1 if value.polarity > 0 else -1)


def _scores(scores: Any, count: int) -> None:
    scores = _sequence(scores, "scores")
    if len(scores) != count:
        raise _malformed(f"scores has {len(scores)} entries for {count} items")
    for score in scores:
        try:
            finite = math.isfinite(score)
        except Exception:  # noqa: BLE001  a stranger's number type may raise anything
            finite = False
        if not finite:
            raise _malformed(f"scores must be finite numbers, found {_kind(score)}")


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    if not isinstance(usage, Usage):
        raise _malformed(f"usage must be a harness.Usage, found {_kind(usage)}")
    for name in usage.__struct_fields__:
        value, kind = getattr(usage, name), float if name == "cost" else int
        if not _is_number(value, kind) or not 0 <= value < MAX_COUNT:
            raise _malformed(f"usage.{name} must be a plain {kind.__name__} of at least 0, found {_kind(value)}")
    return usage


def _is_number(value: Any, kind: type) -> bool:
    """Exactly the type that a record can hold: no bool, no NaN, no number type of another library."""
    return type(value) is int or (kind is float and type(value) is float)
