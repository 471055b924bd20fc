"""Dialogues of the policy as rows of tokens: one row per turn, with the terms of its reward.

A group is G dialogues of one scenario, T rows each (state-group: one dialogue, G answers at each of its T turns); a turn that
was not played is a row that counts nothing. The seeker's and the retriever's words stand in prompts only, so the loss, which is
over completions, never sees them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Scenario
from harness.errors import ComponentFault
from harness.llm.api import Completion
from harness.rollouts import Environment
from harness.scenarios import derive_seed

from ....recommenders.smtpo.recommender import read
from ....smtpo.cards import stated
from .credit import CreditSettings, advantages, rank_advantages, returns_to_go, totals
from .environment import ENDED
from .policy import Player, Said, State
from .rewards import Answer, Judge, TurnReward, Weights

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_CANDIDATE: Final = re.compile(r"\[\s*C\s*\d[\d\s]*\]")


class Row(msgspec.Struct, frozen=True):
    """One turn. `terms` are format, recommendation (NaN: the retriever missed) and preference; `hits` per rank of the list."""

    prompt: list[int]
    completion: list[int]
    played: bool
    ended: bool = False
    """The seeker ended this row's dialogue: what its last turn was worth counts for the turns that it saved."""
    terms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hits: tuple[float, ...] = ()
    truncated: bool = False
    logprobs: list[float] | None = None


class Rollouts:
    """Plays and judges."""

    def __init__(self, environment: Environment, player: Player, scenarios: Sequence[Scenario], nothing: int) -> None:
        """`nothing` is a token id to fill the rows of turns that were not played with."""
        self._environment, self._player = environment, player
        self._scenarios = {scenario.id: scenario for scenario in scenarios}
        self._empty = [nothing]

    def rows(self, dialogues: Sequence[tuple[str, int]], *, turns: int, horizon: int, seed: int, answers: int = 1) -> list[Row]:
        """`horizon` rows for each (scenario id, trial), at most `turns` of them played; with `answers` > 1, for each of the
        answers drawn at every turn. In the order of `dialogues`, then by answer, then by turn."""
        trials = 1 + max(trial for _, trial in dialogues)
        chosen = [self._scenarios[name] for name in dict.fromkeys(name for name, _ in dialogues)]
        records = self._player.play(self._environment, chosen, turns=turns, trials=trials, seed=seed, only=frozenset(dialogues))
        rows: list[Row] = []
        for name, trial in dialogues:
            judge = Judge(self._environment.split.catalogue, self._scenarios[name].need, self._environment.k)
            ended = answers == 1 and records[name, trial].stop in ENDED
            key = derive_seed(seed, name, trial, "recommender", 0)
            for number in range(answers):
                rows += [self._row(key, turn, number, judge, ended) for turn in range(1, horizon + 1)]
        return rows

    def _row(self, seed: int, turn: int, number: int, judge: Judge, ended: bool) -> Row:
        call, state = self._player.recorder.calls.get((seed, turn)), self._player.states.get((seed, turn))
        if call is None or state is None:
            return Row(self._empty, self._empty, False, ended)
        said = call.answers[number]
        answer, reward = self._judged(said, state, judge)
        missed = reward.recommendation is None
        return Row(
            call.prompt,
            said.tokens,
            True,
            ended,
            (reward.format, np.nan if missed else float(reward.recommendation or 0.0), float(reward.preference or 0.0)),
            tuple(judge.hits(answer.items, self._environment.k)),
            said.finish == "length",
            said.logprobs,
        )

    def _judged(self, said: Said, state: State, judge: Judge) -> tuple[Answer, TurnReward]:
        shown = state.shown
        try:
            chain = read(Completion(said.text, said.finish), len(shown), min(self._player.how.answer, len(shown)))
        except ComponentFault:
            answer = Answer(False, (), ())
        else:
            answer = Answer(True, tuple(shown[number - 1].id for number in chain.answer), chain.likes)
        groups = stated(state.conversation, self._player.reader)
        refused = {statement.value for name in ("not", "lately not") for statement in groups[name]}
        return answer, judge(answer, {item.id for item in shown}, refused)


class Credited(msgspec.Struct, frozen=True):
    """Advantages per row [rows], whether the row's group has variance [rows], and per rank of the list [rows, k] or None."""

    advantage: Floats
    used: Flags
    by_rank: Floats | None
    log: dict[str, float]


def credited(
    terms: Floats,
    played: Flags,
    ended: Flags,
    hits: Floats,
    *,
    group: int,
    horizon: int,
    weights: Weights,
    credit: CreditSettings,
) -> Credited:
    """Credit over all rows of all processes: terms [rows, 3], played and ended [rows], hits [rows, k]; rows are grouped as
    [scenarios, group, horizon]."""
    count = len(played) // (group * horizon)
    named: Mapping[str, float] = msgspec.structs.asdict(weights)
    advantage, used = np.zeros(len(played)), np.zeros(len(played), dtype=np.bool_)
    by_rank = np.zeros(hits.shape) if credit.ranks != "off" else None
    for number in range(count):
        part = slice(number * group * horizon, (number + 1) * group * horizon)
        shape = (group, horizon)
        there, over = played[part].reshape(shape), ended[part].reshape(shape)[:, 0]
        columns = {name: terms[part, place].reshape(shape) for place, name in enumerate(named)}
        total = totals(columns, named, there, over)
        values, kept = advantages(total, there, credit)
        advantage[part], used[part] = values.ravel(), kept.ravel()
        if by_rank is not None:
            to_go = returns_to_go(total, credit.gamma)
            places = hits[part].reshape(*shape, -1)
            found = np.zeros(places.shape)
            for turn in range(horizon):
                later = credit.credit != "state-group" and turn + 1 < horizon
                future = credit.gamma * to_go[:, turn + 1] if later else None
                found[:, turn], some = rank_advantages(
                    places[:, turn] * weights.recommendation,
                    there[:, turn] & ~np.isnan(columns["recommendation"][:, turn]),
                    "exp_inf" if credit.ranks == "exp_inf" else "log_decay",
                    baseline=credit.baseline,
                    future=future,
                )
                used[part] |= np.pad(some.any(axis=1)[:, None], ((0, 0), (turn, horizon - turn - 1))).ravel()
            by_rank[part] = found.reshape(-1, places.shape[2])
    return Credited(advantage, used, by_rank, _told(terms, played, used, weights))


def _told(terms: Floats, played: Flags, used: Flags, weights: Weights) -> dict[str, float]:
    if not played.any():
        return {}
    held = terms[played]
    seen = held[:, 1][~np.isnan(held[:, 1])]
    return {
        "reward": float((np.nan_to_num(held) @ np.array(msgspec.structs.astuple(weights))).mean()),
        "reward/format": float(held[:, 0].mean()),
        "reward/recommendation": float(seen.mean()) if len(seen) else 0.0,
        "reward/preference": float(held[:, 2].mean()),
        "missed": float(np.isnan(held[:, 1]).mean()),
        "skipped": float(1.0 - used[played].mean()),
        "played": float(played.mean()),
    }


def item_tokens(tokenizer: Any, tokens: Sequence[int], k: int) -> list[int]:
    """Rank of the list that each token belongs to, from 0; -1 outside of the answer's candidates (and all -1 without one)."""
    pieces = [str(piece or "") for piece in tokenizer.convert_ids_to_tokens(list(tokens))]
    ends = np.cumsum([len(piece) for piece in pieces])
    text = "".join(pieces)
    opened = text.rfind("<answer>")
    ranks = [-1] * len(tokens)
    if opened < 0:
        return ranks
    start = opened + len("<answer>")
    for rank, match in enumerate(_CANDIDATE.finditer(text, start)):
        if rank == k:
            break
        for place, (end, piece) in enumerate(zip(ends, pieces, strict=True)):
            if end > match.start() and end - len(piece) < match.end():
                ranks[place] = rank
    return ranks
