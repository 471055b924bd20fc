"""Dealing: every dialogue ends exactly once, whoever dies, and the one that kills its worker is found."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engines.dealing import AHEAD, Dealer

counts = st.integers(1, 200)
workers = st.integers(1, 7)
at_once = st.integers(1, 70)


def dealer(count: int, workers: int, at_once: int) -> Dealer:
    return Dealer(((n, 0) for n in range(count)), count, workers=workers, at_once=at_once)


def play(dealt: Dealer, names: list[str], draw: random.Random, deadly: set[int], mortality: float) -> tuple[list[int], int]:
    """Play to the end with workers that die by chance, and always of a deadly dialogue. (recorded, deaths)"""
    recorded: list[int] = []
    deaths = 0
    fresh = itertools.count()
    alive = {place: f"{place}.{next(fresh)}" for place in names}
    while dealt.left:
        place = draw.choice(names)
        worker = alive[place]
        dealt.deal(worker)
        held = dealt.held(worker)
        if not held:
            continue
        chosen = draw.choice(held)
        if chosen[0] in deadly or draw.random() < mortality:
            lost = dealt.lost(worker)
            assert set(lost) == set(held)
            deaths += 1
            alive[place] = f"{place}.{next(fresh)}"
        else:
            assert dealt.recorded(worker, chosen)
            recorded.append(chosen[0])
    return recorded, deaths


@settings(max_examples=40)
@given(counts, workers, at_once, st.randoms(use_true_random=False))
def test_every_dialogue_is_recorded_once_though_workers_die(count: int, some: int, once: int, draw: random.Random) -> None:
    dealt = dealer(count, some, once)
    recorded, _ = play(dealt, [f"w{n}" for n in range(some)], draw, set(), 0.03)
    assert sorted(recorded + [position for position, _ in dealt.given_up]) == list(range(count))


@settings(max_examples=40)
@given(st.integers(2, 200), workers, at_once, st.data(), st.randoms(use_true_random=False))
def test_what_kills_is_found_and_nothing_else_is_given_up(
    count: int, some: int, once: int, data: st.DataObject, draw: random.Random
) -> None:
    deadly = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=3))
    dealt = dealer(count, some, once)
    recorded, deaths = play(dealt, [f"w{n}" for n in range(some)], draw, deadly, 0.0)
    assert {position for position, _ in dealt.given_up} == deadly
    assert sorted(recorded) == sorted(set(range(count)) - deadly)
    assert deaths <= 8 * len(deadly)


@given(counts, workers, at_once)
def test_nobody_holds_more_than_agreed_or_than_a_fair_share(count: int, some: int, once: int) -> None:
    dealt = dealer(count, some, once)
    held = [len(dealt.deal(f"w{n}")) for n in range(some)]
    assert max(held) <= once + AHEAD
    share = -(-count // some)
    assert max(held) <= share + AHEAD
    assert sum(held) == count or min(held) >= once


def test_nobody_holds_a_store_at_the_end() -> None:
    """With 4 workers that play 2 at once, the last dialogues are dealt as they are wanted."""
    dealt = dealer(1000, 4, 2)
    names = ["a", "b", "c", "d"]
    turn = itertools.cycle(names)
    while dealt.left > 16:
        name = next(turn)
        dealt.deal(name)
        dealt.recorded(name, dealt.held(name)[0])
    assert max(len(dealt.held(name)) for name in names) <= 4


def test_what_was_never_given_cannot_be_brought_back() -> None:
    dealt = dealer(4, 2, 1)
    mine = dealt.deal("a")
    assert not dealt.recorded("b", mine[0])
    assert dealt.recorded("a", mine[0])
    assert not dealt.recorded("a", mine[0])
    dealt.lost("a")
    assert not dealt.recorded("a", (1, 0))


def test_the_company_of_a_suspect_shrinks_until_it_is_alone() -> None:
    dealt = dealer(64, 1, 64)
    suspect, sizes = (63, 0), []
    for number in itertools.count():
        if not dealt.left:
            break
        while not (dealt.deal(f"w{number}") and suspect in dealt.held(f"w{number}")):
            for job in dealt.held(f"w{number}"):
                dealt.recorded(f"w{number}", job)
        sizes.append(len(dealt.held(f"w{number}")))
        dealt.lost(f"w{number}")
    assert sizes == [64, 64, 16, 4, 1, 1, 1]
    assert dealt.given_up == [suspect]


@pytest.mark.parametrize("left", [1, 3, 9])
def test_fewer_dialogues_than_workers_can_play_are_spread(left: int) -> None:
    dealt = dealer(left, 3, 8)
    assert [len(dealt.deal(name)) for name in "abc"] == [left // 3 or 1, left // 3, left // 3]
