"""The seeker that a search talks to in its mind: SMTPO's trained user model, told nothing but the public conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from harness.api import Catalogue, Conversation, Item, Message, TrainingDialogue
from harness.llm.api import ChatModel

from ...prompting import Prompt
from ...smtpo.user.decision import Decision
from ...smtpo.user.mind import Mind
from ...smtpo.user.view import Viewer
from ..reading import Reader

_LOOK: Final = 99
"""Items of a list that are looked at: all."""


class ImaginedSeeker:
    """Scores items, and criticises lists by attributes. Nothing is remembered; the same talk gives the same answers."""

    def __init__(
        self,
        llm: ChatModel,
        prompt: Prompt,
        decision: Decision,
        catalogue: Catalogue,
        training: Sequence[TrainingDialogue],
        reader: Reader,
        *,
        aligned: bool = True,
        turns: int = 2,
    ) -> None:
        self._decision, self._aligned = decision, aligned
        self._viewer = Viewer(catalogue, training, reader=reader, turns=turns, look=_LOOK)
        self._mind = Mind(llm, prompt, self._viewer)

    async def scores(
        self, talks: Sequence[Conversation], lists: Sequence[Sequence[Item]], known: dict[str, float]
    ) -> list[tuple[float, ...]]:
        """For each list, shown at the end of its talk, the calibrated probability of each item that the seeker would take it.

        Where a verdict can't change in the course of a talk, all lists of one root are judged in one question, and each item
        once: `known` (empty at first) is filled with what was found.
        """
        if self._mind.steady:
            items = {item.id: item for held in lists for item in held if item.id not in known}
            known.update(await self._mind.judge(self._viewer.view(talks[0]), list(items.values())))
            judged = [known] * len(lists)
        else:
            judged = await asyncio.gather(
                *(self._mind.judge(self._viewer.view(talk), held) for talk, held in zip(talks, lists, strict=True))
            )
        return [
            tuple(self._decision.probability(odds[item.id]) for item in held) for odds, held in zip(judged, lists, strict=True)
        ]

    async def criticism(self, talk: Conversation) -> str:
        """What is wrong with the list at the end of the talk, in words. Raises ComponentFault "empty" or "malformed"."""
        view = self._viewer.view(talk)
        plan = (await self._mind.align(view)).plan() if self._aligned else ""
        return await self._mind.feedback(view, plan)


def overheard(conversation: Conversation) -> tuple[Message, ...]:
    """The real dialogue so far as what came before an imagined one. The lists are taken off the recommender's turns, so that
    what the seeker answered to them counts as said by a person and not as a guess of the user model."""
    return tuple(
        msgspec.structs.replace(message, ranked=()) if message.ranked else message for message in conversation.messages
    )
