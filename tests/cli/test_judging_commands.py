"""Judges and human agreement through the command: scripted models, a real local server, budgets and the cache."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.llm_server import Fault, LlmServer, serving
from harness.cli import main

Ended = tuple[int, str, str]
Harness = Callable[..., Ended]

RULES = [
    {"match": "Conversational flow", "role": "system", "text": '{"reason": "x", "score": 4}'},
    {"match": "Communication style", "role": "system", "text": "I would say 4"},
    {"match": "persuasive", "role": "system", "refuse": "content filter"},
    {"text": ['{"reason": "x", "score": 1}', '{"reason": "x", "score": 5}']},
]
DATA = ("--dataset", "jsonl", "--dataset-opt", "path=books.jsonl")
RUN = ("run", "--rec", "popularity", "--turns", "3", "-q", *DATA, "--out", "mine")


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Harness:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    script(tmp_path / "judge.jsonl", RULES)
    books(tmp_path / "books.jsonl")

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with serving(LlmServer(reply=lambda body: '{"reason": "x", "score": 3}')) as started:
        yield started


def script(path: Path, rules: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, rules)) + "\n", encoding="utf-8")
    return f"scripted:{path}"


def books(path: Path) -> None:
    """Twelve books and six test cases."""
    genres = ("travel", "mystery", "science")
    lines: list[dict[str, Any]] = [{"format": "crs-harness", "version": 1, "name": "books", "licence": "CC0-1.0"}]
    for n in range(12):
        lines.append({"type": "item", "id": f"b{n}", "title": f"The Book {n}", "attributes": {"genre": [genres[n % 3]]}})
    for n in range(9):
        recommended = {"role": "recommender", "text": "Try it.", "items": [f"b{n}"], "recommended": True}
        messages = [{"role": "seeker", "text": f"Some {genres[n % 3]}, please."}, recommended]
        lines.append({"type": "dialogue", "id": f"d{n}", "split": "train" if n > 5 else "test", "messages": messages})
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


def summary(folder: str = "mine") -> Any:
    return json.loads(Path(folder, "summary.json").read_text())


# ----------------------------------------------------------------------------------------------------------- run and score


def test_a_run_is_judged_and_says_by_whom_and_what_could_not_be_read(harness: Harness) -> None:
    wanted = [f"--metric={name}" for name in ("judge-flow", "judge-style", "persuasiveness", "judge-satisfaction")]
    code, out, _ = harness(*RUN, *wanted, "--judge-llm", "scripted:judge.jsonl")
    assert code == 0
    metrics = summary()["metrics"]
    assert (metrics["judge-flow"]["value"], metrics["judge-flow"]["n"]) == (4.0, 6)
    assert metrics["judge-style"]["value"] == "unscored"
    assert list(metrics["judge-style"]["unscored"].values()) == [6]
    assert metrics["persuasiveness"]["unscored"] == {"refused: content filter": 6}
    assert 1 <= metrics["judge-satisfaction"]["value"] <= 5
    assert summary()["usage"]["judge"]["calls"] == 24
    judge = summary()["judge"]
    assert judge["model"] == "scripted:judge.jsonl"
    assert judge["metrics"]["judge-flow"]["prompt"] == "quality.v1"
    assert len(judge["metrics"]["persuasiveness"]["prompt_sha256"]) == 64
    assert "judged by scripted:judge.jsonl with quality.v1" in out
    row = json.loads(Path("mine/scores.jsonl").read_text().splitlines()[0])
    assert row["values"]["judge-flow"] == 4.0
    assert row["unscored"]["judge-style"].startswith("unparsable: ")


def test_who_judges_is_no_part_of_the_fingerprint(harness: Harness) -> None:
    harness(*RUN)
    first = json.loads(Path("mine/manifest.json").read_text())["fingerprint"]
    code, _, _ = harness(*RUN[:-1], "again", "--metric", "judge-flow", "--judge-llm", "scripted:judge.jsonl")
    assert code == 0
    assert json.loads(Path("again/manifest.json").read_text())["fingerprint"] == first


def test_a_judge_without_a_model_is_told_before_anything_is_played(harness: Harness) -> None:
    code, _, err = harness(*RUN, "--metric", "judge-flow")
    assert code == 2
    assert "judge-flow asks a language model: choose one with --judge-llm" in err
    assert not Path("mine").exists()


def test_a_model_that_no_metric_asks_is_told(harness: Harness, tmp_path: Path) -> None:
    harness(*RUN)
    arena(tmp_path / "arena")
    for command in (RUN, ("score", "mine"), (*ARENA, "--metric", "turns")):
        code, _, err = harness(*command, "--judge-llm", "scripted:judge.jsonl")
        assert code == 2
        assert "no metric asks a language model" in err


def test_the_judge_may_stand_in_a_configuration_file(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('judge-llm = "scripted:judge.jsonl"\nmetrics = ["judge-flow"]\n')
    assert harness(*RUN, "--config", "my.toml")[0] == 0
    assert summary()["metrics"]["judge-flow"]["value"] == 4.0


def test_a_scored_run_can_be_judged_later(harness: Harness) -> None:
    harness(*RUN)
    assert "judge" not in summary()["usage"]
    code, out, err = harness("score", "mine", "--metric", "judge-flow")
    assert code == 2
    assert "--judge-llm" in err
    code, out, _ = harness("score", "mine", "--metric", "judge-flow", "--judge-llm", "scripted:judge.jsonl")
    assert code == 0
    assert "judge-flow" in out
    assert summary()["metrics"]["judge-flow"]["value"] == 4.0


def test_metric_options_are_said_with_the_name(harness: Harness) -> None:
    harness(*RUN)
    command = ("score", "mine", "--judge-llm", "scripted:judge.jsonl", "--metric")
    assert harness(*command, "judge-flow@show=3,max_tokens=64")[0] == 0
    assert summary()["judge"]["metrics"]["judge-flow@show=3,max_tokens=64"]["show"] == 3
    code, _, err = harness(*command, "judge-flow@size=3")
    assert code == 2
    assert "has no option 'size'" in err
    assert harness(*command, "judge-flow@x")[0] == 2


def test_a_spent_budget_stops_the_judging_and_the_cache_has_what_was_judged(harness: Harness) -> None:
    harness(*RUN)
    before = Path("mine/summary.json").read_bytes()
    command = ("score", "mine", "--metric", "judge-satisfaction", "--judge-llm", "scripted:judge.jsonl", "--concurrency", "1")
    cached = (*command, "--cache", "read-write", "--cache-file", "answers.sqlite")
    code, _, err = harness(*cached, "--max-tokens", "3800")
    assert code == 1
    assert "stopped: --max-tokens 3800" in err
    assert "in the response cache" in err
    assert Path("mine/summary.json").read_bytes() == before, "a part of the judgements is no score"
    assert harness(*cached)[0] == 0
    usage = summary()["usage"]["judge"]
    assert usage["cache_hits"] >= 1, "what was judged before the end is not asked again"
    assert usage["calls"] + usage["cache_hits"] == 6
    harness(*cached)
    assert summary()["usage"]["judge"] == {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0, "cache_hits": 6}
    _, _, err = harness(*command, "--max-tokens", "10")
    assert "not cached (--cache read-write)" in err


def test_a_run_whose_judging_is_stopped_can_be_resumed(harness: Harness) -> None:
    cache = ("--cache", "read-write", "--cache-file", "answers.sqlite")
    code, _, err = harness(*RUN, "--metric", "judge-flow", "--judge-llm", "scripted:judge.jsonl", "--max-tokens", "10", *cache)
    assert code == 1
    assert "every dialogue is played, but not all are judged" in err
    assert not Path("mine/summary.json").exists()
    code, _, _ = harness("resume", "mine", "--max-tokens", "1000000", "-q")
    assert code == 0
    assert summary()["metrics"]["judge-flow"]["n"] == 6


def test_judges_ask_a_server_many_at_a_time_and_a_server_that_fails_leaves_a_dialogue_unscored(
    harness: Harness, server: LlmServer
) -> None:
    harness(*RUN)
    server.latency = 0.05
    command = ("score", "mine", "--metric", "judge-relevance", "--judge-llm", "openai:m", "--concurrency", "4")
    code, _, _ = harness(*command, "--llm-opt", f"base_url={server.url}")
    assert code == 0
    assert summary()["metrics"]["judge-relevance"]["value"] == 3.0
    assert summary()["usage"]["judge"]["calls"] == 6
    assert server.stats.peak == 4
    server.faults = lambda number, body: Fault("status", status=500)
    code, _, _ = harness(*command, "--llm-opt", f"base_url={server.url}", "--llm-opt", "max_retries=1")
    assert code == 0
    block = summary()["metrics"]["judge-relevance"]
    assert block["value"] == "unscored"
    ((reason, count),) = block["unscored"].items()
    assert count == 6
    assert reason.startswith("transport: ")
    assert "after 2 tries" in reason


def test_a_wrong_key_ends_the_judging_at_once_with_what_to_set(harness: Harness, server: LlmServer) -> None:
    harness(*RUN)
    server.key = "right"
    command = ("score", "mine", "--metric", "judge-flow", "--judge-llm", "openai:m", "--llm-opt", f"base_url={server.url}")
    code, _, err = harness(*command)
    assert code == 2
    assert "OPENAI_API_KEY" in err


def test_the_dry_run_counts_judgements(harness: Harness) -> None:
    code, out, _ = harness(*RUN, "--metric", "judge-flow", "--metric", "judge-style", "--judge-llm", "scripted:judge.jsonl",
                           "--dry-run")  # fmt: skip
    assert code == 0
    assert "12 judgements; nothing was played" in out


# ---------------------------------------------------------------------------------------------------------------- compare


def test_two_runs_before_a_judge(harness: Harness, tmp_path: Path) -> None:
    harness(*RUN)
    harness("run", "--rec", "random", "--turns", "3", "-q", *DATA, "--out", "other")
    first = script(tmp_path / "first.jsonl", [{"text": '{"reason": "x", "better": "A"}'}])
    code, out, _ = harness("compare", "mine", "other", "--metric", "sr", "--judge", first)
    assert code == 0
    assert "both orders gave the same verdict in 0% of the pairs; 100% of the verdicts" in out
    code, out, _ = harness("compare", "mine", "other", "--metric", "sr", "--judge", first, "--json")
    sr, preference = json.loads(out)
    assert sr["metric"] == "sr"
    assert (preference["wins"], preference["ties"], preference["losses"], preference["n"]) == (0, 6, 0, 6)
    assert preference["judge"]["usage"]["calls"] == 12
    assert preference["judge"]["metrics"]["judge-preference"]["prompt"] == "preference.v1"
    code, _, err = harness("compare", "mine", "other", "--judge", first, "--max-tokens", "10")
    assert code == 1
    assert "stopped: --max-tokens 10" in err
    code, _, err = harness("compare", "mine", "other", "mine", "--judge", first)
    assert code == 2
    assert "compares two runs" in err


def test_comparing_without_a_judge_asks_nobody(harness: Harness) -> None:
    harness(*RUN)
    code, out, _ = harness("compare", "mine", "mine", "--metric", "sr", "--json")
    assert code == 0
    assert [line["metric"] for line in json.loads(out)] == ["sr"]


# --------------------------------------------------------------------------------------------------------------- metaeval


def arena(folder: Path) -> None:
    """Twelve dialogues of three systems. People's overall score is the number of words of the last reply."""
    conversations = []
    for n in range(12):
        system = ("kbrd_redial", "barcor_redial", "chatgpt_redial")[n % 3]
        score = (n * 5 + n % 3) % 5
        reply = " ".join(["word"] * score)
        conversations.append(
            {
                "conv_id": f"{system}_u{n // 2}",
                "dialogue": [
                    {"turn_ind": 0, "role": "USER", "utterance": f"wish {n}"},
                    {"turn_ind": 1, "role": "ASST", "utterance": f"{reply}.", "turn_level_aggregated": {"relevance": n % 3}},
                ],
                "dial_level_aggregated": {"dialogue_overall": score, "efficiency": 0},
            }
        )
    folder.mkdir()
    (folder / "crs_arena_eval.json").write_text(json.dumps(conversations))


ARENA = ("metaeval", "--dataset", "crsarena-eval", "--dataset-opt", "path=arena", "--resamples", "200")


def test_a_metric_against_people_offline(harness: Harness, tmp_path: Path) -> None:
    arena(tmp_path / "arena")
    code, out, _ = harness(*ARENA, "--metric", "reply-words", "--metric", "turns", "--aspect", "dialogue_overall")
    assert code == 0
    assert re.search(r"reply-words +dialogue_overall +dialogues +12 +1\.000 \[1\.000, 1\.000\]", out)
    assert "turns: the correlation is unscored: turns is the same for every row" in out
    code, out, _ = harness(*ARENA, "--metric", "reply-words", "--json")
    found = json.loads(out)
    assert [each["aspect"] for each in found["results"]] == ["relevance"], "a turn metric meets the turn aspects"
    assert found["dialogues"] == 12
    assert len(found["labels_hash"]) == 64


def test_a_judge_against_people(harness: Harness, tmp_path: Path) -> None:
    """A judge that says what people say: the word count of the reply, which the script reads out of the prompt."""
    arena(tmp_path / "arena")
    rules = [
        {"match": rf'recommender: "{" ".join(["word"] * score)}\."', "role": "user", "text": f'{{"score": {score + 1}}}'}
        for score in range(5)
    ]
    perfect = script(tmp_path / "perfect.jsonl", rules)
    code, out, _ = harness(*ARENA, "--metric", "judge-satisfaction", "--judge-llm", perfect, "--json")
    assert code == 0
    found = json.loads(out)
    overall, efficiency = found["results"]
    for name in ("spearman", "pearson", "kendall"):
        assert overall["correlations"][name]["value"] == pytest.approx(1.0)
        assert overall["ranking"][name]["value"] == pytest.approx(1.0)
        assert efficiency["correlations"][name]["value"]["reason"] == "the human score efficiency is the same for every row"
    assert found["usage"]["judge"]["calls"] == 12
    assert found["judge"]["metrics"]["judge-satisfaction"]["prompt"] == "quality.v1"
    reversed_rules = [{**rule, "text": f'{{"score": {5 - score}}}'} for score, rule in enumerate(rules)]
    opposite = script(tmp_path / "opposite.jsonl", reversed_rules)
    found = json.loads(harness(*ARENA, "--metric", "judge-satisfaction", "--judge-llm", opposite, "--json")[1])
    assert found["results"][0]["correlations"]["kendall"]["value"] == pytest.approx(-1.0)


def test_a_sample_costs_less(harness: Harness, tmp_path: Path) -> None:
    arena(tmp_path / "arena")
    command = (*ARENA, "--metric", "judge-flow", "--judge-llm", "scripted:judge.jsonl", "--limit", "5", "--json")
    found = json.loads(harness(*command)[1])
    assert (found["used"], found["usage"]["judge"]["calls"]) == (5, 5)


def test_unparsable_judgements_are_counted_in_no_number(harness: Harness, tmp_path: Path) -> None:
    arena(tmp_path / "arena")
    found = json.loads(harness(*ARENA, "--metric", "judge-style", "--judge-llm", "scripted:judge.jsonl", "--json")[1])
    assert found["results"][0]["n"] == 0
    assert list(found["results"][0]["unscored"].values()) == [12]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--metric", "judge-flow"), "asks a language model"),
        (("--metric", "turns", "--aspect", "fun"), "people gave no score 'fun'; there are relevance, dialogue_overall"),
        (("--metric", "trns"), "did you mean"),
        (("--metric", "turns", "--llm-opt", "x=1"), "--llm-opt was given, but no --judge-llm"),
        (("--metric", "turns", "--dataset", "cinema", "--dataset-opt", "n=1"), "has no option"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(harness: Harness, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    arena(tmp_path / "arena")
    code, _, err = harness(*(("metaeval", *arguments) if "--dataset" in arguments else (*ARENA, *arguments)))
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_a_data_set_without_human_scores_names_those_that_have_some(harness: Harness) -> None:
    code, _, err = harness("metaeval", "--dataset", "cinema", "--metric", "turns")
    assert code == 2
    assert "ab-redial, crsarena-eval" in err


def test_the_arena_is_nothing_to_play_on(harness: Harness, tmp_path: Path) -> None:
    arena(tmp_path / "arena")
    code, _, err = harness("run", "--dataset", "crsarena-eval", "--dataset-opt", "path=arena")
    assert code == 2
    assert "harness metaeval --dataset crsarena-eval" in err
