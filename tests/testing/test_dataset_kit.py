"""The kit finds what is wrong with a data set, and nothing where nothing is wrong."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from harness import (
    AnnotatedDialogue,
    AnnotatedMessage,
    Catalogue,
    Ceiling,
    DataError,
    DatasetCard,
    HumanLabels,
    Item,
    Message,
    Need,
    Scenario,
    Split,
    TrainingDialogue,
)
from harness.testing import check_dataset

CARD = DatasetCard("sound", "Three films", "CC0-1.0", "Nobody 2020", "https://films.example", "bundled")
FILMS = (Item("a", "Alien", 1979, {"genre": ("horror",)}), Item("b", "Heat"), Item("c", "Zodiac", 2007))
TOLD = Message("seeker", "Alien was great", items=("a",))


def row(name: str, need: Need, *context: Message, source: str | None = None) -> Scenario:
    return Scenario(name, source or f"dialogue of {name}", context or (TOLD,), need)


class Sound:
    card = CARD
    films = FILMS

    def __init__(self, options: None = None) -> None: ...

    def rows(self, split: str) -> list[Scenario]:
        return [row(f"{split}1", Need(("b",), liked_items=("a",))), row(f"{split}2", Need(("b", "c"), disliked_items=("a",)))]

    def training(self) -> list[TrainingDialogue]:
        return [TrainingDialogue("t1", (TOLD, Message("recommender", "Then Heat.", items=("b",))), liked=("a", "b"))]

    def load(self, split: str) -> Split:
        if split not in ("train", "validation", "test"):
            raise DataError(f"sound has no split {split!r}")
        return Split(split, self.rows(split), self.training(), Catalogue(self.films), ("three films",))

    def ceilings(self, split: Split) -> list[Ceiling]:
        return [Ceiling("guess", {"hr@1": 1 / len(split.scenarios)})]


def test_a_sound_one_breaks_nothing() -> None:
    report = check_dataset(Sound, name="sound")
    assert report.ok, report.of("failed")
    assert not report.of("warned")
    assert [f.clause for f in report.of("skipped")] == ["annotated", "same-elsewhere"]


class NoLicence(Sound):
    card = msgspec.structs.replace(CARD, licence=" ")


class NoCard(Sound):
    card = None  # type: ignore[assignment]


class NoTest(Sound):
    def load(self, split: str) -> Split:
        if split == "test":
            raise FileNotFoundError("test.json")
        return super().load(split)


class Tuples(Sound):
    def load(self, split: str) -> Any:
        return self.rows(split)


class Twins(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [row("same", Need(("b",)), source=f"{split} dialogue")] * 2


class NoTarget(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [*super().rows(split), row(f"{split}3", Need(()))]


class ForeignTarget(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [*super().rows(split), row(f"{split}3", Need(("z",)))]


class ForeignLink(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [row(f"{split}1", Need(("b",)), Message("seeker", "Z!", items=("z",)))]


class ForeignLabel(Sound):
    def training(self) -> list[TrainingDialogue]:
        return [TrainingDialogue("t1", (TOLD,), liked=("z",))]


class Leaky(Sound):
    """A test dialogue is among the training dialogues."""

    def training(self) -> list[TrainingDialogue]:
        return [*super().training(), TrainingDialogue("dialogue of test1", (TOLD,))]


class Shared(Sound):
    """Train and test rows come from the same dialogue."""

    def rows(self, split: str) -> list[Scenario]:
        rows = super().rows(split)
        return rows if split == "validation" else [msgspec.structs.replace(rows[0], source="d7"), rows[1]]


class Untitled(Sound):
    films = (*FILMS, Item("d", " "))


class EmptyFacet(Sound):
    films = (*FILMS, Item("d", "Rope", attributes={"genre": ()}))


class OddTypes(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [row(f"{split}1", Need(("b",)), Message("user", "hello"))]  # type: ignore[arg-type]


class Numbers(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [row(7, Need(("b",)))]  # type: ignore[arg-type]


class Drifts(Sound):
    count: Iterator[int] = itertools.count()

    def training(self) -> list[TrainingDialogue]:
        return [TrainingDialogue(f"t{next(self.count)}", (TOLD,))]


class TwoCatalogues(Sound):
    """What is learned on the training split doesn't fit the test split."""

    def load(self, split: str) -> Split:
        loaded = super().load(split)
        return msgspec.structs.replace(loaded, catalogue=Catalogue([*FILMS, Item("d", "Rope")])) if split == "test" else loaded


class Shuffles(Sound):
    def rows(self, split: str) -> list[Scenario]:
        random.seed(1)
        return random.sample(super().rows(split), 2)


class EmptyWish(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [row(f"{split}1", Need(("b",), liked_attributes={"genre": ()}))]


class BadCeiling(Sound):
    def ceilings(self, split: Split) -> list[Ceiling]:
        return [Ceiling("guess", {"hr@1": float("nan")})]


@pytest.mark.parametrize(
    ("make", "clauses"),
    [
        (NoLicence, {"card"}),
        (NoCard, {"card"}),
        (NoTest, {"loads"}),
        (Tuples, {"loads"}),
        (Twins, {"scenario-ids"}),
        (NoTarget, {"targets"}),
        (ForeignTarget, {"targets"}),
        (ForeignLink, {"linked-items"}),
        (ForeignLabel, {"labels"}),
        (Leaky, {"no-overlap"}),
        (Shared, {"no-overlap"}),
        (Untitled, {"catalogue"}),
        (EmptyFacet, {"catalogue"}),
        (OddTypes, {"well-formed"}),
        (Numbers, {"well-formed"}),
        (Drifts, {"same-again"}),
        (TwoCatalogues, {"one-catalogue"}),
        (Shuffles, {"no-global-random"}),
        (EmptyWish, {"labels"}),
        (BadCeiling, {"ceilings"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_fault_breaks_its_own_clauses(make: Any, clauses: set[str]) -> None:
    report = check_dataset(make)
    assert {finding.clause for finding in report.of("failed")} == clauses, report.of("failed")
    assert all(finding.what and finding.fix for finding in report.of("failed"))


class TestOnly(Sound):
    __test__ = False

    def load(self, split: str) -> Split:
        if split != "test":
            raise DataError("there is only a test split")
        return super().load(split)


class SharedValidation(Sound):
    def rows(self, split: str) -> list[Scenario]:
        rows = super().rows(split)
        return rows if split == "train" else [msgspec.structs.replace(rows[0], source="d7"), rows[1]]


class Repeated(Sound):
    """Every target is named in its context."""

    def rows(self, split: str) -> list[Scenario]:
        return [row(f"{split}1", Need(("a",)))]


class Tolerant(Sound):
    def load(self, split: str) -> Split:
        return msgspec.structs.replace(super().load("test"), name=split, scenarios=self.rows(split))


class Torn(Sound):
    def rows(self, split: str) -> list[Scenario]:
        return [row(f"{split}1", Need(("b",), disliked_items=("b",)))]


class TwoMinds(Sound):
    def rows(self, split: str) -> list[Scenario]:
        both = {"genre": ("crime",)}
        return [row(f"{split}1", Need(("b",), liked_attributes=both, disliked_attributes=both))]


@pytest.mark.parametrize(
    ("make", "clauses"),
    [
        (TwoMinds, {"need"}),
        (TestOnly, {"loads"}),
        (SharedValidation, {"no-overlap"}),
        (Repeated, {"playable"}),
        (Tolerant, {"refuses"}),
        (Torn, {"need"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_data_set_may_have_its_reasons_for_is_a_warning(make: Any, clauses: set[str]) -> None:
    report = check_dataset(make)
    assert report.ok, report.of("failed")
    assert {finding.clause for finding in report.of("warned")} == clauses


class Judged(Sound):
    """Dialogues that people have scored, and nothing to play."""

    scores: ClassVar[dict[str, float]] = {"relevance": 4.0}

    def load(self, split: str) -> Split:
        raise DataError("judged has human scores only")

    def annotated(self) -> HumanLabels:
        said = (AnnotatedMessage("seeker", "Hi"), AnnotatedMessage("recommender", "Heat?", scores={"fluency": 3.0}))
        return HumanLabels((AnnotatedDialogue("j1", "system A", said, self.scores),))


class JudgedTwice(Judged):
    scores: ClassVar[dict[str, float]] = {"fluency": 4.0}


class JudgedNan(Judged):
    scores: ClassVar[dict[str, float]] = {"relevance": float("nan")}


def test_human_scores_alone_are_fine_if_they_are_sound() -> None:
    report = check_dataset(Judged)
    assert report.ok, report.of("failed")
    assert report["annotated"].state == "passed"
    assert [f.clause for f in report.of("warned")] == ["loads"]
    for make in (JudgedTwice, JudgedNan):
        assert [f.clause for f in check_dataset(make).of("failed")] == ["annotated"]


def test_another_name_on_the_card_is_found() -> None:
    report = check_dataset(Sound, name="my-data")
    assert "'sound'" in report["card"].what
