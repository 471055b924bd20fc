"""What could be scored at best: reference rankings from the hidden statements and from the known model.

For a test case with named films e_1 .. e_m, earlier targets t with the statements S_t made about them, and statements S about
the hidden target i (model and symbols: `model`):

    w(z)  ~  prod_j Q_z(e_j | e_1 .. e_j-1)  prod_t L(S_t | t, z)        posterior of the type; Q: P or D without named films
    p(i)  ~  sum_z w(z) P[z, i] / (1 - sum_j P[z, e_j])  L(S | i, z)      for every film i that was not named

Ranking by p(i) maximises the expected score of a single target, whichever metric it is. "All the seeker could say" adds the
statements that were not made and the films that would be named next. If a target of the cases handed in was named before
(variant "all"), the known rate of such repetitions is added for the films that can come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api import Ceiling, Scenario, Split
from harness.errors import DataError

from .levels import LEVELS, Difficulty, Level
from .model import Floats, World
from .users import BACK_ONLY, BACK_TOO

_NAMES = ("ndcg@10", "hr@1", "hr@10", "mrr@10")
# Five turns of ten films: the bound of success@5.
_REACH = ("hr@50",)
_CHUNK = 500
_PERSONS = ("director", "star")
_NEEDED = ("level", "named", "past", "said", "unsaid", "later_liked", "later_disliked", "old")
# Types whose posterior is below this share of the likeliest one's can't move a printed digit.
_NEGLIGIBLE = 1e-9

Told = Sequence[tuple[str, str, int]]
"""Statements: facet, value, +1 wanted or -1 unwanted."""


class References:
    """Reference rankings of one world; a row of scores is over the catalogue, higher is better, -inf for impossible films.

    `levels` are the reliabilities that are taken for true.
    """

    def __init__(self, world: World, levels: Mapping[Difficulty, Level] = MappingProxyType(LEVELS)) -> None:
        self._world = world
        self._levels = levels
        with np.errstate(divide="ignore"):
            log = {"liked": np.log(world.taste), "disliked": np.log(world.distaste)}
        self._log = log | {"target": log["liked"]}
        self._mass = {"liked": world.taste, "target": world.taste, "disliked": world.distaste}
        self._past = lru_cache(maxsize=4096)(self._past_likelihood)
        self._common = lru_cache(maxsize=256)(self._common_factor)

    def matching(self, scenario: Scenario, order: Floats) -> tuple[Floats, Floats]:
        """Number of stated values that a film has, less those it should not have; ties by `order` (in [0, 1)).

        From the context, and from all that the seeker could say.
        """
        hidden, score = scenario.private, order.copy()
        score[self._films(film for _, film in hidden["named"])] = -np.inf
        self._count(score, hidden["said"])
        everything = score.copy()
        self._count(everything, hidden["unsaid"])
        return score, everything

    def _count(self, score: Floats, told: Told) -> None:
        for facet, value, polarity in told:
            score += polarity * (self._world.share[facet][self._world.code[facet][value]] > 0)

    def bayes(self, scenario: Scenario) -> tuple[Floats, Floats]:
        """p(i) of the module's docstring: from the context, and from all that the seeker could say."""
        hidden = scenario.private
        level = self._levels[hidden["level"]]
        gone = self._films(film for _, film in hidden["named"])
        weights = self._types(level, hidden["named"], gone, hidden["past"])
        types = np.flatnonzero(weights > _NEGLIGIBLE)
        taste = self._world.taste[types]
        joint = (weights[types] / (1.0 - taste[:, gone].sum(axis=1)))[:, None] * taste
        joint[:, gone] = 0.0
        self._hear(joint, level, types, hidden["said"], ())
        context = joint.sum(axis=0)
        self._hear(joint, level, types, hidden["unsaid"], hidden["said"])
        self._name_later(joint, hidden, gone, types)
        everything = joint.sum(axis=0)
        return _certain(context), _certain(everything)

    def _films(self, names: Iterable[str]) -> list[int]:
        return [self._world.catalogue.position(name) for name in names]

    def _types(self, level: Level, named: Sequence[tuple[str, str]], films: Sequence[int], past: Sequence[Any]) -> Floats:
        """Posterior of the type from the films named and from what was said about earlier targets; largest entry 1."""
        log = np.zeros(len(self._world.taste))
        for number, ((kind, _), film) in enumerate(zip(named, films, strict=True)):
            log += self._log[kind][:, film]
            if number:
                log -= np.log1p(-self._mass[kind][:, films[:number]].sum(axis=1))
        for target, told in past:
            if told:
                log += self._past(level.name, target, tuple(map(tuple, told)))
        out: Floats = np.exp(log - log.max())
        return out

    def _past_likelihood(self, level: Difficulty, target: str, told: tuple[tuple[str, str, int], ...]) -> Floats:
        types = np.arange(len(self._world.taste))
        out = np.zeros(len(types))
        for facet, said in self._by_facet(told).items():
            out += np.log(self._world.likelihood(self._levels[level], facet, said, types, self._films([target]))[:, 0])
        return out

    def _by_facet(self, told: Told) -> dict[str, list[tuple[int, int]]]:
        out: dict[str, list[tuple[int, int]]] = {}
        for facet, value, polarity in told:
            out.setdefault(facet, []).append((self._world.code[facet][value], polarity))
        return out

    def _hear(self, joint: Floats, level: Level, types: NDArray[np.intp], told: Told, before: Told) -> None:
        """Multiply P(told | film, type, said before) into `joint`, in place."""
        earlier = self._by_facet(before)
        for facet, said in self._by_facet(told).items():
            given = [value for value, _ in earlier.get(facet, ())]
            if len(said) > 1 or given:
                joint *= self._world.likelihood(level, facet, said, types, given=given)
            elif facet not in _PERSONS or said[0][1] < 0:
                joint *= self._common(level.name, facet, *said[0])[types if said[0][1] > 0 else slice(None)]
            else:
                # A person has few films: all others differ by the type alone.
                value = said[0][0]
                trust = level.reliability[facet]
                elsewhere = (1.0 - trust) * self._world.own_share[facet][types, value]
                films = np.flatnonzero(self._world.share[facet][value])
                own = trust * self._world.share[facet][value, films]
                joint *= elsewhere[:, None]
                joint[:, films] *= 1.0 + own[None, :] / elsewhere[:, None]

    def _common_factor(self, level: Difficulty, facet: str, value: int, polarity: int) -> Floats:
        types = np.arange(len(self._world.taste))
        return self._world.likelihood(self._levels[level], facet, [(value, polarity)], types)

    def _name_later(self, joint: Floats, hidden: dict[str, Any], named: Sequence[int], types: NDArray[np.intp]) -> None:
        """Multiply P(films that would be named next | target, type) into `joint`: they follow the target and differ from it."""
        gone = list(named)
        for kind in ("liked", "disliked"):
            mass = self._mass[kind][types]
            for film in self._films(hidden[f"later_{kind}"]):
                joint *= mass[:, [film]] / (1.0 - mass[:, gone].sum(axis=1)[:, None] - mass)
                joint[:, film] = 0.0
                gone.append(film)


def _certain(score: Floats) -> Floats:
    """Sums to 1; films that can't be the target are -inf."""
    return np.where(score > 0.0, score / score.sum(), -np.inf)


def ceilings(split: Split) -> list[Ceiling]:
    """Reference scores on exactly the scenarios handed in. Raises DataError if they don't carry the hidden annotation."""
    scenarios = list(split.scenarios)
    if not scenarios:
        return []
    for scenario in scenarios:
        if missing := [key for key in _NEEDED if key not in scenario.private]:
            raise DataError(
                f"scenario {scenario.id!r}, private: {', '.join(missing)} missing; "
                "ceilings need the scenarios as `cinema` loads them"
            )
    world = World(split.catalogue, scenarios[0].private["world"])
    mentions = Counter(i for dialogue in split.training for m in dialogue.messages for i in m.items)
    seen = np.array([mentions[film] for film in world.catalogue.ids], dtype=np.float64)
    repeats = any(not {film for _, film in s.private["named"]}.isdisjoint(s.need.targets) for s in scenarios)

    def posterior(references: References, scenario: Scenario) -> tuple[Floats, Floats]:
        context, everything = references.bayes(scenario)
        if repeats:
            old = [world.catalogue.position(film) for film in scenario.private["old"]]
            return _with_repeats(context, old), _with_repeats(everything, old)
        return context, everything

    full, tasteless = References(world), References(world.averaged())
    order = seen / (seen.max() + 1.0)
    ways: list[tuple[str, str, Callable[[Scenario], tuple[Floats, Floats]]]] = [
        (
            "equal-weight matching",
            "stated values that a film has, less unwanted ones; ties by mentions in training",
            lambda s: full.matching(s, order),
        ),
        (
            "weighted matching",
            "knows how reliable and how rare each stated value is, but nobody's taste",
            lambda s: posterior(tasteless, s),
        ),
        ("Bayes-optimal", "knows the generative model", lambda s: posterior(full, s)),
    ]
    targets = [[world.catalogue.position(t) for t in s.need.targets] for s in scenarios]
    context: list[Ceiling] = []
    everything: list[Ceiling] = []
    for title, note, way in ways:
        ranks = []
        for start in range(0, len(scenarios), _CHUNK):
            scores = np.array([way(s) for s in scenarios[start : start + _CHUNK]])
            ranks.append([target_ranks(scores[:, form], targets[start : start + _CHUNK]) for form in (0, 1)])
        first, second = (np.concatenate([chunk[form] for chunk in ranks]) for form in (0, 1))
        context.append(Ceiling(f"{title} (context)", measure(first, targets, _NAMES), note))
        everything.append(Ceiling(f"{title} (all the seeker could say)", measure(second, targets, _NAMES + _REACH)))
    return context + everything


def _with_repeats(score: Floats, old: list[int]) -> Floats:
    """Adds the films that a recommender may come back to, each as likely as any other."""
    if not old:
        return score
    score = (1.0 - BACK_ONLY) * score
    score[old] = (BACK_ONLY + BACK_TOO) / len(old)
    return score


def target_ranks(scores: Floats, targets: Sequence[Sequence[int]]) -> Floats:
    """The rank from 1 of each row's targets, row after row; equal scores rank in catalogue order, -inf is not ranked (inf).

    `scores` is rows x films, `targets` holds catalogue positions.
    """
    rows = np.repeat(np.arange(len(targets)), [len(wanted) for wanted in targets])
    films = np.array([film for wanted in targets for film in wanted])
    own = scores[rows, films][:, None]
    ahead = (scores[rows] > own) | ((scores[rows] == own) & (np.arange(scores.shape[1]) < films[:, None]))
    return np.where(np.isfinite(own[:, 0]), ahead.sum(axis=1) + 1.0, np.inf)


def measure(ranks: Floats, targets: Sequence[Sequence[int]], names: Sequence[str]) -> dict[str, float]:
    """Means over rows of the standard ranking metrics, from `target_ranks`."""
    rows = np.repeat(np.arange(len(targets)), [len(wanted) for wanted in targets])
    count = np.bincount(rows)
    out = {}
    for name in names:
        metric, k = name.split("@")
        hit = ranks <= int(k)
        if metric == "ndcg":
            gains = np.bincount(rows, np.where(hit, 1.0 / np.log2(ranks + 1.0), 0.0))
            ideal = np.cumsum(1.0 / np.log2(np.arange(2, count.max() + 2)))
            values = gains / ideal[np.minimum(count, int(k)) - 1]
        else:
            best = np.full(len(targets), np.inf)
            np.minimum.at(best, rows, np.where(hit, ranks, np.inf))
            values = 1.0 / best if metric == "mrr" else np.isfinite(best)
        out[name] = float(values.mean())
    return out
