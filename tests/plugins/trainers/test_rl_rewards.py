"""Rewards of multi-turn RL: by hand, against the evaluation's own metric, and what must not pay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api import Catalogue, Item, Need
from harness_plugins.metrics.ranking import Ndcg, Options
from harness_plugins.trainers.smtpo.rl.rewards import Answer, Judge, TurnReward, Weights, f1, ndcg, preference, refused_values

FILMS = Catalogue(
    [
        Item("alien", "Alien", 1979, {"genre": ("horror", "science fiction"), "director": ("Ridley Scott",)}),
        Item("heat", "Heat", 1995, {"genre": ("crime",), "director": ("Michael Mann",)}),
        *(Item(f"x{n:02d}", f"X {n}", 2000, {"genre": ("drama",)}) for n in range(20)),
    ]
)
JUDGE = Judge(FILMS, Need(("alien",)))
LIST = ("heat", "alien", *(f"x{n:02d}" for n in range(8)))
CANDIDATES = set(FILMS.ids)


def worth(answer: Answer, refused: set[str] | None = None) -> float:
    return JUDGE(answer, CANDIDATES, refused or set()).total(Weights())


def test_the_terms_of_a_turn_by_hand() -> None:
    reward = JUDGE(Answer(True, LIST, ("Horror", "drama")), CANDIDATES, {"drama"})
    # Second place: 1 / log2(3). One of two stated values is right, the target has three: F1 = 2 * 1 / 5. Half is refused.
    assert reward == TurnReward(1.0, 1 / math.log2(3), pytest.approx(0.4 - 0.5))
    assert reward.total(Weights()) == pytest.approx(0.1 + 1 / math.log2(3) + 0.3 * -0.1)
    assert reward.total(Weights(format=0, recommendation=2, preference=0)) == pytest.approx(2 / math.log2(3))


def test_an_invalid_answer_earns_nothing_even_with_a_perfect_list() -> None:
    assert JUDGE(Answer(False, ("alien",), ("horror",)), CANDIDATES) == TurnReward(0.0, 0.0, 0.0)


def test_where_the_retriever_missed_the_list_is_not_judged() -> None:
    reward = JUDGE(Answer(True, LIST, ("horror",)), CANDIDATES - {"alien"})
    assert reward.recommendation is None
    assert reward.total(Weights()) == pytest.approx(0.1 + 0.3 * 0.5)


def test_a_policy_that_states_no_preference_has_no_such_term() -> None:
    assert JUDGE(Answer(True, LIST), CANDIDATES).preference is None


@given(
    st.lists(st.integers(0, 15), min_size=0, max_size=14, unique=True),
    st.sets(st.integers(0, 15), min_size=1, max_size=4),
    st.integers(1, 12),
)
def test_ndcg_is_the_metric_that_is_reported(ranked: list[int], targets: set[int], k: int) -> None:
    metric = Ndcg(Options(k=k))
    ranks = np.array([[ranked.index(t) + 1 if t in ranked else 0 for t in sorted(targets)]])
    expected = metric._values(ranks, np.array([len(targets)]))[0]
    assert ndcg([str(i) for i in ranked], {str(t) for t in targets}, k) == pytest.approx(expected, abs=1e-12)


def test_a_repeated_target_counts_once() -> None:
    assert ndcg(["a", "a", "a"], {"a", "b"}) == pytest.approx(1 / (1 + 1 / math.log2(3)))


# ------------------------------------------------------------------------------------------------------ what must not pay

HONEST = Answer(True, LIST, ("horror", "science fiction"))


def test_listing_every_attribute_pays_less_than_stating_what_was_said() -> None:
    everything = tuple({value for item in FILMS for values in item.attributes.values() for value in values})
    assert worth(Answer(True, LIST, everything)) < worth(HONEST)


def test_repeating_a_liked_value_pays_nothing() -> None:
    assert worth(Answer(True, LIST, ("horror",) * 50)) == worth(Answer(True, LIST, ("Horror",)))


def test_copying_the_feedback_pays_less_than_reading_it() -> None:
    feedback = "I want horror and science fiction, please, no crime"
    whole, words = (feedback,), tuple(feedback.split())
    assert worth(Answer(True, LIST, whole), {"crime"}) < worth(HONEST, {"crime"})
    assert worth(Answer(True, LIST, words), {"crime"}) < worth(HONEST, {"crime"})
    # Naming what was refused as liked is worse than leaving it out.
    assert worth(Answer(True, LIST, ("horror", "science fiction", "crime")), {"crime"}) < worth(HONEST, {"crime"})


def test_f1_and_preference_of_nothing() -> None:
    assert f1(set(), {"a"}) == f1({"a"}, set()) == 0.0
    assert preference((), [{"horror"}], {"horror"}) == preference((" ",), [{"horror"}], ()) == 0.0
    assert preference(("horror",), [], ("horror",)) == -1.0


def test_several_targets_the_closest_one_counts() -> None:
    assert preference(("crime",), [{"horror"}, {"crime"}], ()) == 1.0


def test_the_last_word_on_a_value_counts() -> None:
    assert refused_values([("horror", -1), ("crime", 1), ("horror", 1), ("crime", -1)]) == {"crime"}
