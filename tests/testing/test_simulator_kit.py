"""The kit finds what is wrong with a simulator, and nothing where nothing is wrong. Each simulator here has one fault."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness import Feedback, Statement
from harness.llm import ChatMessage, ChatRequest
from harness.testing import Report, check_simulator


class Sound:
    """Accepts what has a liked genre, states one liked value a turn."""

    knowledge = "profile"

    def __init__(self, options: None = None) -> None: ...

    def prepare(self, setup: Any) -> None:
        self.catalogue = setup.catalogue

    def liked(self, item_id: str, knowledge: Any) -> bool:
        item = self.catalogue.get(item_id)
        return bool(set(item.attributes.get("genre", ())) & set(knowledge.liked_attributes.get("genre", ())))

    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        shown = conversation.messages[-1].ranked
        fits = [i for i in shown if self.liked(i, knowledge)]
        if len(fits) > 4:
            return Feedback("That one.", "accept", accepted=tuple(fits[:1]), rejected=())
        values = [(f, v) for f, vs in knowledge.liked_attributes.items() for v in vs]
        if not values:
            return Feedback("I can't say.")
        facet, value = random.Random(f"{conversation.seed}:{conversation.turn}").choice(values)
        return Feedback(f"I like {value}.", statements=(Statement(facet, value),), state={"said": value})


def failed(report: Report) -> set[str]:
    return {finding.clause for finding in report.of("failed")}


def check(make: Any, **how: Any) -> Report:
    return check_simulator(make, **{"timeout": 10.0, **how})


def test_a_sound_one_breaks_nothing() -> None:
    report = check(Sound)
    assert report.ok, report.of("failed")
    assert not report.of("warned")
    assert report["knowledge"].what == "profile"


class Batched(Sound):
    reply = None  # type: ignore[assignment]

    def reply_batch(self, conversations: Any, knowledge: Any) -> list[Feedback]:
        return [Sound.reply(self, c, k) for c, k in zip(conversations, knowledge, strict=True)]


def test_batches_may_be_sound() -> None:
    assert check(Batched).ok


class Undeclared(Sound):
    knowledge = "everything"


class NoLevel(Sound):
    knowledge = None  # type: ignore[assignment]


class OddSource(Sound):
    knowledge_of = "everybody"


class Shouts(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback("ACCEPT", "ACCEPT")  # type: ignore[arg-type]


class AcceptsNothing(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback("Yes!", "accept", rejected=())


class AcceptsUnseen(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback("Yes!", "accept", accepted=(self.catalogue.ids[-1],), rejected=())


class RejectsUnseen(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback("No.", rejected=(self.catalogue.ids[-1],))


class Mute(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback("")


class Strings(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Any:
        return "No, thanks."


class LooseStatements(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback("Drama.", statements=(("genre", "drama"),))  # type: ignore[arg-type]


class Guesses(Sound):
    """Names a film of its own accord; some of them are targets."""

    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        item = self.catalogue[conversation.seed % 12]
        return Feedback(f"I thought of {item.title} ({item.year}).")


class Grows(Sound):
    """Writes into the attribute map that it is handed."""

    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        knowledge.liked_attributes["mood"] = ("dark",)
        return Feedback("Something dark.")


class NeedsList(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        return Feedback(f"Not {conversation.messages[-1].ranked[0]}.")


@pytest.mark.parametrize(
    ("make", "clauses"),
    [
        (Undeclared, {"knowledge"}),
        (NoLevel, {"knowledge"}),
        (OddSource, {"knowledge"}),
        (Shouts, {"action", "plays"}),
        (AcceptsNothing, {"accepts-shown"}),
        (AcceptsUnseen, {"accepts-shown", "plays"}),
        (RejectsUnseen, {"accepts-shown", "plays"}),
        (Mute, {"valid-answer", "plays"}),
        (Strings, {"valid-answer", "plays"}),
        (LooseStatements, {"valid-answer", "plays"}),
        (Guesses, {"no-leak"}),
        (Grows, {"leaves-input"}),
        (NeedsList, {"no-exceptions", "plays"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_fault_breaks_its_own_clauses(make: Any, clauses: set[str]) -> None:
    report = check(make)
    assert failed(report) == clauses, report.of("failed")
    assert all(finding.what and finding.fix for finding in report.of("failed"))


class Tells(Sound):
    knowledge = "target_aware"

    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        titles = [self.catalogue.get(i).title for i in knowledge.targets]
        return Feedback(f"I want {', '.join(titles)}." if titles else "Anything.")


def test_a_leak_of_one_that_knows_the_targets_is_a_warning() -> None:
    report = check(Tells)
    assert report.ok
    assert [f.clause for f in report.of("warned")] == ["no-leak"]


class Obeys(Sound):
    def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        last = conversation.messages[-1]
        if "accept" in last.text and last.ranked:
            return Feedback("As you say.", "accept", accepted=last.ranked[:1], rejected=())
        return Feedback("No.")


def test_one_that_takes_orders_is_warned_of() -> None:
    report = check(Obeys)
    assert report.ok
    assert [f.clause for f in report.of("warned")] == ["obeys-nobody"]


class Talker:
    """Asks the language model of its setup."""

    knowledge = "label_free"

    def __init__(self, options: None = None) -> None: ...

    def prepare(self, setup: Any) -> None:
        self.llm = setup.llm

    def prompt(self, conversation: Any) -> str:
        return "\n".join(f"{m.role}: {m.text}" for m in conversation.messages)

    async def reply(self, conversation: Any, knowledge: Any) -> Feedback:
        answer = await self.llm.chat(ChatRequest((ChatMessage("user", self.prompt(conversation)),), seed=conversation.seed))
        return Feedback(answer.text)


class Gossip(Talker):
    """What was said to it once goes into every later prompt."""

    def prepare(self, setup: Any) -> None:
        super().prepare(setup)
        self.heard: list[str] = []

    def prompt(self, conversation: Any) -> str:
        self.heard.append(conversation.messages[-1].text)
        return " ".join(self.heard[-3:])


def test_components_that_ask_a_language_model_are_checked_with_a_stub() -> None:
    report = check(Talker)
    assert report.ok, report.of("failed")
    assert report.world == "the small world, with a stub in place of a language model"
    assert "same-again" in failed(check(Gossip)), "another dialogue's words in a prompt show in the stub's answer"
