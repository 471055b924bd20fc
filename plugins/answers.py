"""What a language model answered, taken out of its wrapping and read strictly: it is never guessed at."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from harness.errors import ComponentFault
from harness.llm.api import Completion

_FENCE: Final = "```"
_THOUGHT: Final = re.compile(r"\A<think>(.*?)</think>\s*", re.DOTALL)
_SHOWN: Final = 120

T = TypeVar("T")


def unwrapped(completion: Completion) -> tuple[str, str]:
    """(answer, thoughts): the text without a reasoning model's thoughts before it and a code fence around it.

    Raises ComponentFault "empty".
    """
    text = completion.text.strip()
    thoughts = _THOUGHT.match(text)
    answer = text[thoughts.end() :].strip() if thoughts else text
    if not answer:
        raise ComponentFault("empty", "the model answered nothing")
    return _unfenced(answer), (thoughts.group(1).strip() if thoughts else "")


def _unfenced(answer: str) -> str:
    """What stands inside of one code fence around everything."""
    if len(answer) < 2 * len(_FENCE) or not (answer.startswith(_FENCE) and answer.endswith(_FENCE)):
        return answer
    inside = answer[len(_FENCE) : -len(_FENCE)]
    return (inside[4:] if inside[:4].lower() == "json" else inside).strip()


def decoded(completion: Completion, kind: type[T]) -> T:
    """The one JSON value of an answer, as that type. Raises ComponentFault "empty" or "malformed"."""
    answer, _ = unwrapped(completion)
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise malformed(completion, error) from None


def malformed(completion: Completion, why: Any) -> ComponentFault:
    """The fault of an answer that can't be read."""
    cut = "; it was cut off: give a larger max_tokens" if completion.finish == "length" else ""
    start = _THOUGHT.sub("", completion.text.strip()).strip()[:_SHOWN]
    return ComponentFault("malformed", f"the model's answer is not of the form asked for ({why}){cut}: {start!r}")
