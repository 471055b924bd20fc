"""Dialogues of an exploring Plackett-Luce policy, as arrays to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Conversation, DialogueRecord, Scenario
from harness.rollouts import Environment

from ...recommenders.smtpo_pl import policy
from ...recommenders.smtpo_pl.features import Candidates
from ...recommenders.smtpo_pl.recommender import Decision, SmtpoPl
from ..smtpo.rl.credit import CreditSettings, advantages, rank_advantages, returns_to_go, totals
from ..smtpo.rl.environment import ENDED, dialogue_keys
from ..smtpo.rl.rewards import Answer, Judge, Weights

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Drawn(msgspec.Struct, frozen=True):
    """The lists drawn in one state; the first was shown."""

    candidates: Candidates
    scores: Floats
    lists: tuple[policy.Positions, ...]


class Explorer(SmtpoPl):
    """A prepared recommender that draws its lists and remembers them. `lists` > 1 draws more than the one it shows."""

    def __init__(self, prepared: SmtpoPl, weights: Floats, lists: int = 1) -> None:
        self.options, self.features, self._catalogue = prepared.options, prepared.features, prepared._catalogue
        self.weights = weights
        self._lists = lists
        self.drawn: dict[tuple[int, int], Drawn] = {}

    def order(self, conversation: Conversation, decision: Decision) -> policy.Positions:
        count = len(decision.scores)
        uniforms = np.random.default_rng([conversation.seed, conversation.turn]).uniform(1e-12, 1.0, (self._lists, count))
        lists = tuple(policy.sample(decision.scores, len(decision.chosen), row) for row in uniforms)
        self.drawn[conversation.seed, conversation.turn] = Drawn(decision.candidates, decision.scores, lists)
        return lists[0]


class Batch(msgspec.Struct, frozen=True):
    """One row per drawn list. `features` [rows, candidates, d] (0 where there is none), `there` [rows, candidates],
    `lists`, `old`, `advantage`, `mask` [rows, k]; `targets` [rows] the position of a target among the candidates, -1 where the
    retriever has missed; `log` are means over the batch."""

    features: Floats
    there: Flags
    lists: policy.Positions
    old: Floats
    advantage: Floats
    mask: Flags
    targets: policy.Positions
    log: dict[str, float]


def collect(
    environment: Environment,
    prepared: SmtpoPl,
    weights: Floats,
    scenarios: Sequence[Scenario],
    *,
    group: int,
    turns: int,
    seed: int,
    rewards: Weights,
    credit: CreditSettings,
) -> Batch:
    """Play `group` dialogues per scenario (state-group: one dialogue, `group` lists per state) and give credit."""
    of_state = credit.credit == "state-group"
    trials = 1 if of_state else group
    explorer = Explorer(prepared, weights, group if of_state else 1)
    records = environment.play(explorer, scenarios, turns=turns, trials=trials, seed=seed)
    seeds = {key: seed_ for seed_, key in dialogue_keys(scenarios, trials, seed).items()}
    collector = _Collector(environment, explorer, seeds, group, turns, rewards, credit)
    for scenario in scenarios:
        collector.add(scenario, [records[scenario.id, trial] for trial in range(trials)])
    return collector.batch()


class _Collector:
    def __init__(
        self,
        environment: Environment,
        explorer: Explorer,
        seeds: dict[tuple[str, int], int],
        group: int,
        turns: int,
        rewards: Weights,
        credit: CreditSettings,
    ) -> None:
        self._environment, self._explorer, self._seeds = environment, explorer, seeds
        self._group, self._turns, self._rewards, self._credit = group, turns, rewards, credit
        self._rows: list[tuple[Drawn, policy.Positions, Floats, Flags, int]] = []
        self._told: dict[str, list[float]] = {"reward": [], "recommendation": [], "missed": [], "skipped": []}

    def add(self, scenario: Scenario, records: Sequence[DialogueRecord]) -> None:
        """One group: its rewards, its advantages, its rows."""
        group, turns, k = self._group, self._turns, self._environment.k
        catalogue = self._environment.split.catalogue
        judge = Judge(catalogue, scenario.need, k)
        of_state = self._credit.credit == "state-group"
        played = np.zeros((group, turns), dtype=np.bool_)
        reward = np.full((group, turns), np.nan)
        hits = np.zeros((group, turns, k))
        drawn: dict[tuple[int, int], tuple[Drawn, policy.Positions]] = {}
        for trial, record in enumerate(records):
            key = self._seeds[record.scenario, record.trial]
            for turn in range(len(record.turns)):
                found = self._explorer.drawn.get((key, turn + 1))
                if found is None:
                    continue
                retrieved = {catalogue[row].id for row in found.candidates.rows}
                for number, chosen in enumerate(found.lists):
                    row = number if of_state else trial
                    items = tuple(catalogue[r].id for r in found.candidates.rows[chosen])
                    value = judge(Answer(True, items), retrieved).recommendation
                    played[row, turn] = True
                    drawn[row, turn] = (found, chosen)
                    if value is not None:
                        reward[row, turn] = value
                        hits[row, turn] = judge.hits(items, k)
                    self._told["missed"].append(float(value is None))
                    if value is not None:
                        self._told["recommendation"].append(value)
        ended = np.array([record.stop in ENDED for record in records] * (group if of_state else 1))
        if of_state:
            ended[:] = False  # each state stands for itself
        advantage, used = self._advantages(reward, played, ended, hits)
        wanted = [catalogue.position(target) for target in scenario.need.targets]
        for (row, turn), (found, chosen) in drawn.items():
            at = np.flatnonzero(np.isin(found.candidates.rows, wanted))
            self._rows.append((found, chosen, advantage[row, turn], used[row, turn], int(at[0]) if len(at) else -1))
            self._told["skipped"].append(float(not used[row, turn].any()))
        self._told["reward"].append(float(np.nanmean(np.where(played, np.nan_to_num(reward), np.nan))))

    def _advantages(self, reward: Floats, played: Flags, ended: Flags, hits: Floats) -> tuple[Floats, Flags]:
        """(advantages, used), both [G, T, k]."""
        total = totals({"recommendation": reward}, {"recommendation": self._rewards.recommendation}, played, ended)
        k = hits.shape[2]
        if self._credit.ranks == "off":
            advantage, used = advantages(total, played, self._credit)
            return np.repeat(advantage[:, :, None], k, 2), np.repeat(used[:, :, None], k, 2)
        to_go = returns_to_go(total, self._credit.gamma)
        reachable = played & ~np.isnan(reward)
        out, kept = np.zeros(hits.shape), np.zeros(hits.shape, dtype=np.bool_)
        for turn in range(reward.shape[1]):
            future = None
            if self._credit.credit != "state-group" and turn + 1 < reward.shape[1]:
                future = self._credit.gamma * to_go[:, turn + 1]
            weighted = hits[:, turn] * self._rewards.recommendation
            out[:, turn], kept[:, turn] = rank_advantages(
                weighted, reachable[:, turn], self._credit.ranks, baseline=self._credit.baseline, future=future
            )
        return out, kept

    def batch(self) -> Batch:
        """All rows, in one shape."""
        rows, k = self._rows, self._environment.k
        most = max((len(found.scores) for found, *_ in rows), default=0)
        width = self._explorer.weights.shape[0]
        features = np.zeros((len(rows), most, width))
        there = np.zeros((len(rows), most), dtype=np.bool_)
        scores = np.full((len(rows), most), -np.inf)
        lists = np.full((len(rows), k), -1, dtype=np.int64)
        advantage, mask = np.zeros((len(rows), k)), np.zeros((len(rows), k), dtype=np.bool_)
        targets = np.array([row[-1] for row in rows], dtype=np.int64)
        for number, (found, chosen, worth, used, _) in enumerate(rows):
            count = len(found.scores)
            features[number, :count] = found.candidates.features
            there[number, :count] = True
            scores[number, :count] = found.scores
            lists[number, : len(chosen)] = chosen
            advantage[number] = worth
            mask[number] = used & (lists[number] >= 0)
        log = {name: float(np.mean(values)) if values else 0.0 for name, values in self._told.items()}
        log["entropy"] = float(policy.entropy(scores).mean()) if len(rows) else 0.0
        return Batch(features, there, lists, policy.log_probabilities(scores, lists), advantage, mask, targets, log)


def imitation(batch: Batch, teacher: Floats | None) -> Batch:
    """The same states with other lists: the most probable ones of the teacher's weights, or (None) the target alone."""
    lists = np.full(batch.lists.shape, -1, dtype=np.int64)
    if teacher is None:
        lists[:, 0] = batch.targets
    else:
        scores = np.where(batch.there, batch.features @ teacher, -np.inf)
        for number, row in enumerate(scores):
            chosen = policy.best(row, lists.shape[1])
            lists[number, : len(chosen)] = chosen
    return msgspec.structs.replace(batch, lists=lists)
