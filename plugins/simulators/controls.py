"""Controls: what remains of a score without feedback, with exclusion alone, and with somebody else's feedback.

`no-feedback` and `exclude-only` have no need, so they never accept: their dialogues run all turns, and scores are read from
the recorded lists as for every simulator.
"""

from __future__ import annotations

from typing import Literal

from harness.api import Conversation, Feedback, Knowledge, KnowledgeLevel, SimulatorSetup

from .rule import Rule


class NoFeedback:
    """Says nothing of use and turns nothing down."""

    knowledge: KnowledgeLevel = "label_free"

    def __init__(self, options: None = None) -> None:
        pass

    def prepare(self, setup: SimulatorSetup) -> None:
        pass

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        return Feedback("Okay.", rejected=(), statements=())


class ExcludeOnly:
    """Turns down everything shown and says no more than that: the baseline of the feedback gain."""

    knowledge: KnowledgeLevel = "label_free"

    def __init__(self, options: None = None) -> None:
        pass

    def prepare(self, setup: SimulatorSetup) -> None:
        pass

    def reply(self, conversation: Conversation, knowledge: Knowledge) -> Feedback:
        shown = tuple(dict.fromkeys(conversation.messages[-1].ranked)) if conversation.messages else ()
        return Feedback("None of these." if shown else "I can't say.", rejected=shown, statements=())


class Shuffled(Rule):
    """`rule` with the knowledge of another scenario: the form of feedback without its content. It also accepts by that
    other need, so its dialogues may end early on an item that the scenario's own seeker would have refused."""

    knowledge_of: Literal["other"] = "other"
