"""Metrics against human scores: units, missing labels, perfect and reversed judges, systems."""

from __future__ import annotations

from typing import Any

import pytest
import scipy.stats

from harness.annotated import labels_hash, read_labels
from harness.api import AnnotatedDialogue, AnnotatedMessage, HumanLabels, MetricSetup, RunView, Unscored
from harness.errors import DataError, PluginError, UsageError
from harness.metaeval import Agreement, metaevaluate, sampled
from harness.scoring import BoundMetric


def said(text: str, **scores: float) -> AnnotatedMessage:
    return AnnotatedMessage("recommender", text, scores)


def asked(text: str = "hello") -> AnnotatedMessage:
    return AnnotatedMessage("seeker", text)


def dialogue(name: str, *messages: AnnotatedMessage, system: str = "a", source: str = "", **scores: float) -> AnnotatedDialogue:
    return AnnotatedDialogue(name, system, messages or (asked(), said("yes")), scores, source)


class Metric:
    """A metric made of one function of its view."""

    level, family, higher_is_better, bounds = "dialogue", "judge", True, (float("-inf"), float("inf"))

    def __init__(self, function: Any, level: str = "dialogue", **more: Any) -> None:
        self.function, self.level = function, level
        self.__dict__.update(more)

    def prepare(self, setup: MetricSetup) -> None:
        self.setup = setup

    def score(self, view: Any) -> Any:
        return self.function(view)


def held(dialogues: list[AnnotatedDialogue], metric: Any, *aspects: str, **how: Any) -> list[Agreement]:
    judged, levels = read_labels(HumanLabels(dialogues), "mine")
    return metaevaluate(judged, levels, [BoundMetric("m", metric)], aspects, resamples=200, **how)


def truth(view: Any) -> float:
    """The human score, which these dialogues say in their last message."""
    return float(view.dialogue.turns[-1].text)


HUMAN = [0.0, 3.0, 1.0, 4.0, 2.0, 2.0]
SIX = [dialogue(f"d{n}", asked(), said(str(score)), overall=score) for n, score in enumerate(HUMAN)]


@pytest.mark.parametrize(("metric", "expected"), [(truth, 1.0), (lambda view: -truth(view), -1.0)])
def test_a_judge_that_says_what_people_say_has_one_and_its_opposite_minus_one(metric: Any, expected: float) -> None:
    (found,) = held(SIX, Metric(metric))
    assert (found.aspect, found.unit, found.n, found.clusters) == ("overall", "dialogue", 6, 6)
    for correlation in found.correlations.values():
        assert correlation.value == pytest.approx(expected)
        assert correlation.ci == pytest.approx((expected, expected))


def test_a_metric_that_says_the_same_of_all_is_unscored() -> None:
    (found,) = held(SIX, Metric(lambda view: 3.0))
    assert all(c.value == Unscored("m is the same for every row") for c in found.correlations.values())


def test_numbers_are_scipys() -> None:
    values = dict(zip((d.id for d in SIX), [5.0, 1.0, 2.0, 7.0, 2.0, 3.0], strict=True))
    (found,) = held(SIX, Metric(lambda view: values[view.dialogue.scenario]))
    metric = list(values.values())
    assert found.correlations["spearman"].value == pytest.approx(scipy.stats.spearmanr(metric, HUMAN).statistic)
    assert found.correlations["pearson"].value == pytest.approx(scipy.stats.pearsonr(metric, HUMAN).statistic)
    assert found.correlations["kendall"].value == pytest.approx(scipy.stats.kendalltau(metric, HUMAN).statistic)


def test_dialogues_without_a_label_or_a_value_are_counted_and_in_no_number() -> None:
    unlabelled = dialogue("u", asked(), said("0"), other=1.0)
    refused = dialogue("r", asked(), said("refuse"), overall=0.0)
    (found,) = held(
        [*SIX, unlabelled, refused],
        Metric(lambda view: Unscored("no") if view.dialogue.turns[-1].text == "refuse" else truth(view)),
        "overall",
    )
    assert (found.n, found.labelled, found.unlabelled, found.unscored) == (6, 7, 1, {"no": 1})
    assert found.correlations["spearman"].value == pytest.approx(1.0)


TURNS = [
    dialogue("x", asked(), said("1", fit=1), asked(), said("3", fit=3), asked(), said("2", fit=2), source="user"),
    dialogue("y", said("hi"), asked(), asked(), said("5", fit=4), said("0", fit=0), asked("bye"), source="user"),
    dialogue("z", asked(), said("1", fit=0, other=1)),
]
"""Dialogue y begins with the recommender, who later says two things in a row; its greeting has no score."""


def test_a_turn_metric_meets_a_turn_score_turn_by_turn() -> None:
    def value(view: Any) -> Any:
        return float(view.record.text) if view.played and view.record.text.isdigit() else Unscored("no number")

    (found,) = held(TURNS, Metric(value, "turn", over_turns="mean"), "fit")
    assert (found.unit, found.n, found.labelled, found.unlabelled) == ("turn", 6, 6, 0)
    metric, human = [1, 3, 2, 5, 0, 1], [1, 3, 2, 4, 0, 0]
    assert found.correlations["pearson"].value == pytest.approx(scipy.stats.pearsonr(metric, human).statistic)
    assert found.clusters == 2, "x and y have one user"


def test_a_turn_without_one_of_two_scores_is_a_missing_label() -> None:
    (found,) = held(TURNS, Metric(lambda view: float(view.turn), "turn"), "other")
    assert (found.labelled, found.unlabelled) == (1, 5)
    assert found.correlations["spearman"].value == Unscored("1 scored rows: a correlation needs 3 at least")


def test_a_dialogue_metric_meets_the_mean_of_turn_scores() -> None:
    (found,) = held(TURNS, Metric(lambda view: float(len(view.dialogue.turns))), "fit")
    assert found.unit == "dialogue"
    # Turns: 3, 3, 1; means of the labelled turns: 2, 2, 0.
    assert found.correlations["pearson"].value == pytest.approx(1.0)
    assert found.notes == ("people scored turns: a dialogue counts with the mean over its labelled turns",)


def test_a_turn_metric_meets_a_dialogue_score_with_its_value_for_the_dialogue() -> None:
    dialogues = [dialogue(f"d{n}", asked(), said("x" * n), asked(), said("x" * 4), overall=float(n)) for n in range(4)]

    def length(view: Any) -> Any:
        return float(len(view.record.text)) if view.played else Unscored("not played")

    (mean,) = held(dialogues, Metric(length, "turn", over_turns="mean"), "overall")
    assert mean.unit == "dialogue"
    assert mean.correlations["pearson"].value == pytest.approx(1.0)
    (last,) = held(dialogues, Metric(lambda view: float(len(view.dialogue.turns[-1].text)), "turn"), "overall")
    assert last.correlations["pearson"].value == Unscored("m is the same for every row")


def test_a_run_metric_is_computed_for_each_dialogue_alone() -> None:
    def total(view: RunView) -> float:
        return sum(float(d.dialogue.turns[-1].text) for d in view.dialogues)

    (found,) = held(SIX, Metric(total, "run"))
    assert found.correlations["kendall"].value == pytest.approx(1.0)
    assert "computed here for each dialogue by itself" in found.notes[0]


def test_without_an_aspect_those_of_the_metrics_level_are_taken() -> None:
    dialogues = [
        dialogue(f"d{n}", asked(), said("1", fit=n), asked(), said("2", fit=n + 1), overall=n, effort=-n) for n in range(4)
    ]
    assert [found.aspect for found in held(dialogues, Metric(lambda view: 1.0))] == ["overall", "effort"]
    assert [found.aspect for found in held(dialogues, Metric(lambda view: 1.0, "turn"))] == ["fit"]


def test_what_people_said_before_the_first_reply_is_the_context_and_answers_are_joined() -> None:
    seen = []

    def look(view: Any) -> float:
        seen.append(view)
        return 1.0

    messages = (asked("one"), asked("two"), said("A"), said("B"), asked("three"), asked("four"), said("C"))
    held([dialogue("d", *messages, overall=1)], Metric(look))
    (view,) = seen
    assert [m.text for m in view.scenario.context] == ["one", "two"]
    assert [(t.text, t.user_text) for t in view.dialogue.turns] == [("A", None), ("B", "three\nfour"), ("C", None)]


def test_systems_are_compared_by_their_means_best_first() -> None:
    dialogues = [
        dialogue(f"{system}{n}", asked(), said(str(human + 10 * (system == "low"))), system=system, overall=float(human))
        for system, humans in (("mid", (2, 2)), ("low", (0, 1)), ("top", (4, 3)))
        for n, human in enumerate(humans)
    ]
    (found,) = held(dialogues, Metric(truth))
    assert [(s.system, s.n, s.human, s.metric) for s in found.systems] == [
        ("top", 2, 3.5, 3.5), ("mid", 2, 2.0, 2.0), ("low", 2, 0.5, 10.5),
    ]  # fmt: skip
    assert found.ranking["kendall"].value == pytest.approx(-1 / 3)


def test_only_dialogues_with_a_wanted_score_are_shown_to_a_metric() -> None:
    seen = []

    def look(view: Any) -> float:
        seen.append(view.dialogue.scenario)
        return 1.0

    held([*SIX, dialogue("other", fun=1.0)], Metric(look), "overall")
    assert "other" not in seen
    assert len(seen) == 6


def test_an_unknown_aspect_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="people gave no score 'fun'; there are overall"):
        held(SIX, Metric(truth), "fun")


def test_a_sample_is_the_same_for_the_same_seed_and_keeps_the_order() -> None:
    judged, _ = read_labels(HumanLabels(SIX), "mine")
    names = [d.id for d in sampled(judged, 4, 7)]
    assert names == [d.id for d in sampled(judged, 4, 7)]
    assert names == sorted(names)
    assert len(sampled(judged, 99, 0)) == 6


@pytest.mark.parametrize(
    ("dialogues", "says"),
    [
        ([], "no dialogue with human scores"),
        ([dialogue("d", asked())], "no message of a recommender"),
        ([dialogue("d", overall=1), dialogue("d", overall=1)], "stands twice"),
        ([dialogue("d", overall=float("nan"))], "'overall' is nan"),
        ([dialogue("d", AnnotatedMessage("seeker", "x", {"fit": 1}), said("y"))], "seeker's message has scores"),
        ([dialogue("d", asked(), said("y", overall=1), overall=1)], "per turn and per dialogue"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_with_the_place(dialogues: list[AnnotatedDialogue], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_labels(HumanLabels(dialogues), "mine")


def test_another_type_is_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match=r"annotated\(\) returned list"):
        read_labels([], "mine")


def test_the_hash_of_labels_changes_with_a_score() -> None:
    changed = [*SIX[:-1], dialogue("d5", asked(), said("2.0"), overall=1.0)]
    assert labels_hash(HumanLabels(SIX)) == labels_hash(HumanLabels(list(SIX)))
    assert labels_hash(HumanLabels(SIX)) != labels_hash(HumanLabels(changed))
