"""Keys out of every log line, error and record."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable

SHORTEST = 8
"""Shorter values of such variables are switches or placeholders ("1", "none"), and would black out ordinary words."""
HIDDEN = "[redacted]"

_VARIABLE = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)
_PATTERNS = re.compile(
    r"(?P<bearer>\bBearer\s+)[^\s\"',;]+"
    r"|\bsk-[A-Za-z0-9_\-*]{8,}"
    r"|\b(?:gsk_|xai-|nvapi-|hf_|ghp_|glpat-)[A-Za-z0-9_\-]{16,}"
    r"|(?P<scheme>\bhttps?://)[^/\s@]+@"
    r"|(?P<query>[?&](?:api[-_]?key|key|token|access_token)=)[^&\s\"']+",
    re.IGNORECASE,
)


def secrets(names: Iterable[str] = ()) -> tuple[str, ...]:
    """Values of the environment's key and token variables and of those named, longest first."""
    wanted = set(names)
    found = {
        value.strip()
        for name, value in os.environ.items()
        if (name in wanted or _VARIABLE.search(name)) and len(value.strip()) >= SHORTEST
    }
    return tuple(sorted(found, key=len, reverse=True))


def without(text: str, values: Iterable[str]) -> str:
    """The text without those values; nothing else in it changes."""
    for value in values:
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


def redact(text: str, names: Iterable[str] = ()) -> str:
    """The text without the values of key variables (and of the variables named), bearer tokens, and what looks like a key."""
    return _PATTERNS.sub(_mask, without(text, secrets(names)))


class RedactingFilter(logging.Filter):
    """Put on a handler, it redacts every line that goes through, tracebacks included.

    Filters of loggers don't see their children's lines, so the handlers are the place.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = redact(record.getMessage()), None
        except Exception:  # noqa: BLE001  a line with wrong arguments; the handler reports it
            return True
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def guard_logs() -> None:
    """Redact what the root logger's present handlers write. Safe to call twice."""
    for handler in [*logging.getLogger().handlers, *filter(None, [logging.lastResort])]:
        if not any(isinstance(f, RedactingFilter) for f in handler.filters):
            handler.addFilter(RedactingFilter())


def _mask(match: re.Match[str]) -> str:
    kept = match["bearer"] or match["scheme"] or match["query"] or ""
    return kept + HIDDEN + ("@" if match["scheme"] else "")
