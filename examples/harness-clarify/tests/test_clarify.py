"""What the kit can't know: that each component does what it is for. Every clause of the protocol is tested by the settings in
pyproject.toml (`harness_check`)."""

import pytest
from harness import (
    Catalogue,
    Conversation,
    Item,
    Knowledge,
    Message,
    MetricSetup,
    RecommenderSetup,
    SimulatorSetup,
    TurnView,
    Unscored,
)
from harness.api import DialogueRecord, Need, Scenario, TurnRecord
from harness.testing import World

from harness_clarify import metric, recommender, simulator

FILMS = Catalogue(
    [
        Item("duel", "Duel at Noon", 1952, {"genre": ("western",)}),
        Item("laugh", "The Last Laugh Track", 2001, {"genre": ("comedy",)}),
        Item("spurs", "Silly Spurs", 1984, {"genre": ("western", "comedy")}),
    ]
)


# ---- the recommender


@pytest.fixture
def clarify(harness_world: World) -> recommender.Clarify:
    made = recommender.Clarify(recommender.Options())
    made.prepare(RecommenderSetup(harness_world.catalogue, harness_world.training, k=5, seed=0))
    return made


def test_it_asks_once_and_then_recommends_what_it_was_told(clarify: recommender.Clarify) -> None:
    hello = Message("seeker", "Hello, a film for tonight?")
    question = clarify.recommend(Conversation((hello,)), 5)
    assert question.items == ()
    assert question.text.startswith("Which genre would you like: ")
    said = (hello, Message("recommender", question.text), Message("seeker", "A western, please."))
    given = clarify.recommend(Conversation(said, turn=2, state=question.state), 2)
    assert all("western" in clarify.catalogue.get(i).attributes["genre"] for i in given.items)
    silent = (hello, Message("recommender", question.text), Message("seeker", "I don't mind."))
    assert clarify.recommend(Conversation(silent, turn=2, state=question.state), 5).items, "it does not ask again"


def test_it_does_not_ask_for_what_was_said(clarify: recommender.Clarify) -> None:
    given = clarify.recommend(Conversation((Message("seeker", "Some horror, no comedy."),)), 1)
    attributes = clarify.catalogue.get(given.items[0]).attributes
    assert "horror" in attributes["genre"]
    assert "comedy" not in attributes["genre"]


# ---- the simulated user


def answer(text: str, *ranked: str, state: object = None, **options: object) -> simulator.Feedback:
    made = simulator.Impatient(simulator.Options(**options))
    made.prepare(SimulatorSetup(FILMS, (), max_turns=5, seed=0))
    likes = Knowledge(
        "profile",
        liked_attributes={"star": ("Ann Oak",), "genre": ("western",)},
        disliked_attributes={"genre": ("comedy",)},
    )
    return made.reply(Conversation((Message("recommender", text, ranked=ranked),), state=state), likes)


def test_it_answers_the_question_that_it_is_asked() -> None:
    assert answer("Which genre would you like?").text == "I'd like western."
    assert answer("Which star would you like?", style="terse").text == "Ann Oak"


def test_it_takes_what_fits_and_nothing_that_it_dislikes() -> None:
    taken = answer("These?", "laugh", "spurs", "duel", enough=1)
    assert (taken.action, taken.accepted) == ("accept", ("duel",))


def test_bad_lists_cost_its_patience_and_questions_do_not() -> None:
    first = answer("These?", "laugh", patience=2)
    asked = answer("Which genre?", state=first.state, patience=2)
    assert (first.action, asked.action) == ("continue", "continue")
    assert answer("These?", "laugh", state=asked.state, patience=2).action == "quit"


# ---- the metric


def value(*items: str, said: str, k: int = 10) -> float | Unscored:
    made = metric.Heeds(metric.Options(k=k))
    made.prepare(MetricSetup(FILMS, {}, k=10, max_turns=2))
    turns = (TurnRecord("What do you like?", user_text=said), TurnRecord("These:", items))
    dialogue = DialogueRecord("s1", "d1", 0, "max_turns", ("duel",), turns)
    scenario = Scenario("s1", "d1", (), Need(("duel",)))
    return made.score(TurnView(dialogue, scenario, 2, items, (0,), True, turns[1]))


def test_values_worked_out_by_hand() -> None:
    assert value("duel", "laugh", "spurs", said="A western, no comedy.") == pytest.approx(1 / 3)
    assert value("duel", "laugh", "spurs", said="A western.") == pytest.approx(2 / 3)
    assert value("duel", "laugh", said="A western.", k=1) == 1.0


def test_without_a_wish_or_a_list_there_is_no_value() -> None:
    assert value("duel", said="Hm.") == Unscored("the seeker had asked for nothing yet")
    assert value(said="A western.") == Unscored("nothing was listed")
