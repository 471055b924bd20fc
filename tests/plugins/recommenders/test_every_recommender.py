"""What holds for all of them, whatever they are told."""

from __future__ import annotations

import functools
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import names, prepared, random_conversation, random_world, seeker, talk

CATALOGUE, TRAINING = random_world(11)
conversations = st.builds(
    functools.partial(random_conversation, CATALOGUE), seed=st.integers(0, 10**9), turns=st.integers(1, 6)
)


@functools.cache
def recommender(name: str) -> Any:
    return prepared(name, TRAINING, CATALOGUE)


@pytest.mark.parametrize("name", names())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversation=conversations, k=st.integers(1, 50))
def test_lists_at_most_k_distinct_known_items_and_none_turned_down(name: str, conversation: Any, k: int) -> None:
    given = recommender(name).recommend(conversation, k)
    assert len(given.items) == len(set(given.items)) <= k
    assert all(item in CATALOGUE for item in given.items)
    assert not set(given.items) & set(conversation.rejected)
    if name != "copy-history":
        assert not set(given.items) & set(conversation.mentioned)
        assert len(given.items) == min(k, len(CATALOGUE) - len({*conversation.rejected, *conversation.mentioned}))
    assert given.text
    if given.scores is not None:
        assert list(given.scores) == sorted(given.scores, reverse=True)
    msgspec.json.encode(given)


@pytest.mark.parametrize("name", names())
@settings(max_examples=20, deadline=None)
@given(conversation=conversations)
def test_a_shorter_list_is_the_beginning_of_a_longer_one(name: str, conversation: Any) -> None:
    assert recommender(name).recommend(conversation, 30).items[:5] == recommender(name).recommend(conversation, 5).items or (
        name == "random"
    )


@pytest.mark.parametrize("name", names())
def test_company_order_and_threads_change_nothing(name: str) -> None:
    talks = [random_conversation(CATALOGUE, seed, 1 + seed % 5) for seed in range(60)]
    alone = [prepared(name, TRAINING, CATALOGUE).recommend(talks[n], 10) for n in (0, 17, 59)]
    fresh = prepared(name, TRAINING, CATALOGUE)
    shuffled = list(range(60))
    random.Random(5).shuffle(shuffled)
    with ThreadPoolExecutor(8) as pool:
        parallel = dict(zip(shuffled, pool.map(lambda n: fresh.recommend(talks[n], 10), shuffled), strict=True))
    assert [parallel[n] for n in range(60)] == [recommender(name).recommend(t, 10) for t in talks]
    assert [parallel[n] for n in (0, 17, 59)] == alone


@pytest.mark.parametrize("name", names())
def test_rejected_items_come_back_when_told_to(name: str) -> None:
    first = prepared(name, TRAINING, CATALOGUE, exclude_rejected=False)
    opening = talk(seeker("I would like a horror film", *CATALOGUE.ids[:2]))
    shown = first.recommend(opening, 5).items
    rejecting = talk(*opening.messages, seeker("no", rejected=CATALOGUE.ids))
    assert len(shown) > 0
    assert len(first.recommend(rejecting, 5).items) == len(shown)
    assert recommender(name).recommend(rejecting, 5).items == ()


@pytest.mark.parametrize("name", names())
def test_the_training_dialogues_are_not_needed_after_prepare(name: str) -> None:
    training = list(TRAINING)
    kept = prepared(name, training, CATALOGUE)
    before = kept.recommend(talk(seeker("a western")), 5)
    training.clear()
    assert kept.recommend(talk(seeker("a western")), 5) == before
