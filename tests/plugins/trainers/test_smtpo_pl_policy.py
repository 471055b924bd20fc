"""The Plackett-Luce policy: probabilities by enumeration, gradients by finite differences, and worlds with a known solution."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Catalogue, Item, Message, Need, RecommenderSetup, Scenario, SimulatorSetup, Split
from harness.rollouts import Environment
from harness_plugins.recommenders.smtpo_pl import policy
from harness_plugins.recommenders.smtpo_pl.recommender import Options, SmtpoPl
from harness_plugins.simulators.controls import ExcludeOnly
from harness_plugins.trainers.smtpo.rl.credit import CreditSettings
from harness_plugins.trainers.smtpo.rl.environment import ndcg_by_turn
from harness_plugins.trainers.smtpo.rl.objective import Clip
from harness_plugins.trainers.smtpo.rl.rewards import Weights
from harness_plugins.trainers.smtpo_pl.learning import Adam, likelihood, surrogate
from harness_plugins.trainers.smtpo_pl.rollouts import Batch, collect, imitation

SCORES = np.array([[1.0, 0.0, -1.0, 0.5]])


def test_the_probabilities_of_all_lists_add_up_to_one() -> None:
    total = 0.0
    for order in itertools.permutations(range(4), 2):
        total += math.exp(policy.log_probabilities(SCORES, np.array([order])).sum())
    assert total == pytest.approx(1.0)


def test_a_probability_by_hand() -> None:
    e = math.e
    first = e / (e + 1 + 1 / e + math.sqrt(e))
    second = 1 / (1 + 1 / e + math.sqrt(e))
    found = policy.log_probabilities(SCORES, np.array([[0, 1, -1]]))
    assert np.exp(found)[0].tolist() == pytest.approx([first, second, 1.0])


def test_drawing_follows_the_distribution() -> None:
    draw = np.random.default_rng(0)
    firsts = [int(policy.sample(SCORES[0], 2, draw.uniform(1e-12, 1, 4))[0]) for _ in range(4000)]
    share = np.bincount(firsts, minlength=4) / 4000
    assert np.allclose(share, np.exp(SCORES[0]) / np.exp(SCORES[0]).sum(), atol=0.03)


def test_what_is_not_there_is_never_drawn() -> None:
    scores = np.array([0.0, -np.inf, 1.0])
    assert set(policy.sample(scores, 3, np.full(3, 0.5)).tolist()) == {0, 2}


def _batch(seed: int) -> Batch:
    draw = np.random.default_rng(seed)
    rows, candidates, width, k = 3, 5, 4, 3
    there = np.ones((rows, candidates), dtype=bool)
    there[0, 4] = False
    features = draw.normal(size=(rows, candidates, width)) * there[:, :, None]
    lists = np.array([[2, 0, 1], [4, 1, -1], [0, 3, 2]])
    mask = (lists >= 0) & (draw.random((rows, k)) < 0.8)
    old = np.minimum(-0.1, draw.normal(-1.2, 0.3, (rows, k)))
    return Batch(features, there, lists, old, draw.normal(size=(rows, k)), mask, np.array([0, -1, 2]), {})


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    batch = _batch(seed)
    draw = np.random.default_rng(seed + 1)
    weights, reference = draw.normal(size=4), draw.normal(size=4)
    clip = Clip(beta=0.05, low=0.9, high=50.0)  # wide enough that no ratio stands at a kink

    def numeric(value: object) -> list[float]:
        steps = np.eye(4) * 1e-6
        return [(value(weights + step) - value(weights - step)) / 2e-6 for step in steps]  # type: ignore[operator]

    found = surrogate(batch, weights, reference, clip)[1]
    assert found.tolist() == pytest.approx(numeric(lambda w: surrogate(batch, w, reference, clip)[0].loss), abs=1e-5)
    assert likelihood(batch, weights)[1].tolist() == pytest.approx(numeric(lambda w: likelihood(batch, w)[0]), abs=1e-5)


def test_on_policy_the_gradient_is_that_of_reinforce() -> None:
    """With logp = old nothing is clipped, and the gradient is minus the mean of A times the gradient of log pi."""
    batch = _batch(3)
    weights = np.random.default_rng(1).normal(size=4)
    scores = np.where(batch.there, batch.features @ weights, -np.inf)
    batch = msgspec.structs.replace(batch, old=policy.log_probabilities(scores, batch.lists))
    step, gradient = surrogate(batch, weights, None, Clip())
    masked = np.where(batch.mask, batch.advantage, 0.0)
    expected = -np.einsum("nc,ncd->d", policy.score_gradient(scores, batch.lists, masked), batch.features) / batch.mask.sum()
    assert gradient.tolist() == pytest.approx(expected.tolist())
    assert step.clipped == 0.0


def test_adam_is_adam() -> None:
    adam = Adam(0.1)
    weights = adam.step(np.array([1.0, -1.0]), np.array([0.5, -2.0]))
    assert weights.tolist() == pytest.approx([0.9, -0.9])  # the first step has the learning rate's size, whatever the gradient
    again = msgspec.json.decode(msgspec.json.encode(adam), type=Adam)
    assert again.step(weights, np.ones(2)).tolist() == adam.step(weights, np.ones(2)).tolist()


# ------------------------------------------------------------------------------------------------- a world that is known

SIZE = 6
PLANTED = Catalogue(
    Item(f"{place}{tone}", f"Film {place}{tone}", attributes={"place": (f"harbour{place}",), "tone": (f"grim{tone}",)})
    for place in range(SIZE)
    for tone in range(SIZE)
)
BEST = sum(1 / math.log2(rank + 1) for rank in range(1, SIZE)) / (SIZE - 1)
"""Everybody says a true place and a false tone: at best the target is any of the other five films of that place."""


def _scenario(number: int) -> Scenario:
    draw = np.random.default_rng(number)
    place, tone = (int(n) for n in draw.integers(SIZE, size=2))
    other = (tone + int(draw.integers(1, SIZE))) % SIZE
    said = Message("seeker", f"I want harbour{place}, and grim{tone}.")
    return Scenario(f"s{number}", f"d{number}", (said,), Need((f"{place}{other}",)))


SPLIT = Split("train", [_scenario(n) for n in range(400)], (), PLANTED)


def _player() -> SmtpoPl:
    player = SmtpoPl(Options(retriever="attribute-match", candidates=SIZE * SIZE, exclude_rejected=True))
    player.prepare(RecommenderSetup(PLANTED, (), 10, 0))
    return player


def _environment() -> Environment:
    simulator = ExcludeOnly(None)
    simulator.prepare(SimulatorSetup(PLANTED, (), 2, 0))
    return Environment(SPLIT, simulator, name="exclude-only")


@pytest.mark.parametrize(
    "credit",
    [
        CreditSettings(credit="turn"),
        CreditSettings(credit="trajectory"),
        CreditSettings(credit="state-group"),
        CreditSettings(credit="turn", baseline="leave-one-out"),
        CreditSettings(ranks="exp_inf"),
        CreditSettings(ranks="log_decay"),
    ],
    ids=["turn", "trajectory", "state-group", "leave-one-out", "exp_inf", "log_decay"],
)
def test_a_planted_world_is_solved(credit: CreditSettings) -> None:
    """Which of two statements can be trusted is learned from the reward alone, with every kind of credit."""
    player, environment = _player(), _environment()
    held_out = SPLIT.scenarios[300:]

    def first_turn() -> float:
        return float(ndcg_by_turn(environment.play(player, held_out, turns=1), 1).mean())

    before = first_turn()
    weights, adam = player.weights.copy(), Adam(0.2)
    for step in range(12):
        chosen = [SPLIT.scenarios[(step * 12 + n) % 300] for n in range(12)]
        batch = collect(environment, player, weights, chosen, group=8, turns=2, seed=step, rewards=Weights(), credit=credit)
        weights = adam.step(weights, surrogate(batch, weights, None, Clip())[1])
    player.weights = weights
    assert before < BEST - 0.1
    assert first_turn() > BEST - 0.06
    named = dict(zip(player.features.names, weights, strict=True))
    assert named["wanted:place"] > 1.0 > 0.3 > named["wanted:tone"]


def test_rollouts_are_the_same_whatever_is_played_beside_them() -> None:
    environment, credit = _environment(), CreditSettings()

    def play(scenarios: list[Scenario]) -> Batch:
        player = _player()
        return collect(
            environment, player, player.weights, scenarios, group=2, turns=2, seed=5, rewards=Weights(), credit=credit
        )

    alone, among = play([_scenario(7)]), play([_scenario(7), _scenario(8), _scenario(9)])
    assert np.array_equal(alone.lists, among.lists[: len(alone.lists)])
    assert np.array_equal(alone.advantage, among.advantage[: len(alone.advantage)])


def test_imitation_of_the_teacher_ranks_as_the_teacher() -> None:
    player, environment = _player(), _environment()
    teacher = player.weights.copy()
    batch = collect(
        environment,
        player,
        np.zeros(len(teacher)),
        SPLIT.scenarios[:10],
        group=2,
        turns=1,
        seed=0,
        rewards=Weights(),
        credit=CreditSettings(),
    )
    lessons = imitation(batch, teacher)
    weights, adam = np.zeros(len(teacher)), Adam(0.3)
    first = likelihood(lessons, weights)[0]
    for _ in range(40):
        weights = adam.step(weights, likelihood(lessons, weights)[1])
    assert likelihood(lessons, weights)[0] < 0.75 * first
    both = batch.features @ weights
    for number in range(len(both)):
        assert both[number].argmax() == lessons.lists[number, 0]
    assert imitation(batch, None).lists[:, 1:].max() == -1
