"""The kit finds what is wrong with a recommender, and nothing where nothing is wrong. Each recommender here has one fault."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

import numpy as np
import pytest

from harness import Recommendation, TransportError
from harness.errors import UsageError
from harness.testing import Report, check_recommender


class Sound:
    """Catalogue order from a place that the seed decides, without what was turned down."""

    def __init__(self, options: None = None) -> None: ...

    def prepare(self, setup: Any) -> None:
        self.ids = setup.catalogue.ids

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        start = random.Random(f"{conversation.seed}:{conversation.turn}").randrange(len(self.ids))
        refused = set(conversation.rejected)
        turned = [i for i in (*self.ids[start:], *self.ids[:start]) if i not in refused]
        return Recommendation(tuple(turned[:k]), "How about these?", state={"turn": conversation.turn})


def failed(report: Report) -> set[str]:
    return {finding.clause for finding in report.of("failed")}


def check(make: Any, **how: Any) -> Report:
    return check_recommender(make, **{"timeout": 10.0, **how})


def test_a_sound_one_breaks_nothing() -> None:
    report = check(Sound, name="sound")
    assert report.ok
    assert not report.of("warned")
    skipped = {f.clause: f.what for f in report.of("skipped")}
    assert {clause for clause, why in skipped.items() if "installed" in why} == {"same-elsewhere", "reads-no-data"}
    assert set(skipped) == {"same-elsewhere", "reads-no-data", "candidates", "best-first", "revision", "closes"}
    report.raise_if_failed()


class Batched(Sound):
    recommend = None  # type: ignore[assignment]
    max_batch = 7

    def recommend_batch(self, conversations: Any, k: int) -> list[Recommendation]:
        return [Sound.recommend(self, conversation, k) for conversation in conversations]


class Awaited(Sound):
    async def recommend(self, conversation: Any, k: int) -> Recommendation:  # type: ignore[override]
        await asyncio.sleep(0)
        return Sound.recommend(self, conversation, k)


class OneAtATime(Sound):
    serial = True


@pytest.mark.parametrize("make", [Batched, Awaited, OneAtATime])
def test_every_form_may_be_sound(make: Any) -> None:
    report = check(make)
    assert report.ok, report.of("failed")
    assert report["same-in-threads"].state == "skipped"


# ------------------------------------------------------------------------------------------------------------- one fault each


class TooMany(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        return super().recommend(conversation, k + 1)


class Repeats(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        items = super().recommend(conversation, k).items
        return Recommendation((*items[:-1], *items[:1]), "Twice!")


class Invents(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        items = super().recommend(conversation, k).items
        return Recommendation((*items[:-1], "a-film-of-my-own") if len(items) > 1 else items, "New!")


class Silent(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        items = super().recommend(conversation, k).items
        return Recommendation(items, "Here:" if items else "")


class Plain(Sound):
    def recommend(self, conversation: Any, k: int) -> Any:
        return list(super().recommend(conversation, k).items)


class Scored(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        items = super().recommend(conversation, k).items
        return Recommendation(items, "Scored.", scores=tuple(float("nan") for _ in items))


class Verbose(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        return Recommendation(super().recommend(conversation, k).items, "And another one. " * 2000)


class Reads(Sound):
    """Needs somebody to have said something."""

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        conversation.messages[-1].text.split()[0]
        return super().recommend(conversation, k)


class Formats(Sound):
    """A user's text as a format string."""

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        return Recommendation(
            super().recommend(conversation, k).items, "".join(m.text.format() for m in conversation.messages)[:99] + "."
        )


class Counts(Sound):
    """Remembers on itself what belongs into the state."""

    def prepare(self, setup: Any) -> None:
        super().prepare(setup)
        self.shown: list[str] = []

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        fresh = [i for i in self.ids if i not in self.shown][:k]
        self.shown = [*self.shown, *fresh][-15:]
        return Recommendation(tuple(fresh), "New ones.")


class Global(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        return Recommendation(tuple(random.sample(self.ids, min(k, len(self.ids)))), "Lucky you.")


class Seeded(Sound):
    """Repeats itself, at the price of everybody else's randomness."""

    serial = True

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        np.random.seed(conversation.seed % 2**32)
        order = np.random.permutation(len(self.ids))
        left = [self.ids[n] for n in order if self.ids[n] not in conversation.rejected]
        return Recommendation(tuple(left[:k]), "Same as ever.")


class ByInstance(Sound):
    def __init__(self, options: None = None) -> None:
        self.start = random.SystemRandom().randrange(10**9)

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        left = [i for i in self.ids if i not in conversation.rejected]
        random.Random(self.start).shuffle(left)
        return Recommendation(tuple(left[:k]), "My own taste.")


class BatchSum(Batched):
    """The first row of a batch decides for all."""

    def recommend_batch(self, conversations: Any, k: int) -> list[Recommendation]:
        return [Sound.recommend(self, conversations[0], k) for _ in conversations]


class ShortBatch(Batched):
    def recommend_batch(self, conversations: Any, k: int) -> list[Recommendation]:
        return super().recommend_batch(conversations, k)[: max(1, len(conversations) - 1)]


class Racing(Sound):
    """Two threads that meet in here swap their conversations."""

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        self.current = conversation
        time.sleep(0.0005)
        return super().recommend(self.current, k)


class Mutates(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        state = conversation.state if conversation.state is not None else {"seen": []}
        state["seen"].append(conversation.turn)
        return Recommendation(super().recommend(conversation, k).items, f"{len(state['seen'])}.", state=state)


class Spoils(Sound):
    def prepare(self, setup: Any) -> None:
        super().prepare(setup)
        for item in setup.catalogue:
            item.attributes["seen"] = ("yes",)


class SetState(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        given = super().recommend(conversation, k)
        return Recommendation(given.items, given.text, state=object())


class TupleState(Sound):
    """Its state comes back from JSON as something else, and it notices."""

    def recommend(self, conversation: Any, k: int) -> Recommendation:
        given = super().recommend(conversation, k)
        text = "Welcome." if conversation.state is None else f"Still {type(conversation.state).__name__}."
        return Recommendation(given.items, text, state=(1, 2))


class Tires(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        if conversation.turn > 12:
            raise IndexError("I have said all I know")
        return super().recommend(conversation, k)


class NeedsTraining(Sound):
    def prepare(self, setup: Any) -> None:
        super().prepare(setup)
        setup.training[0]


class Broken(Sound):
    def prepare(self, setup: Any) -> None:
        raise KeyError("genre")


class NoMethod:
    def __init__(self, options: None = None) -> None: ...
    def prepare(self, setup: Any) -> None: ...


class Lonely(Sound):
    prepare = None  # type: ignore[assignment]


class AsyncPrepare(Sound):
    async def prepare(self, setup: Any) -> None:  # type: ignore[override]
        """Never awaited."""


class Changeable(Sound):
    def revision(self) -> dict[str, Any]:
        return {"now": time.monotonic_ns()}


def refuses_to_be_made() -> Any:
    raise ImportError("no weights")


@pytest.mark.parametrize(
    ("make", "clauses"),
    [
        (TooMany, {"at-most-k"}),
        (Repeats, {"no-repeats"}),
        (Invents, {"known-ids"}),
        (Silent, {"not-empty", "plays"}),
        (Plain, {"valid-answer", "plays"}),
        (Scored, {"valid-answer", "plays"}),
        (Verbose, {"valid-answer", "plays"}),
        (Reads, {"no-exceptions", "plays", "prepares-untrained"}),
        (Formats, {"no-exceptions"}),
        (Counts, {"same-again"}),
        (Global, {"no-global-random", "same-again"}),
        (Seeded, {"no-global-random"}),
        (ByInstance, {"same-fresh", "no-memory"}),
        (BatchSum, {"same-in-company", "no-memory"}),
        (ShortBatch, {"same-in-company"}),
        (Racing, {"same-in-threads"}),
        (Mutates, {"leaves-input"}),
        (Spoils, {"leaves-setup"}),
        (SetState, {"state-json"}),
        (TupleState, {"state-json"}),
        (Tires, {"plays"}),
        (NeedsTraining, {"prepares-untrained"}),
        (Broken, {"prepares"}),
        (NoMethod, {"declares"}),
        (Lonely, {"declares", "prepares"}),
        (AsyncPrepare, {"declares"}),
        (Changeable, {"revision"}),
        (refuses_to_be_made, {"made"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_fault_breaks_its_own_clauses(make: Any, clauses: set[str]) -> None:
    report = check(make)
    found = failed(report)
    if make is Racing:  # threads meet in whole dialogues too, if they happen to
        found -= {"same-in-company", "no-memory", "state-json"}
    assert found == clauses, report.of("failed")
    for finding in report.of("failed"):
        assert finding.what
        assert finding.fix


class Stubborn(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        return Recommendation(self.ids[:k], "These are the best.")


def test_recommending_again_what_was_turned_down_is_a_warning() -> None:
    report = check(Stubborn)
    assert report.ok
    assert [f.clause for f in report.of("warned")] == ["honours-rejections"]
    assert "had been turned down" in report["honours-rejections"].what


class Shy(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        return Recommendation(text="What do you like?")


def test_questions_alone_are_a_warning() -> None:
    report = check(Shy)
    assert report.ok
    assert [f.clause for f in report.of("warned")] == ["recommends"]


class Hangs(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        if len(conversation.messages) > 100:
            threading.Event().wait()
        return super().recommend(conversation, k)


def test_one_that_hangs_is_ended_and_nothing_more_is_asked() -> None:
    started = time.monotonic()
    report = check(Hangs, timeout=0.5)
    assert time.monotonic() - started < 10
    assert failed(report) == {"in-time"}
    assert "very long conversation" in report["in-time"].what
    assert report["same-again"].state == "skipped"


class Leaves(Sound):
    def prepare(self, setup: Any) -> None:
        raise SystemExit(3)


def test_one_that_ends_the_process_does_not_end_the_check() -> None:
    report = check(Leaves)
    assert failed(report) == {"prepares"}
    assert "SystemExit" in report["prepares"].what


class Offline(Sound):
    def recommend(self, conversation: Any, k: int) -> Recommendation:
        raise TransportError("503")


def test_a_server_that_cannot_be_reached_is_no_verdict_on_the_recommender() -> None:
    report = check(Offline)
    assert failed(report) == {"transport"}
    assert report["no-exceptions"].state == "passed"
    assert report["valid-answer"].state == "skipped"


class Choosy(Sound):
    def prepare(self, setup: Any) -> None:
        super().prepare(setup)
        if not setup.training:
            raise UsageError("choosy learns from training dialogues")


def test_saying_why_it_cannot_work_without_training_is_fine() -> None:
    report = check(Choosy)
    assert report.ok
    assert "choosy learns" in report["prepares-untrained"].what


def test_the_failure_of_a_test_tells_what_to_do() -> None:
    with pytest.raises(AssertionError) as raised:
        check(Invents, name="invents").raise_if_failed()
    text = str(raised.value)
    assert "recommender invents breaks 1 clause" in text
    assert "a-film-of-my-own" in text
    assert "fix: Take ids from setup.catalogue" in text


def test_checking_leaves_the_global_generators_alone() -> None:
    random.seed(4)
    before = random.getstate()
    check(Sound)
    assert random.getstate() == before
