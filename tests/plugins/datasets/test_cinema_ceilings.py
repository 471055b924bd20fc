"""The reference scores: exact, calibrated, and in the order that makes the data worth learning on."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.api import Catalogue, Split
from harness.errors import DataError
from harness_plugins.datasets.cinema import Cinema, Options
from harness_plugins.datasets.cinema.ceilings import References, ceilings, measure, target_ranks
from harness_plugins.datasets.cinema.films import load_films
from harness_plugins.datasets.cinema.generate import dialogues
from harness_plugins.datasets.cinema.levels import LEVELS
from harness_plugins.datasets.cinema.model import World
from harness_plugins.datasets.cinema.stored import Cutter
from harness_plugins.datasets.cinema.users import BACK_ONLY, BACK_TOO

DOCUMENT = Path(__file__).parents[3] / "docs" / "cinema.md"
WAYS = ("equal-weight matching", "weighted matching", "Bayes-optimal")
LEVELS_SLOWLY = [pytest.param(name, marks=() if name == "standard" else pytest.mark.slow) for name in LEVELS]
FORMS = ("context", "all the seeker could say")


@pytest.fixture(scope="module")
def test_split():
    return Cinema().load("test")


@pytest.fixture(scope="module")
def train():
    return Cinema().load("train")


@pytest.fixture(scope="module")
def world(test_split):
    return World(test_split.catalogue, test_split.scenarios[0].private["world"])


def novel(split: Split) -> Split:
    rows = []
    for scenario in split.scenarios:
        named = {i for m in scenario.context for i in m.items}
        if left := tuple(t for t in scenario.need.targets if t not in named):
            rows.append(msgspec.structs.replace(scenario, need=msgspec.structs.replace(scenario.need, targets=left)))
    return msgspec.structs.replace(split, scenarios=rows)


def positions(split):
    return [[split.catalogue.position(t) for t in s.need.targets] for s in split.scenarios]


# ------------------------------------------------------------------------------------------------------------- exactness


def by_hand(world: World, scenario, everything: bool) -> dict[str, float]:
    """The posterior of the target by plain loops over types and films, from the tables of tastes and the catalogue alone."""
    level = LEVELS[scenario.private["level"]]
    films = list(world.catalogue)
    number = {item.id: n for n, item in enumerate(films)}

    def gives(item, facet, value):
        values = item.attributes[facet]
        return values.count(value) / len(values)

    @cache
    def elsewhere(facet, value, z):
        return sum(
            world.taste[z, n] * gives(item, facet, value) for n, item in enumerate(films) if value in item.attributes[facet]
        )

    @cache
    def base(facet, value):
        return sum(gives(item, facet, value) for item in films) / len(films)

    @cache
    def foreign(facet, held):
        return sum(base(facet, value) for value in world.values[facet] if value not in held)

    def probability(facet, value, polarity, item, z):
        trust = (level.reliability if polarity > 0 else level.unwanted_reliability)[facet]
        if polarity > 0:
            return trust * gives(item, facet, value) + (1 - trust) * elsewhere(facet, value, z)
        held = item.attributes[facet]
        return (1 - trust) * gives(item, facet, value) if value in held else trust * base(facet, value) / foreign(facet, held)

    def told(statements, item, z):
        out, earlier = 1.0, {}
        for facet, value, polarity in statements:
            taken = sum(probability(facet, other, polarity, item, z) for other in earlier.get(facet, ()))
            out *= probability(facet, value, polarity, item, z) / (1 - taken)
            earlier.setdefault(facet, []).append(value)
        return out

    hidden = scenario.private
    statements = list(hidden["said"])
    if everything:
        statements += hidden["unsaid"]
    score = dict.fromkeys(number, 0.0)
    for z in range(len(world.taste)):
        gone, weight = [], 1.0
        for kind, film in hidden["named"]:
            row = world.distaste[z] if kind == "disliked" else world.taste[z]
            weight *= row[number[film]] / (1 - sum(row[g] for g in gone))
            gone.append(number[film])
        for film, said in hidden["past"]:
            weight *= told(said, films[number[film]], z)
        left = 1 - sum(world.taste[z, g] for g in gone)
        for n, item in enumerate(films):
            if n in gone:
                continue
            chance = weight * world.taste[z, n] / left * told(statements, item, z)
            if everything:
                after = [*gone, n]
                for kind, row in (("later_liked", world.taste[z]), ("later_disliked", world.distaste[z])):
                    for film in hidden[kind]:
                        chance *= 0.0 if number[film] in after else row[number[film]] / (1 - sum(row[g] for g in after))
                        after.append(number[film])
            score[item.id] += chance
    total = sum(score.values())
    return {film: value / total for film, value in score.items()}


@pytest.mark.parametrize("difficulty", LEVELS)
def test_the_posterior_equals_the_plain_sum(difficulty):
    """On a small world, for a late wish, for two values of one facet, and for an unwanted value."""
    world = World(Catalogue(list(load_films())[::9]), seed=3)
    cutter = Cutter(world, difficulty)
    rows = [s for d in dialogues(world, difficulty, "train", 40) for s in cutter.scenarios(d)]
    references = References(world)
    some = [
        next(s for s in rows if len(s.private["past"]) == 2 and s.private["said"] and s.private["later_liked"]),
        next(s for s in rows if len({f for f, _, _ in s.private["said"]}) < len(s.private["said"])),
        next(s for s in rows if any(p < 0 for _, _, p in s.private["said"]) and s.private["later_disliked"]),
    ]
    for scenario in some:
        for everything, found in zip((False, True), references.bayes(scenario), strict=True):
            wanted = by_hand(world, scenario, everything)
            found = np.where(np.isfinite(found), found, 0.0)
            assert found == pytest.approx(np.array([wanted[film] for film in world.catalogue.ids]), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("difficulty", LEVELS_SLOWLY)
def test_probabilities_are_calibrated(difficulty):
    """What the model claims for its first and its first ten films is what comes true: unwanted values, slips and all."""
    split = novel(Cinema(Options(difficulty=difficulty)).load("train"))
    rows = split.scenarios[:500]
    references = References(World(split.catalogue, rows[0].private["world"]))
    claims, hits = ([], []), ([], [])
    for scenario in rows:
        target = split.catalogue.position(scenario.need.targets[0])
        for form, score in enumerate(references.bayes(scenario)):
            best = np.argsort(-score)[:10]
            claims[form].append((score[best[0]], score[best].sum()))
            hits[form].append((best[0] == target, target in best))
    for claimed, hit in zip(claims, hits, strict=True):
        error = np.sqrt((np.array(claimed) * (1 - np.array(claimed))).sum(axis=0)) / len(rows)
        assert np.abs(np.mean(claimed, axis=0) - np.mean(hit, axis=0)) == pytest.approx(np.zeros(2), abs=4 * error.max())


# ------------------------------------------------------------------------------------------------------------- what is printed


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_the_documented_table(difficulty):
    split = novel(Cinema(Options(difficulty=difficulty)).load("test"))
    compare_with_document(split, difficulty, ceilings(split))


def compare_with_document(split, difficulty, found):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"({len(split.scenarios):,} rows)" in text
    column = list(LEVELS).index(difficulty)
    for ceiling in found:
        line = re.search(rf"^\| {re.escape(ceiling.name)} \|(.*)\|$", text, re.MULTILINE)
        assert float(line[1].split("|")[column]) == pytest.approx(ceiling.values["ndcg@10"], abs=0.0011)


def test_names_metrics_order_and_document(test_split):
    rows = novel(test_split)
    printed = Cinema().ceilings(rows)
    compare_with_document(rows, "standard", printed)
    found = {ceiling.name: ceiling.values for ceiling in printed}
    assert list(found) == [f"{way} ({form})" for form in FORMS for way in WAYS]
    for form in FORMS:
        for metric in ("ndcg@10", "hr@1", "hr@10", "mrr@10"):
            scores = [found[f"{way} ({form})"][metric] for way in WAYS]
            assert scores == sorted(scores)
            assert scores[2] > scores[0] + 0.05
    for way in WAYS:
        assert found[f"{way} ({FORMS[1]})"]["ndcg@10"] > found[f"{way} ({FORMS[0]})"]["ndcg@10"] + 0.1
        assert found[f"{way} ({FORMS[1]})"]["hr@50"] >= found[f"{way} ({FORMS[1]})"]["hr@10"]


def test_scores_are_of_exactly_the_rows_handed_in(test_split):
    rows = novel(test_split)
    halves = [msgspec.structs.replace(rows, scenarios=rows.scenarios[a:b]) for a, b in ((0, 30), (30, 70))]
    both = msgspec.structs.replace(rows, scenarios=rows.scenarios[:70])
    first, second, whole = (ceilings(part) for part in (*halves, both))
    for a, b, c in zip(first, second, whole, strict=True):
        for metric, value in c.values.items():
            assert (30 * a.values[metric] + 40 * b.values[metric]) / 70 == pytest.approx(value, abs=1e-12)
    assert ceilings(msgspec.structs.replace(rows, scenarios=[])) == []


def test_repetition_is_foreseen_in_the_variant_all(test_split):
    """Rows of the raw variant: the known rate of repetition helps, and its rows are lost to who leaves named films out."""
    named = [s for s in test_split.scenarios if set(s.need.targets) <= {i for m in s.context for i in m.items}]
    eligible = [s for s in test_split.scenarios if s.private["old"]]
    assert len(named) / len(eligible) == pytest.approx(BACK_ONLY, abs=0.02)
    together = [s for s in eligible if len(s.need.targets) == 2]
    assert len(together) / len(eligible) == pytest.approx(BACK_TOO, abs=0.02)
    found = {c.name: c.values["hr@10"] for c in ceilings(msgspec.structs.replace(test_split, scenarios=named))}
    assert found["equal-weight matching (context)"] == 0.0
    assert found["Bayes-optimal (context)"] > 0.3


def test_other_scenarios_are_refused(test_split):
    bare = [msgspec.structs.replace(test_split.scenarios[0], private={})]
    with pytest.raises(DataError, match=r"test-00001-1:\d+'.*private: level, named"):
        ceilings(msgspec.structs.replace(test_split, scenarios=bare))


# ------------------------------------------------------------------------------------------------------------- worth learning


def score(split, rankings) -> float:
    return measure(target_ranks(np.array(rankings), positions(split)), positions(split), ("ndcg@10",))["ndcg@10"]


def test_tastes_are_collaborative_and_not_only_popularity(test_split, world):
    """Named films alone, without any statement, tell far more than popularity."""
    rows = novel(test_split)
    silent = [
        msgspec.structs.replace(s, private={**s.private, "said": [], "unsaid": [], "later_liked": (), "later_disliked": ()})
        for s in rows.scenarios
    ]
    references = References(world)
    taste = score(rows, [references.bayes(s)[0] for s in silent])
    fame = score(rows, [world.taste.mean(axis=0)] * len(silent))
    assert fame < 0.1
    assert taste > 2.5 * fame


def test_unequal_reliability_matters(train, world):
    """Who believes that all facets are equally reliable scores less, although everything else of the model is known."""
    rows = novel(train)
    rows = msgspec.structs.replace(rows, scenarios=rows.scenarios[:600])
    level = LEVELS["standard"]
    mean = sum(level.reliability.values()) / len(level.reliability)
    believed = {"standard": msgspec.structs.replace(level, reliability=dict.fromkeys(level.reliability, mean))}
    found = [
        [score(rows, form) for form in zip(*(references.bayes(s) for s in rows.scenarios), strict=True)]
        for references in (References(world), References(world, believed))
    ]
    for right, wrong, least in zip(*found, (0.01, 0.02), strict=True):
        assert right > wrong + least


# ------------------------------------------------------------------------------------------------------------- metrics


def test_metrics_by_hand():
    scores = np.array([[3.0, 1.0, 1.0, 2.0], [-np.inf, 5.0, 5.0, 5.0]])
    # Row 1: films 2 and 0 rank 4th (after film 1, a tie) and 1st. Row 2: film 0 is impossible, film 3 is third of three equals.
    targets = [[2, 0], [0, 3]]
    ranks = target_ranks(scores, targets)
    assert ranks.tolist() == [4.0, 1.0, math.inf, 3.0]
    found = measure(ranks, targets, ("hr@1", "hr@3", "mrr@10", "ndcg@3", "ndcg@1"))
    assert found["hr@1"] == 0.5
    assert found["hr@3"] == 1.0
    assert found["mrr@10"] == pytest.approx((1 + 1 / 3) / 2)
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg@3"] == pytest.approx((1 / ideal + 0.5 / ideal) / 2)
    assert found["ndcg@1"] == 0.5


def test_metrics_equal_an_independent_evaluator():
    measures = pytest.importorskip("ir_measures")
    draw = np.random.default_rng(4)
    scores = draw.random((60, 120))
    targets = [sorted(draw.choice(120, size=draw.integers(1, 15), replace=False).tolist()) for _ in range(60)]
    qrels = [measures.Qrel(str(q), str(t), 1) for q, wanted in enumerate(targets) for t in wanted]
    run = [measures.ScoredDoc(str(q), str(i), float(v)) for q, row in enumerate(scores) for i, v in enumerate(row)]
    pairs = {"ndcg@10": "nDCG@10", "hr@1": "Success@1", "hr@10": "Success@10", "hr@50": "Success@50", "mrr@10": "RR@10"}
    wanted = measures.calc_aggregate([measures.parse_measure(name) for name in pairs.values()], qrels, run)
    found = measure(target_ranks(scores, targets), targets, tuple(pairs))
    for ours, theirs in pairs.items():
        assert found[ours] == pytest.approx(wanted[measures.parse_measure(theirs)], abs=1e-9)
