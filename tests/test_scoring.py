"""Scores of recorded runs: denominators, averages, readings, trials, and what is refused. Numbers by hand or by brute force."""

from __future__ import annotations

import json
import math
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.api import (
    AttemptRecord,
    Catalogue,
    DialogueRecord,
    Item,
    Message,
    MetricSetup,
    Need,
    Scenario,
    TurnRecord,
    Unscored,
    Usage,
)
from harness.comparison import paired_gain
from harness.errors import DataError, PluginError, UsageError
from harness.scoring import BoundMetric, Reading, RunScores, score_run
from harness.views import dialogue_view, fault_turn, views

CATALOGUE = Catalogue(Item(name, name.upper()) for name in "abcdefxyz")


class Rank:
    """1 / rank of the first target: a ranking metric as a plugin would write it, by `score` alone."""

    level, family, higher_is_better, bounds = "turn", "ranking", True, (0.0, 1.0)

    def prepare(self, setup: MetricSetup) -> None:
        pass

    def score(self, view: Any) -> float | Unscored:
        found = [rank for rank in view.ranks if rank]
        return 1 / min(found) if found else 0.0


class FastRank(Rank):
    """The same over many lists at once."""

    def score_ranks(self, ranks: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0).max(axis=1)


class Words(Rank):
    """Words of the seeker's answer: a mean over the turns that have one."""

    family, over_turns, bounds = "simulator", "mean", (0.0, math.inf)

    def score(self, view: Any) -> float | Unscored:
        if view.record is None or view.record.user_text is None:
            return Unscored("no answer")
        return float(len(view.record.user_text.split()))


class Turns(Rank):
    """Turns played, per dialogue; fewer are better."""

    level, family, higher_is_better, bounds = "dialogue", "interaction", False, (0.0, math.inf)

    def score(self, view: Any) -> float:
        return float(sum(turn.played for turn in view.turns))


class Count(Rank):
    """Dialogues of a run."""

    level, family, bounds = "run", "recommender", (0.0, math.inf)

    def score(self, view: Any) -> float:
        return float(sum(1 for _ in view.dialogues))


def record(name: str, *lists: str, targets: str = "a", stop: str = "max_turns", **fields: Any) -> DialogueRecord:
    turns = tuple(TurnRecord("t", tuple(items)) for items in lists)
    return DialogueRecord(
        scenario=name,
        source=fields.pop("source", f"source of {name}"),
        trial=fields.pop("trial", 0),
        stop=stop,
        targets=tuple(targets),
        turns=turns,
        **fields,
    )


def score(records: Any, *metrics: Any, turns: int = 3, k: int = 5, **options: Any) -> RunScores:
    bound = [BoundMetric(type(metric).__name__.lower(), metric) for metric in metrics or (FastRank(),)]
    scenarios = options.pop("scenarios", None)
    options.setdefault("resamples", 200)
    return score_run(records, bound, MetricSetup(CATALOGUE, {}, k, turns), scenarios, **options)


def metric(records: Any, *metrics: Any, **options: Any) -> dict[str, Any]:
    """The summary of the first metric."""
    return next(iter(score(records, *metrics, **options).summary["metrics"].values()))


# ---------------------------------------------------------------------------------------------------------------- views


@pytest.mark.parametrize("stop", ["accepted", "quit", "leak"])
def test_after_the_end_the_last_list_is_carried(stop):
    turns = dialogue_view(record("s", "xa", "ax", stop=stop, targets="ab"), None, 4).turns
    assert [turn.ranks for turn in turns] == [(2, 0), (1, 0), (1, 0), (1, 0)]
    assert [turn.items for turn in turns[1:]] == [("a", "x")] * 3
    assert [turn.played for turn in turns] == [True, True, False, False]


def test_an_empty_last_list_is_carried_too():
    turns = dialogue_view(record("s", "a", "", stop="quit"), None, 3).turns
    assert [turn.ranks for turn in turns] == [(1,), (0,), (0,)]


def test_a_recommenders_fault_is_a_miss_from_its_turn_on():
    boom = (AttemptRecord("recommender", "exception", "boom", turn=3),)
    turns = dialogue_view(record("s", "a", "xa", stop="recommender_fault", faults=boom), None, 4).turns
    assert [turn.ranks for turn in turns] == [(1,), (2,), (0,), (0,)]
    assert [turn.items for turn in turns[2:]] == [(), ()]


def test_the_list_of_a_faulted_turn_does_not_count():
    bad = (AttemptRecord("simulator", "empty", "", turn=1), AttemptRecord("recommender", "out_of_catalogue", "", turn=2))
    faulted = record("s", "xa", "a?", stop="recommender_fault", faults=bad)
    assert fault_turn(faulted) == 2
    assert [turn.ranks for turn in dialogue_view(faulted, None, 3).turns] == [(2,), (0,), (0,)]


def test_first_occurrence_counts_and_other_ids_keep_their_places():
    [turn] = dialogue_view(record("s", "?xbxab", targets="ab"), None, 1).turns
    assert turn.ranks == (5, 3)


def test_only_valid_dialogues_are_seen():
    stops = ["accepted", "quit", "max_turns", "leak", "recommender_fault", "simulator_fault", "transport", "cancelled"]
    seen = [view.dialogue.stop for view in views([record(s, "x", stop=s) for s in stops], None, 1)]
    assert seen == stops[:5]


def test_more_turns_than_were_played_cannot_be_scored_but_fewer_can():
    with pytest.raises(UsageError, match="2 turns at most"):
        list(views([record("s", "x", "a")], None, 5))
    [view] = views([record("s", "x", "a")], None, 1)
    assert [turn.ranks for turn in view.turns] == [(0,)]


# ------------------------------------------------------------------------------------------------------------- averages


def test_macro_micro_turns_and_best_so_far_by_hand():
    run = [
        record("s1", "xa", "bx", "xxb", targets="ab"),  # 1/2, 1, 1/3; by label at the end: a 0, b 1/3
        record("s2", "cx", "xc", stop="accepted", targets="c"),  # 1, 1/2, carried 1/2
    ]
    found = metric(run)
    assert found["by_turn"] == pytest.approx([3 / 4, 3 / 4, 5 / 12])
    assert found["cumulative_by_turn"] == pytest.approx([3 / 4, 1.0, 1.0])
    assert found["value"] == pytest.approx(5 / 12)
    assert found["micro"]["value"] == pytest.approx((0 + 1 / 3 + 1 / 2) / 3)
    assert found["micro"]["labels"] == 3
    assert (found["n"], found["clusters"]) == (2, 2)
    assert found["ci"] == pytest.approx([1 / 3, 1 / 2])


def test_a_lower_is_better_metric_is_best_when_low():
    class Low(Rank):
        higher_is_better = False

    assert metric([record("s", "xa", "a", "xxa")], Low())["cumulative_by_turn"] == pytest.approx([1 / 2, 1 / 2, 1 / 3])


def test_score_alone_gives_the_same_as_many_lists_at_once():
    run = random_run(5, 60)
    slow, fast = metric(run, Rank()), metric(run, FastRank())
    for key in ("value", "by_turn", "cumulative_by_turn", "ci"):
        assert slow[key] == pytest.approx(fast[key], abs=1e-12)
    assert slow["micro"]["value"] == pytest.approx(fast["micro"]["value"], abs=1e-12)


def random_run(seed: int, scenarios: int, trials: int = 1) -> list[DialogueRecord]:
    generator = random.Random(seed)
    run = []
    for n in range(scenarios):
        targets = "".join(generator.sample("abcd", generator.randint(1, 3)))
        for trial in range(trials):
            stop = generator.choice(["max_turns", "accepted", "quit", "recommender_fault", "simulator_fault", "transport"])
            length = 3 if stop == "max_turns" else generator.randint(1, 3)
            lists = ["".join(generator.sample("abcdxyz", generator.randint(0, 5))) for _ in range(length)]
            faults = (AttemptRecord("recommender", "timeout", "", turn=length),) if stop == "recommender_fault" else ()
            name = f"s{n}"
            run.append(record(name, *lists, targets=targets, stop=stop, trial=trial, faults=faults, source=f"d{n // 2}"))
    return run


def brute_force(run: list[DialogueRecord], turns: int) -> tuple[float, float]:
    """Macro and micro of `Rank` at the last turn, the plain way."""
    scenarios: dict[str, list[float]] = {}
    labels: dict[tuple[str, str], list[float]] = {}
    for dialogue in run:
        if dialogue.stop in ("simulator_fault", "transport", "cancelled"):
            continue
        items = () if dialogue.stop == "recommender_fault" else dialogue.turns[:turns][-1].items
        places = {t: 1 / (items.index(t) + 1) if t in items else 0.0 for t in dialogue.targets}
        scenarios.setdefault(dialogue.scenario, []).append(max(places.values()))
        for target, value in places.items():
            labels.setdefault((dialogue.scenario, target), []).append(value)
    macro, micro = ([sum(v) / len(v) for v in rows.values()] for rows in (scenarios, labels))
    return sum(macro) / len(macro), sum(micro) / len(micro)


@pytest.mark.parametrize(("scenarios", "trials"), [(1, 1), (40, 1), (30, 4), (600, 1)])
def test_averages_equal_brute_force_on_random_runs(scenarios, trials):
    run = [r for r in random_run(scenarios + trials, scenarios, trials) if scenarios > 1 or r.stop != "transport"]
    macro, micro = brute_force(run, 3)
    found = metric(run)
    assert found["value"] == pytest.approx(macro, abs=1e-12)
    assert found["micro"]["value"] == pytest.approx(micro, abs=1e-12)


def test_order_of_the_records_changes_nothing():
    run = random_run(8, 300, trials=2)
    shuffled = random.Random(0).sample(run, len(run))
    first, second = (score(r, FastRank(), Turns(), Words(), Count()) for r in (run, shuffled))
    assert first.summary == second.summary
    assert list(first.rows()) == list(second.rows())
    assert list(first.rows()) == list(first.rows()), "rows can be read twice"


def test_intervals_resample_source_dialogues_not_scenarios():
    run = [record(f"s{n}", "a" if n < 50 else "x", source=f"d{n // 50}") for n in range(100)]
    found = metric(run, turns=1)
    assert (found["value"], found["n"], found["clusters"]) == (0.5, 100, 2)
    assert found["ci"] == [0.0, 1.0]
    one = metric([record(f"s{n}", "a", source="d") for n in range(9)], turns=1)
    assert one["value"] == 1.0
    assert one["ci"] == "unscored"
    assert "one source dialogue" in one["ci_unscored"]


# --------------------------------------------------------------------------------------------- faults and denominators


def test_garbage_stays_in_the_denominator_and_a_broken_simulator_does_not():
    run = [
        record("s1", "a", "a", "a"),
        record("s2", stop="recommender_fault", faults=(AttemptRecord("recommender", "malformed", "", turn=1),)),
        record("s3", "", "", ""),
        record("s4", "a", stop="simulator_fault", faults=(AttemptRecord("simulator", "timeout", "", n, 1) for n in range(3))),
        record("s5", "a", stop="transport"),
        record("s6", "a", stop="cancelled"),
    ]
    run[3] = msgspec.structs.replace(run[3], faults=tuple(run[3].faults))
    scores = score(run)
    assert scores.summary["metrics"]["fastrank"]["value"] == pytest.approx(1 / 3)
    counts = scores.summary["counts"]
    assert {k: counts[k] for k in ("played", "valid", "invalid", "incomplete")} == {
        "played": 6, "valid": 3, "invalid": 1, "incomplete": 2,
    }  # fmt: skip
    assert (counts["recommender_faults"], counts["simulator_faults"]) == (1, 3)
    assert counts["stops"] == {
        "cancelled": 1, "max_turns": 2, "recommender_fault": 1, "simulator_fault": 1, "transport": 1,
    }  # fmt: skip
    warnings = " ".join(scores.summary["warnings"])
    assert "2 of 6 dialogues are incomplete (1 transport, 1 cancelled)" in warnings
    assert "1 of 4 dialogues (25.0%) are invalid" in warnings
    assert "bars a leaderboard" in warnings
    rows = {row["scenario"]: row for row in scores.rows()}
    assert [rows[s]["status"] for s in sorted(rows)] == ["valid", "valid", "valid", "invalid", "incomplete", "incomplete"]
    assert "values" not in rows["s4"]


def test_missing_dialogues_are_reported():
    scores = score([record("s1", "a", "a", "a")], reading=Reading(planned=4))
    assert scores.summary["counts"]["missing"] == 3
    assert "3 of 4 planned dialogues" in scores.summary["warnings"][0]


def test_leaks_injections_and_costs_are_counted_over_all_records():
    leak = TurnRecord("t", ("x",), leaks=("a",), user_text="...", injection=True, simulator_usage=Usage(1, 10, 2))
    run = [
        DialogueRecord("s1", "d1", 0, "leak", ("a",), (leak,), seconds={"simulator": 1.5}),
        DialogueRecord("s2", "d2", 0, "simulator_fault", ("a",), (leak,), seconds={"simulator": 0.5}),
    ]
    summary = score(run, turns=2).summary
    assert (summary["counts"]["leaks"], summary["counts"]["injections"]) == (2, 2)
    assert summary["usage"]["simulator"] == {
        "calls": 2, "prompt_tokens": 20, "completion_tokens": 4, "cost": 0.0, "cache_hits": 0,
    }  # fmt: skip
    assert summary["seconds"] == {"simulator": 2.0}


def test_a_replayed_dialogue_supersedes_its_incomplete_record_in_either_order():
    done, torn = record("s", "a", "a", "a"), record("s", "x", stop="transport")
    for run in ([torn, done], [done, torn], [torn, torn, done]):
        counts = score(run).summary["counts"]
        assert (counts["played"], counts["valid"], counts["incomplete"]) == (1, 1, 0)


def test_two_finished_records_of_one_dialogue_are_refused():
    with pytest.raises(DataError, match="'s', trial 0"):
        score([record("s", "a", "a", "a"), record("s", "x", "x", "x")])


def test_records_of_other_data_are_refused():
    mine = Scenario("s", "d", (Message("seeker", "hi"),), Need(("a",)))
    assert metric([record("s", "a", "a", "a")], scenarios={"s": mine})["value"] == 1.0
    with pytest.raises(DataError, match="not in the data set"):
        score([record("other", "a", "a", "a")], scenarios={"s": mine})
    with pytest.raises(DataError, match="targets"):
        score([record("s", "a", "a", "a", targets="ab")], scenarios={"s": mine})


# ------------------------------------------------------------------------------------------------------------- readings


def test_reading_at_the_turn_of_success():
    run = [
        record("s1", "xxxa", "xa", "a"),  # success_k 2: success at turn 2, read 1/2 (turn 3 would give 1)
        record("s2", "xxxb", "xxb", "xxb", targets="bc"),  # never among the first two: read at the last turn, 1/3
        record("s3", "c", stop="accepted", targets="c"),
    ]
    last = score(run, reading=Reading(success_k=2)).summary
    success = score(run, reading=Reading(read_at="success", success_k=2, average="micro")).summary
    assert last["metrics"]["fastrank"]["value"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert success["metrics"]["fastrank"]["value"] == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert success["metrics"]["fastrank"]["micro"]["value"] == pytest.approx((1 / 2 + 1 / 3 + 0 + 1) / 4)
    assert success["protocol"]["read_at"] == "success"
    by_turn = [block["metrics"]["fastrank"]["by_turn"] for block in (last, success)]
    assert by_turn[0] == by_turn[1], "the curve over the turns does not depend on where the number is read"


def test_the_headline_says_which_average_it_is():
    run = [record("s1", "a", "a", "a", targets="ab"), record("s2", "x", "x", "x")]
    macro, micro = (
        score(run, FastRank(), Turns(), reading=Reading(average=a, headline=("fastrank", "turns"))).summary["headline"]
        for a in ("macro", "micro")
    )
    assert [(line["name"], line["average"], line["value"]) for line in macro] == [
        ("fastrank", "macro", 0.5),
        ("turns", "macro", 3.0),
    ]
    assert [(line["name"], line["average"]) for line in micro] == [("fastrank", "micro"), ("turns", "macro")]
    assert micro[0]["value"] == pytest.approx(1 / 3)
    assert len(micro[0]["ci"]) == 2
    with pytest.raises(UsageError, match="ndcg@3"):
        score(run, reading=Reading(headline=("ndcg@3",)))


def test_a_mean_over_turns_takes_the_turns_that_have_a_value():
    def answered(*texts: str | None) -> DialogueRecord:
        turns = tuple(TurnRecord("t", ("x",), user_text=text) for text in texts)
        return DialogueRecord(f"s{len(texts)}", f"d{len(texts)}", 0, "quit", ("a",), turns)

    scores = score([answered("one two", None, "four words are here"), answered("one"), answered(None, None)], Words())
    found = scores.summary["metrics"]["words"]
    assert found["value"] == pytest.approx(((2 + 4) / 2 + 1) / 2)
    assert found["by_turn"] == [1.5, "unscored", 4.0]
    assert found["n_by_turn"] == [2, 0, 1]
    assert found["unscored"] == {"no answer": 1}
    rows = list(scores.rows())
    assert [row["values"]["words"] for row in rows] == [1.0, "unscored", 3.0]
    assert rows[1]["unscored"] == {"words": "no answer"}
    assert rows[2]["by_turn"]["words"] == [2.0, "unscored", 4.0]
    assert rows[2]["unscored_by_turn"] == {"words": {"2": "no answer"}}


# --------------------------------------------------------------------------------------------------------------- trials


def test_trials_are_averaged_within_a_scenario_and_pass_k_is_reported():
    run = [record("s1", "a" if t < 2 else "x", trial=t) for t in range(4)] + [record("s2", "a", trial=t) for t in range(4)]
    summary = score(run, turns=1).summary
    assert summary["metrics"]["fastrank"]["value"] == pytest.approx((1 / 2 + 1) / 2)
    assert summary["metrics"]["fastrank"]["n"] == 2
    assert summary["pass^k"]["trials"] == 4
    # s1: C(2,k)/C(4,k) = 1/2, 1/6, 0, 0; s2: always 1.
    assert [line["value"] for line in summary["pass^k"]["values"]] == pytest.approx([3 / 4, 7 / 12, 1 / 2, 1 / 2])


def test_pass_k_never_rises_although_trials_are_missing():
    for seed in range(20):
        summary = score(random_run(seed, 30, trials=4)).summary
        values = [line["value"] for line in summary["pass^k"]["values"]]
        if "unscored" not in values:
            assert values == sorted(values, reverse=True)
    run = [
        record("s1", "x", trial=0),
        record("s1", "a", trial=1),
        record("s2", "a", trial=0),
        record("s2", "a", stop="transport", trial=1),
    ]
    block = score(run, turns=1).summary["pass^k"]
    assert block["left_out"] == 1
    assert [line["value"] for line in block["values"]] == [0.5, 0.0]


def test_success_of_a_trial_is_any_turn_and_only_the_first_k():
    run = [record("s", "a", "x", "x")]
    assert score(run).summary["pass^k"]["values"][0]["value"] == 1.0
    run = [record("s", "xa", "x", "x")]
    assert score(run, reading=Reading(success_k=1)).summary["pass^k"]["values"][0]["value"] == 0.0


def test_metrics_are_told_what_success_means():
    class Told(Rank):
        bounds = (0.0, math.inf)

        def prepare(self, setup: MetricSetup) -> None:
            self.success_k = setup.success_k

        def score(self, view: Any) -> float:
            return float(self.success_k)

    run = [record("s", "a", "a", "a")]
    assert metric(run, Told())["value"] == 5.0
    assert metric(run, Told(), reading=Reading(success_k=2))["value"] == 2.0


# ------------------------------------------------------------------------------------------------- unscored, and refused


def walk(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        assert all(isinstance(key, str) for key in data)
        for value in data.values():
            yield from walk(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from walk(value)
    else:
        yield data


@pytest.mark.parametrize(
    "run",
    [
        [],
        [record("s", stop="cancelled")],
        [record("s", "a", stop="simulator_fault")],
        [record("s", "a", "a", "a")],
        [record("s", "a", "a", "a", targets="")],
        [record("s", stop="recommender_fault")],
        random_run(3, 20, 2),
    ],
    ids=["empty", "cancelled", "invalid", "one", "no targets", "fault", "random"],
)
def test_no_nan_infinity_or_null_is_ever_written(run):
    scores = score(run, FastRank(), Rank(), Turns(), Words(), Count())
    for data in [scores.summary, *scores.rows()]:
        assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(msgspec.json.encode(data))
        for value in walk(data):
            assert isinstance(value, str | int | float)
            assert not isinstance(value, float) or math.isfinite(value)
    for name, block in scores.summary["metrics"].items():
        assert block["value"] != "unscored" or block["unscored"], f"{name}: no reason"


def test_a_value_that_is_no_number_is_unscored_not_zero():
    class Sometimes(Rank):
        def score(self, view: Any) -> float:
            return math.nan if view.ranks[0] == 0 else 1.0

    found = metric([record("s1", "a"), record("s2", "x")], Sometimes(), turns=1)
    assert (found["value"], found["n"]) == (1.0, 1)
    assert found["unscored"] == {"the metric gave a value that is not finite": 1}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "NoneType"),
        ("high", "str"),
        (1.5, "outside of its bounds"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
    ],
)
def test_a_broken_metric_is_named(answer, message):
    class Broken(Rank):
        def score(self, view: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    with pytest.raises(PluginError, match="'broken'") as caught:
        score([record("s", "a", "a", "a")], Broken())
    assert message in str(caught.value)


def test_metrics_without_a_meaning_are_refused():
    class Level(Rank):
        level = "word"

    class Over(Rank):
        over_turns = "median"

    for broken in (Level(), Over()):
        with pytest.raises(PluginError):
            score([], broken)
    with pytest.raises(UsageError, match="twice"):
        score([], Rank(), Rank())


def test_run_level_metrics_also_work_on_a_one_shot_iterator():
    run = [record(f"s{n}", "a", "a", "a", stop="max_turns" if n % 3 else "transport") for n in range(9)]
    for records in (run, iter(run)):
        found = score(records, Count(), FastRank()).summary["metrics"]
        assert found["count"]["value"] == 6.0
        assert found["count"]["ci"] == "unscored"
        assert found["fastrank"]["value"] == 1.0


def test_transcripts_do_not_stay_in_memory():
    def long_run() -> Iterator[DialogueRecord]:
        for n in range(3000):
            turn = TurnRecord("x" * 50_000 + str(n), ("a", "b"))
            yield DialogueRecord(f"s{n}", f"d{n // 2}", 0, "max_turns", ("a",), (turn,))

    tracemalloc.start()
    try:
        score(long_run(), FastRank(), turns=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 90e6, "the transcripts are 150 MB, a chunk of them 13 MB"


# ----------------------------------------------------------------------------------------------------------- comparison


def rows(values: dict[str, Any], metric: str = "m") -> list[dict[str, Any]]:
    """Rows as read back from scores.jsonl; keys "scenario/trial"."""
    lines = []
    for key, value in values.items():
        scenario, _, trial = key.partition("/")
        line = {"scenario": scenario, "trial": int(trial or 0), "source": f"d{scenario[1]}", "values": {metric: value}}
        lines.append(json.loads(json.dumps(line)))
    return lines


def test_gain_is_paired_by_scenario_with_trials_averaged_first():
    with_feedback = rows({"s1/0": 1.0, "s1/1": 0.0, "s2": 1.0, "s3": 0.5, "s9": 1.0})
    control = rows({"s1/0": 0.0, "s1/1": 0.0, "s2": 0.0, "s3": 0.5, "s4": 0.0, "s5": "unscored"})
    gain = paired_gain(with_feedback, control, "m")
    assert gain.difference == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert gain.mean_a - gain.mean_b == pytest.approx(gain.difference)
    assert (gain.wins, gain.ties, gain.losses) == (2, 1, 0)
    assert (gain.n, gain.clusters, gain.only_a, gain.only_b) == (3, 3, 1, 1)
    assert gain.p == 0.5, "two clusters differ, both for a: two of the four sign patterns are as extreme"
    assert gain.exact
    assert gain.effect_size == pytest.approx(0.5 / 0.5)
    assert gain.ci[0] <= gain.difference <= gain.ci[1]


def test_gain_of_scored_runs_equals_the_difference_of_their_means():
    a, b = random_run(1, 200), random_run(2, 200)
    targets = {r.scenario: r.targets for r in a}
    b = [msgspec.structs.replace(r, targets=targets[r.scenario]) for r in b]
    keep = {r.scenario for r in a if r.stop not in ("transport", "simulator_fault")} & {
        r.scenario for r in b if r.stop not in ("transport", "simulator_fault")
    }
    a, b = ([r for r in run if r.scenario in keep] for run in (a, b))
    gain = paired_gain(score(a).rows(), score(b).rows(), "fastrank")
    assert gain.difference == pytest.approx(metric(a)["value"] - metric(b)["value"], abs=1e-12)
    assert gain.n == len(keep)
    reverse = paired_gain(score(b).rows(), score(a).rows(), "fastrank")
    assert reverse.difference == pytest.approx(-gain.difference, abs=1e-12)
    assert (reverse.wins, reverse.losses) == (gain.losses, gain.wins)


def test_runs_that_cannot_be_compared():
    with pytest.raises(UsageError, match="'q'"):
        paired_gain(rows({"s1": 1.0}), rows({"s1": 1.0}), "q")
    other = [{**line, "source": "elsewhere"} for line in rows({"s1": 1.0})]
    with pytest.raises(DataError, match="elsewhere"):
        paired_gain(rows({"s1": 1.0}), other, "m")
    apart = paired_gain(rows({"s1": 1.0}), rows({"s2": 1.0}), "m")
    assert isinstance(apart.difference, Unscored)
    assert isinstance(apart.p, Unscored)
    assert (apart.n, apart.only_a, apart.only_b) == (0, 1, 1)
