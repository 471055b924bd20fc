"""Whatever a component returns is either a plain value that any record can hold, or a fault of its role."""

from __future__ import annotations

import enum
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import catalogue

from harness.api import DialogueRecord, Feedback, Recommendation, Statement, TurnRecord, Usage
from harness.checks import MAX_ID, check_feedback, check_recommendation
from harness.errors import ComponentFault

CATALOGUE = catalogue(20)


class Colour(enum.StrEnum):
    ACCEPT = "accept"
    ID = "m1"


class Explosive:
    """Raises from whatever is asked of it."""

    def __bool__(self) -> bool:
        raise RuntimeError("no truth in me")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality in me")

    def __float__(self) -> float:
        raise RuntimeError("no number in me")

    def __repr__(self) -> str:
        raise RuntimeError("no text in me")

    __hash__ = None  # type: ignore[assignment]


def recommended(raw: Any, k: int = 10, max_text: int = 100) -> Any:
    return check_recommendation(raw, CATALOGUE, k, max_text)


def answered(raw: Any, shown_now: tuple[str, ...] = ("m1", "m2"), before: tuple[str, ...] = ("m0",)) -> Feedback:
    return check_feedback(raw, shown_now, (*before, *shown_now), 100)


NOT_AN_ANSWER = [None, {}, {"items": ["m1"]}, "m1", 7, [], ["m1"], b"m1", Recommendation, Explosive(), iter(()), 1.5, object()]

BAD_LISTS: dict[str, Any] = {
    "items as a text": Recommendation("m1"),
    "items as a set": Recommendation({"m1"}),
    "items as a dict": Recommendation({"m1": 1}),
    "items as None": Recommendation(None),
    "items as an array": Recommendation(np.array(["m1"])),
    "items as a generator": Recommendation(i for i in ["m1"]),
    "an id as a number": Recommendation((1,)),
    "an id as None": Recommendation(("m1", None)),
    "an id as bytes": Recommendation((b"m1",)),
    "an empty id": Recommendation(("m1", "")),
    "an endless id": Recommendation(("m" * (MAX_ID + 1),)),
    "an id that explodes": Recommendation((Explosive(),)),
    "a lone surrogate in an id": Recommendation(("m\ud800",)),
    "text as None": Recommendation(("m1",), None),
    "text as bytes": Recommendation(("m1",), b"hi"),
    "text as a list": Recommendation(("m1",), ["hi"]),
    "a text too long": Recommendation(("m1",), "x" * 101),
    "megabytes of text": Recommendation(("m1",), "x" * 5_000_000),
    "a lone surrogate in the text": Recommendation(("m1",), "hi \udcff"),
    "reasoning as a dict": Recommendation(("m1",), reasoning={}),
    "reasoning too long": Recommendation(("m1",), reasoning="x" * 1001),
    "a NaN score": Recommendation(("m1",), scores=(math.nan,)),
    "an infinite score": Recommendation(("m1",), scores=(math.inf,)),
    "a score of numpy that is NaN": Recommendation(("m1",), scores=(np.float32("nan"),)),
    "a score as text": Recommendation(("m1",), scores=("1",)),
    "a score as None": Recommendation(("m1",), scores=(None,)),
    "a score that explodes": Recommendation(("m1",), scores=(Explosive(),)),
    "a score as a vector": Recommendation(("m1",), scores=(np.array([1.0, 2.0]),)),
    "a score of huge digits": Recommendation(("m1",), scores=(10**400,)),
    "fewer scores than items": Recommendation(("m1", "m2"), scores=(1.0,)),
    "scores as an array": Recommendation(("m1",), scores=np.array([1.0])),
    "usage as a dict": Recommendation(("m1",), usage={"calls": 1}),
    "usage that is negative": Recommendation(("m1",), usage=Usage(calls=-1)),
    "half a token": Recommendation(("m1",), usage=Usage(prompt_tokens=1.5)),
    "a bool for a count": Recommendation(("m1",), usage=Usage(calls=True)),
    "a cost of numpy": Recommendation(("m1",), usage=Usage(cost=np.float64(1))),
    "a cost that is NaN": Recommendation(("m1",), usage=Usage(cost=math.nan)),
    "a count without end": Recommendation(("m1",), usage=Usage(calls=2**70)),
}


@pytest.mark.parametrize("raw", NOT_AN_ANSWER, ids=lambda raw: type(raw).__name__)
def test_what_is_no_recommendation_or_feedback_is_malformed(raw: Any) -> None:
    for check in (recommended, answered):
        with pytest.raises(ComponentFault) as caught:
            check(raw)
        assert caught.value.kind == "malformed"
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_bad_recommendation_is_malformed(what: str) -> None:
    with pytest.raises(ComponentFault) as caught:
        recommended(BAD_LISTS[what])
    assert caught.value.kind == "malformed"
    assert len(str(caught.value)) < 300
    str(caught.value).encode()


@pytest.mark.parametrize("raw", [Recommendation(), Recommendation((), "  \n\t")])
def test_nothing_at_all_is_empty(raw: Recommendation) -> None:
    with pytest.raises(ComponentFault) as caught:
        recommended(raw)
    assert caught.value.kind == "empty"


def test_a_question_without_items_is_an_honest_turn() -> None:
    checked = recommended(Recommendation((), "Which genre?"))
    assert (checked.recommendation.items, checked.unknown, checked.dropped) == ((), 0, 0)


def test_unknown_and_repeated_ids_keep_their_places() -> None:
    checked = recommended(Recommendation(("m1", "zz", "m1", "zz", "m2")))
    assert checked.recommendation.items == ("m1", "zz", "m1", "zz", "m2")
    assert (checked.unknown, checked.repeated, checked.dropped) == (2, 2, 0)


def test_ten_thousand_items_are_cut_at_k_and_counted() -> None:
    many = [f"m{i % 20}" if i % 2 else "zz" for i in range(10_000)]
    checked = recommended(Recommendation(many, scores=[0.5] * 10_000))
    assert checked.recommendation.items == tuple(many[:10])
    assert (checked.dropped, checked.unknown, checked.repeated) == (9_990, 5, 4)


def test_garbage_beyond_k_is_cut_off_unread() -> None:
    assert recommended(Recommendation(("m1", None, 7)), k=1).recommendation.items == ("m1",)


def test_string_types_of_other_libraries_become_plain_texts() -> None:
    raw = Recommendation([np.str_("m1"), Colour.ID], np.str_("héllo"), np.str_("why"), scores=[np.float32(1), 2])
    given = recommended(raw).recommendation
    assert [type(t) for t in (*given.items, given.text, given.reasoning)] == [str] * 4
    assert (given.items, given.text) == (("m1", "m1"), "héllo")
    answer = answered(Feedback(np.str_("yes"), Colour.ACCEPT, [Colour.ID], statements=[Statement(np.str_("a"), "b")]))
    assert [type(t) for t in (answer.text, answer.action, *answer.accepted, answer.statements[0].facet)] == [str] * 4
    msgspec.json.encode((given, answer))


# -------------------------------------------------------------------------------------------------------------- feedback

BAD_FEEDBACK: dict[str, Any] = {
    "text as None": Feedback(None),
    "text too long": Feedback("x" * 101),
    "an unknown action": Feedback("hi", "stop"),
    "an action as None": Feedback("hi", None),
    "an action as an array": Feedback("hi", np.array(["accept", "quit"])),
    "an action that explodes": Feedback("hi", Explosive()),
    "accepted as None": Feedback("hi", "accept", accepted=None),
    "accepted as a text": Feedback("hi", "accept", accepted="m1"),
    "accepting what was never shown": Feedback("hi", "accept", accepted=("m9",)),
    "accepting a number": Feedback("hi", "accept", accepted=(1,)),
    "rejecting what was never shown": Feedback("hi", rejected=("m9",)),
    "rejecting something unhashable": Feedback("hi", rejected=([],)),
    "statements as a dict": Feedback("hi", statements={}),
    "statements of texts": Feedback("hi", statements=("horror",)),
    "a statement without a facet": Feedback("hi", statements=(Statement(None, "x"),)),
    "a polarity of zero": Feedback("hi", statements=(Statement("a", "b", 0),)),
    "a polarity as bool": Feedback("hi", statements=(Statement("a", "b", True),)),
    "a polarity as float": Feedback("hi", statements=(Statement("a", "b", 1.0),)),
    "a polarity as array": Feedback("hi", statements=(Statement("a", "b", np.array([1, 1])),)),
    "usage as a number": Feedback("hi", usage=3),
}


@pytest.mark.parametrize("what", BAD_FEEDBACK)
def test_bad_feedback_is_malformed(what: str) -> None:
    with pytest.raises(ComponentFault) as caught:
        answered(BAD_FEEDBACK[what])
    assert caught.value.kind == "malformed"
    assert len(str(caught.value)) < 300


def test_going_on_without_a_word_is_empty() -> None:
    with pytest.raises(ComponentFault) as caught:
        answered(Feedback(" \n"))
    assert caught.value.kind == "empty"
    assert answered(Feedback("", "quit")).action == "quit"
    assert answered(Feedback("", "accept")).accepted == ("m1", "m2")


def test_accepting_before_anything_was_shown_is_malformed() -> None:
    with pytest.raises(ComponentFault, match="nothing was recommended yet"):
        answered(Feedback("yes", "accept"), (), ())


@pytest.mark.parametrize(
    ("raw", "accepted", "rejected"),
    [
        (Feedback("no"), (), ("m1", "m2")),
        (Feedback("no", rejected=()), (), ()),
        (Feedback("no", rejected=["m0"]), (), ("m0",)),
        (Feedback("yes", "accept"), ("m1", "m2"), ()),
        (Feedback("yes", "accept", ("m2",)), ("m2",), ("m1",)),
        (Feedback("the first one after all", "accept", ("m0",)), ("m0",), ("m1", "m2")),
        (Feedback("bye", "quit"), (), ("m1", "m2")),
        (Feedback("m2 is near", "continue", ("m2",)), ("m2",), ("m1",)),
    ],
)
def test_what_was_shown_is_rejected_unless_accepted_or_said_otherwise(
    raw: Feedback, accepted: tuple[str, ...], rejected: tuple[str, ...]
) -> None:
    answer = answered(raw)
    assert (answer.accepted, answer.rejected) == (accepted, rejected)


# ------------------------------------------------------------------------------------------------------------ properties

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5)
    | st.sampled_from(["m1", "m2", "continue", "accept", "quit", "\ud800", Colour.ID, np.float64(2), np.str_("m1"), object()])
    | st.builds(Usage, calls=st.integers() | st.floats()) | st.builds(Statement, st.text(), st.text(), st.integers(-1, 1)),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=5,
)  # fmt: skip


@given(st.builds(Recommendation, anything, anything, anything, anything, st.none(), anything))
def test_every_recommendation_is_recordable_or_a_fault(raw: Recommendation) -> None:
    try:
        given = recommended(raw).recommendation
    except ComponentFault:
        return
    survives(TurnRecord(given.text, given.items, reasoning=given.reasoning, recommender_usage=given.usage))


@given(st.builds(Feedback, anything, anything, anything, anything, anything, st.none(), anything))
def test_every_feedback_is_recordable_or_a_fault(raw: Feedback) -> None:
    try:
        answer = answered(raw)
    except ComponentFault:
        return
    survives(
        TurnRecord(
            user_text=answer.text,
            action=answer.action,
            accepted=answer.accepted,
            rejected=answer.rejected,
            statements=answer.statements,
            simulator_usage=answer.usage,
        )
    )


def survives(turn: TurnRecord) -> None:
    """A record with that turn is read back as it was written."""
    record = DialogueRecord("s", "d", 0, "max_turns", ("m1",), (turn,))
    assert msgspec.json.decode(msgspec.json.encode(record), type=DialogueRecord) == record
