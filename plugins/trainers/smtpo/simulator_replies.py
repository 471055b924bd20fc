"""Other sources of feedback than the grammar: what people have answered to recommendations, and what a teacher writes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Conversation, Item, Message, Scenario
from harness.errors import ComponentFault, DataError, RefusedError
from harness.llm.api import ChatMessage, ChatModel, ChatRequest
from harness.text import AttributeIndex

from ... import prompting, quoting
from ...answers import unwrapped
from ...smtpo.user.view import Viewer

Key = tuple[str, int]
"""Scenario id and turn."""
_WORDS: Final = 60
_ASKED: Final = 64
"""Questions to the teacher at a time."""


def real_reply(scenario: Scenario) -> tuple[Conversation, str] | None:
    """(the dialogue up to a list of what a person was recommended, what they answered) from a scenario's context.

    The answer is the last seeker message that follows a message with recommended items: the dialogue went on from there, so it
    was no acceptance for good. None where there is none.
    """
    messages = scenario.context
    for place in range(len(messages) - 1, 0, -1):
        before, said = messages[place - 1], messages[place]
        if said.role == "seeker" and before.role == "recommender" and before.items:
            shown = Message("recommender", before.text, ranked=before.items)
            # A view takes all before the present list for the context.
            return Conversation((*messages[: place - 1], shown)), said.text
    return None


def tells(text: str, index: AttributeIndex) -> bool:
    """Whether a person's words are short enough to learn from and state an attribute."""
    return len(text.split()) <= _WORDS and bool(index.statements(text))


class _Line(msgspec.Struct, frozen=True, array_like=True):
    scenario: str
    turn: int
    text: str


def read(file: Path) -> dict[Key, str]:
    """What a teacher has written so far; a line torn by a kill is left out."""
    found: dict[Key, str] = {}
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            one = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            continue
        found[one.scenario, one.turn] = one.text
    return found


async def taught(
    teacher: ChatModel, moments: Iterable[Any], viewer: Viewer, file: Path, *, max_tokens: int = 120
) -> Mapping[Key, str]:
    """The teacher's reply to each moment, kept in `file` as they come, so that none is asked for twice.

    What the teacher refuses or leaves empty is left out. Raises DataError where nothing at all comes.
    """
    prompt = prompting.load(__package__, "simulator-teacher.v1")
    found = read(file)
    left = [m for m in moments if (m.scenario, m.turn) not in found]
    gate = asyncio.Semaphore(_ASKED)
    names = prompt.placeholders("user") | prompt.placeholders("system")

    async def ask(moment: Any) -> _Line | None:
        state = viewer.state(moment.view, names, moment.alignment.plan())
        messages = (
            ChatMessage("system", prompt.text("system", **state)),
            ChatMessage("user", prompt.text("user", **state, after=_facts(moment.target))),
        )
        async with gate:
            try:
                text, _ = unwrapped(await teacher.chat(ChatRequest(messages, max_tokens=max_tokens)))
            except (ComponentFault, RefusedError):
                return None
        return _Line(moment.scenario, moment.turn, " ".join(text.split()))

    with file.open("ab") as out:
        for done in asyncio.as_completed([ask(moment) for moment in left]):
            line = await done
            if line is not None:
                out.write(b"\n" + msgspec.json.encode(line))
                out.flush()
                found[line.scenario, line.turn] = line.text
        os.fsync(out.fileno())
    if not found:
        raise DataError("the teacher wrote no reply")
    return found


def _facts(target: Item) -> str:
    return quoting.facts(target.attributes)
