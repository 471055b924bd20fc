from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness_plugins.recommenders.topk import top_k

scores_with_ties = st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 1.0, 7.0]) | st.floats(-10, 10), max_size=60)


@given(scores_with_ties, st.integers(-1, 70))
def test_equals_a_full_sort_by_score_then_position(scores: list[float], k: int) -> None:
    order = sorted((-score, position) for position, score in enumerate(scores) if score > -np.inf)
    expected = [position for _, position in order][: max(k, 0)]
    assert top_k(np.array(scores, dtype=np.float64), k).tolist() == expected


def test_of_equal_scores_the_first_positions_are_kept() -> None:
    assert top_k(np.array([1.0, 2.0, 1.0, 1.0]), 2).tolist() == [1, 0]
