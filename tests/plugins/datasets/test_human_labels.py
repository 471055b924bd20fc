"""CRSArena-Eval and AB-ReDial: their quirks in small files of the same form, agreement by hand, and the real files' counts."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.annotated import read_labels
from harness.errors import DataError, UsageError
from harness_plugins.datasets import ab_redial, crsarena_eval
from harness_plugins.datasets.ab_redial import AbRedial
from harness_plugins.datasets.crsarena_eval import CrsArenaEval
from harness_plugins.datasets.human_labels import agreement, averaged

# ---------------------------------------------------------------------------------------------------------- CRSArena-Eval


def turn(number: int, role: str, text: str, **scores: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"turn_ind": number, "role": role, "utterance": text}
    return made | ({"turn_level_aggregated": scores} if role == "ASST" else {})


def conversation(name: str = "kbrd_redial_u1", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "conv_id": name,
        "dialogue": [
            turn(0, "USER", "A film, please"),
            turn(1, "ASST", "Quibble (1999)?\n", relevance=2, interestingness=1),
            turn(2, "USER", "no"),
            turn(3, "ASST", "", interestingness=0),
        ],
        "dial_level_aggregated": {
            "understanding": 1, "task_completion": 0, "interest_arousal": 2, "efficiency": 1, "dialogue_overall": 4,
            "preference_elicitation": 0, "explanation": 2,
        },
    }  # fmt: skip
    return made | changes


@pytest.fixture
def arena(tmp_path: Path) -> Callable[..., Any]:
    def write(*conversations: Any) -> Any:
        (tmp_path / "crs_arena_eval.json").write_text(json.dumps(conversations), encoding="utf-8")
        return CrsArenaEval(crsarena_eval.Options(path=str(tmp_path))).annotated()

    return write


def test_arena_dialogues_come_with_system_session_and_scores(arena: Callable[..., Any]) -> None:
    labels = arena(conversation(), conversation("chatgpt_opendialkg_u1"), conversation("crb-crs_redial_u2"))
    first, second, third = labels.dialogues
    assert (first.system, first.source) == ("kbrd_redial", "u1")
    assert second.source == first.source, "one user talked with two systems: they are resampled together"
    assert third.system == "crbcrs_redial", "the two spellings of its name are one system"
    assert next(iter(first.scores)) == "dialogue_overall", "the overall impression comes first"
    assert first.scores == {
        "dialogue_overall": 4, "understanding": 1, "task_completion": 0, "interest_arousal": 2, "efficiency": 1,
        "preference_elicitation": 0, "explanation": 2,
    }  # fmt: skip
    assert [m.role for m in first.messages] == ["seeker", "recommender", "seeker", "recommender"]


def test_an_empty_reply_stays_and_a_missing_score_is_absent(arena: Callable[..., Any]) -> None:
    labels = arena(conversation())
    last = labels.dialogues[0].messages[-1]
    assert last.text == ""
    assert last.scores == {"interestingness": 0}
    notes = " | ".join(labels.notes)
    assert "relevance is missing for 1 of 2 recommender messages" in notes
    assert "1 messages are empty" in notes
    assert "relevance is documented as 0 to 3; nothing above 2 occurs" in notes
    _, levels = read_labels(labels, "crsarena-eval")
    assert levels["relevance"] == "turn"
    assert levels["explanation"] == "dialogue"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"conv_id": 3}, "conversation 1: field 'conv_id': expected a string"),
        ({"conv_id": "nounderscore"}, "expected SYSTEM_DATASET_UUID"),
        ({"dialogue": [turn(0, "BOT", "x")]}, r"conversation 1 \(kbrd_redial_u1\), turn 0: field 'role'"),
        ({"dialogue": [turn(0, "ASST", "x", relevance="high")]}, "turn 0: relevance is 'high'; expected a number"),
        ({"dialogue": [turn(0, "ASST", "x", relevance=None)]}, "turn 0: relevance is None"),
        ({"dialogue": [turn(0, "ASST", "x", relevance=4)]}, "relevance is 4, outside of 0 to 3"),
        ({"dial_level_aggregated": {"efficiency": True}}, "efficiency is True"),
        ({"dial_level_aggregated": 5}, "field 'dial_level_aggregated': expected an object"),
        ({"dialogue": [5]}, "turn 0: expected an object"),
    ],
)
def test_a_malformed_arena_file_is_told_with_its_place(arena: Callable[..., Any], change: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        arena(conversation(**change))


@pytest.mark.parametrize("content", ["{}", "[]", "[", '["x"]'])
def test_an_arena_file_that_is_no_list_of_conversations(tmp_path: Path, content: str) -> None:
    (tmp_path / "crs_arena_eval.json").write_text(content)
    with pytest.raises(DataError, match=r"crs_arena_eval\.json"):
        CrsArenaEval(crsarena_eval.Options(path=str(tmp_path))).annotated()


# ------------------------------------------------------------------------------------------------------------- AB-ReDial

RATINGS = ("understanding", "task-completion", "interest-arousal", "efficiency", "dialogue-overall")
TURN_RATINGS = ("relevance", "interestingness", "overall")


def dialogue_row(name: str, said: tuple[str, ...], ratings: str, why: str = 'fine, "really"') -> dict[str, str]:
    row = {"ConvId": name, "justification-text": why}
    row |= {f"utterance{n}": said[n] if n < len(said) else "" for n in range(22)}
    return row | dict(zip(RATINGS, ratings.split(",") if ratings else [""] * 5, strict=True))


def turn_row(name: str, said: tuple[str, ...], ratings: str) -> dict[str, str]:
    row = {"ConvId": name} | {f"utterance{n}": said[n] for n in range(12)}
    columns = [f"{aspect}{part}" for part in (1, 2, 3) for aspect in TURN_RATINGS]
    return row | dict(zip(columns, ratings.split(","), strict=True))


TALK = ("SYSTEM\tHi", "USER \u2003 Hello, a film?", 'SYSTEM\t"Quibble (1999)"', "USER\tSeen it", "USER bye", "SYSTEM  bye!")
TWELVE = tuple(f"{('SYSTEM', 'USER')[n % 2]}\tline {n}" for n in range(12))


@pytest.fixture
def redial(tmp_path: Path) -> Callable[..., Any]:
    def write(dialogues: list[dict[str, str]], turns: list[dict[str, str]]) -> Any:
        empty = (dialogue_row("x", (), ""), turn_row("x", TWELVE, "," * 8))
        for name, rows, like in ((ab_redial.DIALOGUES, dialogues, empty[0]), (ab_redial.TURNS, turns, empty[1])):
            with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(like))
                writer.writeheader()
                writer.writerows(rows)
        return AbRedial(ab_redial.Options(path=str(tmp_path))).annotated()

    return write


def test_annotators_of_a_dialogue_are_averaged_and_an_empty_rating_is_none(redial: Callable[..., Any]) -> None:
    rows = [
        dialogue_row("KM", TALK, "3,2.0,3.0,1,5"),
        dialogue_row("KM", TALK, "1,2,0,0.0,4.0"),
        dialogue_row("KM", TALK, "", why="a text\nof two lines"),
    ]
    labels = redial(rows, [])
    (dialogue,) = labels.dialogues
    assert (dialogue.id, dialogue.system, dialogue.source) == ("KM", "human", "KM")
    assert dialogue.scores == {
        "dialogue_overall": 4.5, "understanding": 2, "task_completion": 2, "interest_arousal": 1.5, "efficiency": 0.5,
    }  # fmt: skip
    assert [(m.role, m.text) for m in dialogue.messages] == [
        ("recommender", "Hi"), ("seeker", "Hello, a film?"), ("recommender", '"Quibble (1999)"'), ("seeker", "Seen it"),
        ("seeker", "bye"), ("recommender", "bye!"),
    ]  # fmt: skip
    assert "3 annotations of 1 dialogues" in labels.notes[0]
    assert any("without any score: 1" in note for note in labels.notes)


def test_two_dialogues_of_one_id_are_told_apart_and_resampled_together(redial: Callable[..., Any]) -> None:
    labels = redial([dialogue_row("J7", TALK, "3,3,3,1,5"), dialogue_row("J7", TALK[:3], "1,1,1,0,1")], [])
    assert [(d.id, d.source, d.scores["dialogue_overall"]) for d in labels.dialogues] == [("J7/1", "J7", 5), ("J7/2", "J7", 1)]


def test_a_turn_is_its_four_utterances_with_the_score_at_the_recommenders(redial: Callable[..., Any]) -> None:
    ratings = "4,2,4,4,3,4.0,0,1,"
    labels = redial([], [turn_row("86", TWELVE, ratings), turn_row("86", TWELVE, "2,2,3,4,3,5,0,1,1")])
    first, second, third = labels.dialogues
    assert [m.text for m in first.messages] == ["line 0", "line 1", "line 2", "line 3"]
    assert [m.scores for m in first.messages] == [{}, {}, {"turn_overall": 3.5, "relevance": 3, "interestingness": 2}, {}]
    assert second.messages[2].scores == {"turn_overall": 4.5, "relevance": 4, "interestingness": 3}
    assert third.messages[2].scores["turn_overall"] == 1, "one of two annotators left it out"
    assert {d.source for d in labels.dialogues} == {"86"}
    assert any("that lack a score: 1" in note for note in labels.notes)
    judged, levels = read_labels(labels, "ab-redial")
    assert levels == {"turn_overall": "turn", "relevance": "turn", "interestingness": "turn"}
    assert len(judged[0].turns) == 2


def test_a_turn_whose_third_utterance_is_the_seekers_is_left_out(redial: Callable[..., Any]) -> None:
    swap = {"SYSTEM": "USER", "USER": "SYSTEM"}
    middle = [f"{swap[line.split()[0]]}\t{line.split(maxsplit=1)[1]}" for line in TWELVE[4:8]]
    swapped = (*TWELVE[:4], *middle, *TWELVE[8:])
    labels = redial([], [turn_row("5", swapped, "1,1,1,2,2,2,3,3,3")])
    assert [d.messages[0].text for d in labels.dialogues] == ["line 0", "line 8"]
    assert any("left out" in note and note.endswith(": 1") for note in labels.notes)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (dialogue_row("1", TALK, "3,3,3,1,six"), r"annotated_dialogues.csv:2: dialogue-overall is 'six'; expected a number"),
        (dialogue_row("1", TALK, "3,3,3,1,6"), "dialogue-overall is 6, outside of 1 to 5"),
        (dialogue_row("1", ("BOT\thi",), "3,3,3,1,5"), "utterance0 must begin with SYSTEM or USER"),
        (dialogue_row("1", TALK, "nan,3,3,1,5"), "understanding is 'nan'"),
    ],
)
def test_a_malformed_annotation_is_told_with_its_place(redial: Callable[..., Any], row: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        redial([row], [])


# ------------------------------------------------------------------------------------------------------------- agreement


def test_alpha_is_krippendorffs_on_his_own_example() -> None:
    """The reliability data of Krippendorff (2011), four observers and missing values: interval alpha 0.849."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[float(v) for v in unit if v is not None] for unit in zip(*observers, strict=True)]
    assert agreement(units) == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_full_agreement_is_one_and_of_nothing_to_compare_none() -> None:
    assert agreement([[1.0, 1.0], [2.0, 2.0, 2.0]]) == 1.0
    assert agreement([[1.0], [2.0]]) is None
    assert agreement([[2.0, 2.0], [2.0, 2.0]]) is None


def test_alpha_by_the_definition() -> None:
    """1 - (mean squared difference within units, weighted) / (mean squared difference of all pairs)."""
    units = [[1.0, 2.0], [3.0, 3.0, 5.0], [1.0, 4.0]]
    values = [v for unit in units for v in unit]
    within = sum(sum((a - b) ** 2 for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units) / len(
        values
    )
    among = sum((a - b) ** 2 for a, b in itertools.permutations(values, 2)) / (len(values) * (len(values) - 1))
    assert agreement(units) == pytest.approx(1 - within / among)


def test_only_given_scores_are_averaged() -> None:
    assert averaged([{"a": 1.0}, {"a": 2.0, "b": 5.0}, {}]) == {"a": 1.5, "b": 5.0}


# ---------------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize("cls", [CrsArenaEval, AbRedial])
def test_nothing_can_be_played_on_them_and_the_error_says_what_to_do(cls: Any) -> None:
    with pytest.raises(DataError, match=r"no scenarios.*harness metaeval --dataset"):
        cls().load("test")
    with pytest.raises(UsageError, match="no split"):
        cls().load("testing")


@pytest.mark.parametrize("cls", [CrsArenaEval, AbRedial])
def test_missing_files_are_told_with_how_to_get_them(cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="no data found"):
        cls().annotated()


# -------------------------------------------------------------------------------------------------------------- real data

real = pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="needs HARNESS_DATA")


@real
@pytest.mark.realdata
def test_real_arena_counts() -> None:
    judged, levels = read_labels(CrsArenaEval().annotated(), "crsarena-eval")
    assert len(judged) == 467
    systems = [d.system for d in judged]
    assert {s: systems.count(s) for s in set(systems)} == {
        "kbrd_redial": 61, "crbcrs_redial": 60, "kbrd_opendialkg": 59, "barcor_opendialkg": 55, "chatgpt_redial": 52,
        "unicrs_redial": 48, "barcor_redial": 46, "chatgpt_opendialkg": 44, "unicrs_opendialkg": 42,
    }  # fmt: skip
    turns = [scores for d in judged for scores in d.turns]
    assert len(turns) == 2_235
    assert sum("relevance" in scores for scores in turns) == 2_230
    assert sum("interestingness" in scores for scores in turns) == 2_235
    assert sum(not t.text for d in judged for t in d.record.turns) == 9
    overall = [d.scores["dialogue_overall"] for d in judged]
    assert [overall.count(score) for score in range(5)] == [208, 129, 62, 57, 11]
    assert sum(len(d.scores) for d in judged) == 7 * 467
    assert len(levels) == 9


@real
@pytest.mark.realdata
def test_real_ab_redial_counts() -> None:
    labels = AbRedial().annotated()
    dialogues = [d for d in labels.dialogues if d.scores]
    turns = [d for d in labels.dialogues if not d.scores]
    assert (len(dialogues), len({d.source for d in dialogues})) == (200, 195)
    assert labels.notes[0].startswith("640 annotations of 200 dialogues")
    assert all(len(d.messages) == 4 and d.messages[2].scores and d.messages[2].role == "recommender" for d in turns)
    assert {d.source for d in turns} <= {d.source for d in dialogues}
    assert all(1 <= d.scores["dialogue_overall"] <= 5 for d in dialogues)
    assert all(0 < alpha < 1 for alpha in labels.agreement.values())
    assert len(labels.agreement) == 8
