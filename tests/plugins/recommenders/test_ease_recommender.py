from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import dialogue, human, of_items, prepared, seeker, shown, talk

from harness_plugins.recommenders.ease import item_weights


def independent_weights(matrix: np.ndarray, l2: float) -> np.ndarray:
    """B column by column: least squares of one item on all others with an L2 penalty, which is what EASE^R minimises."""
    items = matrix.shape[1]
    weights = np.zeros((items, items))
    for target in range(items):
        others = [i for i in range(items) if i != target]
        features = np.vstack([matrix[:, others], np.sqrt(l2) * np.eye(len(others))])
        wanted = np.concatenate([matrix[:, target], np.zeros(len(others))])
        weights[others, target] = np.linalg.lstsq(features, wanted, rcond=None)[0]
    return weights


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 100))
def test_closed_form_equals_the_constrained_least_squares(seed: int, l2: float) -> None:
    matrix = np.random.default_rng(seed).integers(-1, 2, size=(9, 6)).astype(float)
    np.testing.assert_allclose(item_weights(matrix.T @ matrix, l2), independent_weights(matrix, l2), atol=1e-9)


def test_two_items_by_hand() -> None:
    """G = [[3, 2], [2, 2]], l2 = 1: P = [[3, -2], [-2, 4]] / 8, B_01 = 2 / 4, B_10 = 2 / 3."""
    assert item_weights(np.array([[3.0, 2.0], [2.0, 2.0]]), 1.0) == pytest.approx(np.array([[0, 0.5], [2 / 3, 0]]))


def test_scores_of_a_conversation_are_its_items_rows() -> None:
    baskets = [["f0", "f5"], ["f0", "f5", "f2"], ["f2", "f5"], ["f1", "f3"], ["f1", "f3"], ["f6"]]
    listed = prepared("ease", of_items(*baskets), l2=2.0).recommend(talk(seeker("a", "f0"), human("b", "f1")), 8)
    matrix = np.array([[f"f{i}" in basket for i in range(8)] for basket in baskets], dtype=float)
    weights = independent_weights(matrix, 2.0)
    expected = weights[0] + weights[1]
    assert dict(zip(listed.items, listed.scores, strict=True)) == pytest.approx(
        {f"f{i}": expected[i] for i in range(8) if i not in (0, 1)}, abs=1e-6
    )
    assert listed.items[0] == "f3"
    assert listed.text.startswith("Since The Long Tunnel (1984) came up, how about Never Come Back (1999),")


def test_disliked_items_are_dropped_by_default_and_can_count_against() -> None:
    training = [dialogue(n, seeker("a", "f0", "f1", "f2"), liked=["f0", "f1"], disliked=["f2"]) for n in range(5)]
    conversation = talk(seeker("I liked it", "f0"))
    dropped = prepared("ease", training, l2=1.0).recommend(conversation, 8)
    assert dict(zip(dropped.items, dropped.scores, strict=True))["f2"] == 0
    against = prepared("ease", training, l2=1.0, disliked=1.0).recommend(conversation, 8)
    assert against.items[0] == "f1"
    assert against.items[-1] == "f2"
    assert against.scores[-1] < 0


def test_a_negated_mention_is_not_taken_for_a_liked_one() -> None:
    training = of_items(["f5", "f0"], ["f5", "f0"], ["f1", "f3"])
    conversation = talk(seeker("I hated Paper Moons", "f5"))
    assert set(prepared("ease", training).recommend(conversation, 3).scores) == {0.0}
    assert prepared("ease", training, disliked=1.0).recommend(conversation, 8).items[-1] == "f0"


def test_rejected_items_can_count_against_their_neighbours() -> None:
    training = of_items(["f5", "f0"], ["f5", "f2"], ["f2", "f0"], ["f1", "f3"])
    conversation = talk(seeker("like Paper Moons", "f5"), shown("f0"), seeker("no", rejected=["f0"]), turn=2)
    plain = prepared("ease", training, l2=1.0).recommend(conversation, 8)
    assert plain.items[0] == "f2"
    against = prepared("ease", training, l2=1.0, rejected=2.0).recommend(conversation, 8)
    assert against.items[-1] == "f2"


def test_without_history_the_list_is_the_popular_items() -> None:
    training = of_items(["f5", "f0"], ["f5", "f2"], ["f5"])
    assert prepared("ease", training).recommend(talk(seeker("hello")), 3).items == ("f5", "f0", "f2")


def test_items_that_are_never_together_leave_every_score_at_zero() -> None:
    listed = prepared("ease", of_items(["f5"], ["f1"])).recommend(talk(seeker("a", "f5")), 8)
    assert set(listed.scores) == {0.0}
