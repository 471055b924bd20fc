"""What goes wrong in trainings, told in one line with what to change."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator

from harness.errors import HarnessError, UsageError, described

_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_cpu", "cublas_status_alloc_failed")
_SMALLER = ("batch", "length", "completion", "group", "candidates")
_SLOWER = ("learning_rate", "lr", "warmup", "clip")


class NotFinite(FloatingPointError):
    """A loss, reward or gradient that is no number. Raised by `finite`."""


def finite(value: float, what: str, step: int | None = None) -> float:
    """The value. Raises NotFinite when it is NaN or infinite; `plain_errors` makes a user's error of it."""
    if not math.isfinite(value):
        raise NotFinite(f"the {what} is {value}" + (f" at step {step}" if step is not None else ""))
    return value


@contextlib.contextmanager
def plain_errors(stage: str, options: Iterable[str] = ()) -> Iterator[None]:
    """Makes out-of-memory errors and numbers that are none one-line errors; everything else passes.

    `options` are the names of the stage's settings: those that would help are named.
    """
    try:
        yield
    except HarnessError:
        raise
    except FloatingPointError as error:
        raise HarnessError(
            f"stage {stage} diverged: {described(error, 200)}; what is kept is from before. Lower "
            f"{_named(stage, options, _SLOWER, 'the learning rate')}, and train the stage anew with --fresh"
        ) from error
    except MemoryError as error:
        raise UsageError(_too_big(stage, options, error)) from error
    except RuntimeError as error:  # torch.OutOfMemoryError is one, and what the CPU's allocator raises as well
        if not any(sign in described(error).lower() for sign in _MEMORY):
            raise
        raise UsageError(_too_big(stage, options, error)) from error


def _too_big(stage: str, options: Iterable[str], error: BaseException) -> str:
    reason = described(error, 160)
    return (
        f"stage {stage} ran out of memory{f' ({reason})' if reason else ''}: lower "
        f"{_named(stage, options, _SMALLER, 'the batch')} or take a smaller model; "
        "what is kept stays, but another setting needs --fresh or another --out"
    )


def _named(stage: str, options: Iterable[str], parts: tuple[str, ...], otherwise: str) -> str:
    helpful = [
        f"--opt {stage}.{name}=..."
        for name in options
        if any(part in re.split("[._]", name) or name.endswith(part) for part in parts)
    ]
    return " or ".join(helpful[:3]) if helpful else otherwise
