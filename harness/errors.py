"""Errors that users meet, and the faults that a boundary can raise.

`HarnessError` and its children are the user's to mend: the command line prints them as one line with what to do and exits
with their code. `TransportError` is the only error a component may raise to say "not my fault, try again".
"""

from __future__ import annotations

from typing import Any


class HarnessError(Exception):
    """Base of the errors that are shown to a user without a traceback."""

    exit_code = 2


class UsageError(HarnessError):
    """A wrong name, option or file: the command was not understood (exit code 2)."""


class PluginError(HarnessError):
    """A plugin is broken, unknown, ambiguous or made for another API (exit code 2)."""


class DataError(HarnessError):
    """A data file is missing or malformed; the message says which file, line and field (exit code 2)."""


class ConfigMismatch(HarnessError):
    """A run directory holds another configuration than the one asked for (exit code 3)."""

    exit_code = 3


class LlmError(HarnessError):
    """A language model can't be used as asked: no key, wrong name, not there. Ends the run at once (exit code 2)."""


class StoreError(HarnessError):
    """The run directory can't be read, written or locked (exit code 4)."""

    exit_code = 4


class TransportError(Exception):
    """Raised by a component when its *transport* failed: HTTP 429 or 5xx, connection, time-out of a server.

    The dialogue's call is tried again with exponential back-off and jitter, or after `retry_after` seconds where the server
    said so. When the tries are used up the dialogue is recorded as incomplete and played again on resume. `final` says that
    whoever raises it has tried often enough already.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, final: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.final = final


class RefusedError(Exception):
    """A model answered, but with nothing usable: content filter, refusal, no choices. A fault of the role that asked."""

    def __init__(self, message: str, *, usage: Any = None) -> None:
        super().__init__(message)
        self.usage = usage
        """harness.Usage: what the refused answer cost all the same, where the server said so."""


class BudgetExceeded(Exception):
    """Raised by a component when a spending limit is reached: the run stops cleanly and can be resumed."""


FAULT_KINDS = ("exception", "timeout", "malformed", "empty", "out_of_catalogue")


class ComponentFault(Exception):
    """A call that failed at a component's boundary: the component raised, hung, or returned something unusable.

    `kind` is one of `FAULT_KINDS`. A component may raise it itself, to say what is wrong with what its model gave.
    """

    def __init__(self, kind: str, message: str, usage: Any = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.usage = usage
        """harness.Usage of the failed call, where something was spent."""


class TransportExhausted(Exception):
    """A transport failure that outlasted all tries; the dialogue is incomplete."""

    def __init__(self, message: str, attempts: int, usage: Any = None) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.usage = usage


def described(error: BaseException, limit: int = 2000) -> str:
    """An error's text on one line, safe to print and to record whatever a stranger's exception does.

    Its own `__str__` may raise, and its text may hold lone surrogates, which no file can.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  a stranger's code
        text = "(its text can't be had)"
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())[:limit]
