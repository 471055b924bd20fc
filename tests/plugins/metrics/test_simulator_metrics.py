from __future__ import annotations

import pytest
from played import dialogue, make, per_turn, scenario, whole

from harness.api import Message, Statement, TurnRecord


def said(*statements: tuple[str, str, int], items: str = "x") -> TurnRecord:
    """A turn that the seeker answered with structured statements."""
    return TurnRecord(
        "t", tuple(items), user_text="...", action="continue", statements=tuple(Statement(*s) for s in statements)
    )


def wrote(text: str, items: str = "x") -> TurnRecord:
    """A turn that the seeker answered with a text alone."""
    return TurnRecord("t", tuple(items), user_text=text, action="continue")


ACCEPT = TurnRecord("t", ("x", "a"), user_text="that one", action="accept")


def test_attribute_precision_recall_and_f1_accumulate_over_turns():
    # The target a is horror by Ann Lee: two wanted attributes.
    record = dialogue(
        said(("genre", "Horror", 1), ("genre", "western", 1)),  # one right of two; one of two wanted named
        said(("genre", "comedy", -1), ("director", "ann lee", 1)),  # both right: comedy isn't wanted
        "x",  # the last turn is not answered
    )
    need = scenario()
    assert per_turn(make("attribute-precision"), record, need) == pytest.approx([1 / 2, 3 / 4, 3 / 4])
    assert per_turn(make("attribute-recall"), record, need) == pytest.approx([1 / 2, 1.0, 1.0])
    assert per_turn(make("attribute-f1"), record, need) == pytest.approx([1 / 2, 6 / 7, 6 / 7])


def test_statements_are_read_from_the_text_where_the_simulator_gives_none():
    record = dialogue(wrote("Some horror please, but no westerns... no western!"), wrote("By Ann Lee."), "x")
    assert per_turn(make("attribute-precision"), record, scenario()) == [1.0, 1.0, 1.0]
    assert per_turn(make("attribute-recall"), record, scenario()) == [0.5, 1.0, 1.0]


def test_to_deny_what_is_wanted_is_wrong_and_to_repeat_adds_nothing():
    record = dialogue(said(("genre", "horror", -1)), said(("genre", "western", -1)), said(("genre", "western", -1)))
    assert per_turn(make("attribute-precision"), record, scenario()) == [0.0, 0.5, 0.5]
    assert per_turn(make("attribute-f1"), record, scenario()) == [0.0, 0.0, 0.0]


def test_the_need_itself_knows_more_than_the_targets():
    need = scenario(targets=("b",), liked_attributes={"mood": ("dark",)}, disliked_attributes={"genre": ("comedy",)})
    record = dialogue(said(("mood", "dark", 1)), said(("genre", "comedy", 1)), said(("genre", "comedy", -1)), targets=("b",))
    assert per_turn(make("attribute-precision"), record, need) == pytest.approx([1.0, 1 / 2, 2 / 3])
    # Wanted: dark, horror, Ann Lee; comedy is disliked although the target has it.
    assert per_turn(make("attribute-recall"), record, need) == pytest.approx([1 / 3] * 3)


def test_silence_is_no_precision_and_no_recall():
    record = dialogue(said(), said(), "x")
    assert per_turn(make("attribute-precision"), record, scenario()) == [None] * 3
    assert per_turn(make("attribute-recall"), record, scenario()) == [0.0] * 3
    assert per_turn(make("attribute-f1"), record, scenario()) == [0.0] * 3


@pytest.mark.parametrize(
    "name", ["attribute-precision", "attribute-recall", "attribute-f1", "polarity", "contradiction", "agreement"]
)
def test_without_the_scenario_or_without_a_simulator_there_is_no_value(name):
    metric = make(name)
    answered, static = dialogue(said(("genre", "horror", 1)), "x", "x"), dialogue("a", "b", "c")
    ask = whole if metric.level == "dialogue" else per_turn
    assert ask(metric, answered) in (None, [None] * 3)
    assert ask(metric, static, scenario=scenario(liked_items=("c",), disliked_items=("d",))) in (None, [None] * 3)


def test_polarity_asks_only_about_what_the_need_knows():
    need = scenario(disliked_items=("c",))  # western is unwanted, horror and Ann Lee are wanted
    record = dialogue(
        said(("genre", "horror", 1), ("genre", "western", 1), ("genre", "comedy", 1)),
        said(("genre", "western", -1)),
        said(("genre", "comedy", -1)),
    )
    assert per_turn(make("polarity"), record, need) == [0.5, 1.0, None]


def test_contradiction_with_the_context_and_with_earlier_turns():
    need = scenario((Message("seeker", "I hate western films"), Message("recommender", "A comedy? No horror?")))
    record = dialogue(
        said(
            ("genre", "western", 1), ("genre", "horror", 1)
        ),  # western contradicts the context; the recommender's words don't count
        said(("genre", "western", 1)),  # agrees with what was said last
        said(("genre", "horror", -1)),  # contradicts turn 1
    )
    assert per_turn(make("contradiction"), record, need) == [0.5, 0.0, 1.0]
    assert per_turn(make("contradiction"), dialogue(said(), "x", "x"), need) == [None] * 3


def test_accept_precision_and_recall():
    assert per_turn(make("accept-precision"), dialogue(ACCEPT)) == [1.0, None, None]
    assert per_turn(make("accept-recall"), dialogue(ACCEPT)) == [1.0, None, None]
    missed = dialogue(wrote("no", "ax"), wrote("no", "xy"), "a")
    assert per_turn(make("accept-recall"), missed) == [0.0, None, None], "turn 2 had no target, turn 3 no answer"
    assert per_turn(make("accept-precision"), missed) == [None] * 3


def test_to_accept_another_item_beside_the_target_is_wrong():
    wrong = TurnRecord("t", ("x", "a"), user_text="x it is", action="accept", accepted=("x",))
    assert per_turn(make("accept-precision"), dialogue(wrong)) == [0.0, None, None]
    assert per_turn(make("accept-recall"), dialogue(wrong)) == [0.0, None, None]
    earlier = TurnRecord("t", ("x",), user_text="the first one", action="accept", accepted=("a",))
    assert per_turn(make("accept-precision"), dialogue(wrote("hm", "a"), earlier)) == [None, 1.0, None]


def test_leak_rate_counts_answers():
    leak = TurnRecord("t", ("x",), user_text="I want [title]", action="continue", leaks=("a",))
    assert per_turn(make("leak-rate"), dialogue(leak, wrote("horror"), "x")) == [1.0, 0.0, None]


def test_agreement_with_the_humans_labels():
    need = scenario(liked_items=("b", "a"), disliked_items=("c", "d"))
    turn = TurnRecord("t", ("a", "b", "c", "e"), user_text="no", action="continue", rejected=("a", "b", "c", "e"))
    # a is the target, e has no label: b was liked and rejected, c was disliked and rejected.
    assert whole(make("agreement"), dialogue(turn, "x", "x"), scenario=need) == 0.5
    accept = TurnRecord("t", ("b", "d"), user_text="ok", action="accept", accepted=("b",))
    assert whole(make("agreement"), dialogue(turn, accept), scenario=need) == pytest.approx(2 / 3)
    assert whole(make("agreement"), dialogue("bcd", "x", "x"), scenario=need) is None, "nobody judged anything"


def test_distinct_n_over_the_run():
    first, second = (
        dialogue(wrote("Show me films"), wrote("show ME a film"), "x"),
        dialogue(wrote("films"), "x", "x", name="s2"),
    )
    # show me films show me a film films: 8 words, 5 different; pairs: show-me me-films show-me me-a a-film: 5, 4 different.
    assert whole(make("distinct-1"), first, second) == pytest.approx(5 / 8)
    assert whole(make("distinct-2"), first, second) == pytest.approx(4 / 5)
    assert whole(make("distinct-2"), second) is None
