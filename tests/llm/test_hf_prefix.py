"""Beginnings that are kept: what is found is really shared, and the limit holds."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.llm.hf_prefix import BLOCK, Beginning, PrefixStore, common

# Few tokens and repeated blocks, so that beginnings meet often and part anywhere.
prompts = st.lists(
    st.lists(st.integers(0, 1), min_size=1, max_size=5).map(lambda bits: [b for bit in bits for b in [bit] * 11]), max_size=12
)


def shared_length(one: list[int], other: list[int]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@given(prompts)
def test_what_is_found_is_the_longest_shared_beginning_up_to_a_block(kept):
    store = PrefixStore(100_000)
    for tokens in kept:
        store.add(Beginning(tokens, []))
    for tokens in kept:
        asked = [*tokens[: len(tokens) * 2 // 3], 7, 7]
        found, shared = store.find(asked)
        best = max(shared_length(one, asked) for one in kept)
        if found is not None:
            assert found.tokens[:shared] == asked[:shared]
            assert shared <= best
        assert shared >= best // BLOCK * BLOCK


def test_something_is_always_left_to_compute():
    store = PrefixStore(1_000)
    tokens = list(range(3 * BLOCK))
    store.add(Beginning(tokens, []))
    assert store.find(tokens)[1] == len(tokens) - 1
    assert store.find(tokens[: BLOCK + 1])[1] == BLOCK
    assert store.find(tokens[:BLOCK]) == (None, 0)


def test_the_beginnings_unused_for_longest_make_room():
    store = PrefixStore(5 * BLOCK)
    old, used, new = ([n] * (2 * BLOCK) for n in (1, 2, 3))
    store.add(Beginning(old, []))
    store.add(Beginning(used, []))
    assert store.find([*old, 9])[0] is not None
    store.add(Beginning(new, []))
    assert store.find([*used, 9]) == (None, 0)
    assert store.find([*old, 9])[1] == len(old)
    assert store.find([*new, 9])[1] == len(new)


def test_a_dialogues_longer_beginning_replaces_its_shorter_one():
    store = PrefixStore(7 * BLOCK)
    first, other = Beginning([1] * (2 * BLOCK), []), Beginning([2] * BLOCK, [])
    store.add(other)
    store.add(first)
    longer = Beginning([1] * (5 * BLOCK), [])
    store.add(longer, instead=first)
    assert store.find([1] * 100)[0] is longer
    assert store.find([2] * 100)[0] is other, "both would not have fitted beside the shorter one"


@given(st.lists(st.integers(0, 2), max_size=40), st.lists(st.integers(0, 2), max_size=40))
def test_common_beginning(one, other):
    assert common(one, other) == shared_length(one, other)
