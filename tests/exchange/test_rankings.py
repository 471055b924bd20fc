"""score --rankings: numbers by hand, a model's faults counted, a file's errors told with their lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from conftest import records

from harness import experiment
from harness.api import Catalogue, Item, Need, Scenario, Split
from harness.cli import main
from harness.config import Choice, RunConfig
from harness.errors import DataError, UsageError
from harness.exchange.items import Linker
from harness.exchange.rankings import Asked, score_rankings
from harness.registry import Registry
from harness.report.text import summary_text


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def value(summary: dict[str, Any], metric: str) -> float:
    return summary["metrics"][metric]["value"]


def test_the_numbers_are_those_computed_by_hand(registry: Registry, tmp_path: Path) -> None:
    file = write(
        tmp_path / "lists.jsonl",
        {"id": "a", "items": ["x", "y", "z"], "targets": ["y"]},  # rank 2
        {"id": "b", "items": ["x", "x", "q"], "targets": ["q", "w"]},  # one of two, rank 3 behind a repeated one
        {"id": "c", "items": [], "targets": [5]},  # nothing: a miss
        {"id": "d", "items": [5, 6], "targets": ["5"]},  # rank 1; numbers are texts
        "",
        {"id": "e", "items": [f"i{n}" for n in range(1, 13)], "targets": ["i12"]},  # rank 12: behind 10
    )
    summary = score_rankings(registry, Asked(file=file))
    ideal_of_two = 1 + 1 / math.log2(3)
    ndcg = [1 / math.log2(3), (1 / math.log2(4)) / ideal_of_two, 0, 1, 0]
    assert value(summary, "ndcg@10") == pytest.approx(sum(ndcg) / 5, abs=1e-12)
    assert value(summary, "hr@10") == pytest.approx(3 / 5)
    assert value(summary, "hr@1") == pytest.approx(1 / 5)
    assert value(summary, "mrr@10") == pytest.approx((1 / 2 + 1 / 3 + 0 + 1 + 0) / 5)
    assert value(summary, "recall@10") == pytest.approx((1 + 1 / 2 + 0 + 1 + 0) / 5)
    assert summary["metrics"]["recall@10"]["micro"]["value"] == pytest.approx(3 / 6)  # six labels
    assert value(summary, "mrr@12") == pytest.approx((1 / 2 + 1 / 3 + 0 + 1 + 1 / 12) / 5)
    assert summary["protocol"]["k"] == 12
    low, high = summary["metrics"]["ndcg@10"]["ci"]
    assert 0 <= low < value(summary, "ndcg@10") < high <= 1
    facts = summary["rankings"]
    assert (facts["lists"], facts["items"], facts["repeated"], facts["empty_lists"]) == (5, 20, 1, 1)
    assert facts["out_of_catalogue"] == "unscored"
    assert summary["counts"]["recommender_faults"] == 1
    assert [line["name"] for line in summary["headline"]] == ["ndcg@10", "recall@10", "hr@10", "mrr@10"]
    text = summary_text(summary)
    assert "5 ranked lists on ids only" in text
    cut = score_rankings(registry, Asked(file=file, k=2))
    assert value(cut, "hr@2") == pytest.approx(2 / 5)
    assert cut["rankings"]["cut_off"] == 1 + 1 + 10


def test_lists_of_one_source_are_resampled_together(registry: Registry, tmp_path: Path) -> None:
    lines = [{"id": str(n), "items": ["x"], "targets": ["x" if n % 2 else "y"]} for n in range(8)]
    alone = score_rankings(registry, Asked(file=write(tmp_path / "a.jsonl", *lines)))
    paired = [line | {"source": str(int(line["id"]) // 2)} for line in lines]
    together = score_rankings(registry, Asked(file=write(tmp_path / "b.jsonl", *paired)))
    assert (alone["headline"][0]["clusters"], together["headline"][0]["clusters"]) == (8, 4)
    # Each source has one hit and one miss: resampling sources changes nothing.
    assert together["metrics"]["hr@1"]["ci"] == [0.5, 0.5]
    assert alone["metrics"]["hr@1"]["ci"] != [0.5, 0.5]


# ------------------------------------------------------------------------------------------------------------------- titles


class Films:
    """Three films and two scenarios; "300" and "1917" are titles, and ids of other films."""

    CATALOGUE = Catalogue(
        [Item("300", "Alien", 1979), Item("1917", "Heat", 1995), Item("f3", "300", 2006), Item("f4", "1917", 2019)]
    )

    def __init__(self, options: None = None) -> None:
        pass

    def load(self, split: str) -> Split:
        scenarios = [Scenario(f"s{n}", "d1", (), Need((target,))) for n, target in enumerate(("300", "f3", "f4"))]
        return Split(split, scenarios, (), self.CATALOGUE)


@pytest.fixture
def films() -> Registry:
    import types

    from harness import Component, hookimpl

    module = types.ModuleType("films_plugin")

    @hookimpl
    def harness_datasets() -> Any:
        yield Component("films", f"{__name__}:Films", summary="four films")

    module.harness_datasets = harness_datasets  # type: ignore[attr-defined]
    made = Registry()
    assert made.register("films", lambda: module, "films").error is None
    return made


def test_titles_are_grounded_and_what_is_not_found_is_counted(films: Registry, tmp_path: Path) -> None:
    file = write(
        tmp_path / "titles.jsonl",
        {"id": "a", "titles": ["alien", "No Such Film (2001)", "Heat (1995)"], "targets": ["Heat"]},  # rank 3
        {"id": "b", "titles": ["No Such Film (2001)", "Nor This"], "targets": ["f3"]},  # nothing known: a fault
        {"id": "c", "titles": ["1917", "300"], "targets": ["300 (2006)"]},  # titles, though ids read the same: rank 2
        {"id": "d", "titles": ["HEAT", "Heat (1995)", "300"], "targets": ["300"]},  # one film twice; a title, not an id: 3
    )
    summary = score_rankings(films, Asked(file=file, dataset=Choice("films")))
    assert value(summary, "mrr@10") == pytest.approx((1 / 3 + 0 + 1 / 2 + 1 / 3) / 4)
    facts = summary["rankings"]
    assert (facts["out_of_catalogue"], facts["lists_with_out_of_catalogue"], facts["lists_of_nothing_else"]) == (3, 2, 1)
    assert facts["most_frequent_out_of_catalogue"][0] == ["No Such Film (2001)", 2]
    assert (facts["repeated"], facts["grounded_by_title"]) == (1, 4)
    assert summary["counts"]["recommender_faults"] == 1
    assert value(summary, "ooc") == pytest.approx((1 / 3 + 1 + 0 + 0) / 4)


def test_unknown_ids_keep_their_places_and_are_counted(films: Registry, tmp_path: Path) -> None:
    file = write(tmp_path / "ids.jsonl", {"id": "a", "items": ["nobody", "Heat (1995)", "f3"], "targets": ["f3"]})
    summary = score_rankings(films, Asked(file=file, dataset=Choice("films")))
    assert value(summary, "mrr@10") == pytest.approx(1 / 3)  # a title among ids is an unknown id
    assert summary["rankings"]["out_of_catalogue"] == 2


def test_targets_of_the_data_set_make_missing_scenarios_misses(films: Registry, tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", {"id": "s0", "items": ["300"]}, {"id": "s1", "items": ["f3"]})
    summary = score_rankings(films, Asked(file=file, dataset=Choice("films")))
    assert value(summary, "hr@1") == pytest.approx(2 / 3)
    assert summary["rankings"]["missing_scenarios"] == 1
    assert "1 of 3 scenarios have no list and count as misses" in summary["warnings"][0]
    assert value(score_rankings(films, Asked(file=file, dataset=Choice("films"), limit=2)), "hr@1") == 1.0
    with pytest.raises(
        DataError, match=r"x\.jsonl:2: .*'s1' is no scenario of this data \(test, novel, the first 1\); --variant or"
    ):
        score_rankings(films, Asked(file=file, dataset=Choice("films"), limit=1))


def test_lists_of_a_run_score_as_the_run_did(registry: Registry, tmp_path: Path) -> None:
    config = RunConfig(
        recommender=Choice("attribute-match"), simulator=None, dataset=Choice("cinema"), turns=1, preset="static", limit=40
    )
    result = experiment.execute(registry, config, tmp_path / "run")
    assert result.summary is not None
    lines = [{"id": record.scenario, "items": record.turns[0].items} for record in records(result.folder)]
    file = write(tmp_path / "lists.jsonl", *lines)
    summary = score_rankings(registry, Asked(file=file, dataset=Choice("cinema"), limit=40))
    for name in ("ndcg@10", "recall@5", "hr@1", "mrr@10", "coverage", "novelty", "diversity"):
        for key in ("value", "ci", "n", "clusters"):
            assert summary["metrics"][name][key] == result.summary["metrics"][name][key], (name, key)
    assert summary["run"]["data_hash"] == result.summary["run"]["data_hash"]
    assert 0 < value(summary, "ndcg@10") < 1
    titles = [{"id": line["id"], "titles": [title(registry, item) for item in line["items"]]} for line in lines]
    by_title = score_rankings(registry, Asked(file=write(tmp_path / "t.jsonl", *titles), dataset=Choice("cinema"), limit=40))
    assert value(by_title, "ndcg@10") == value(summary, "ndcg@10")


def title(registry: Registry, item_id: str) -> str:
    item = _catalogue(registry).get(item_id)
    assert item is not None
    return f"{item.title} ({item.year})"


def _catalogue(registry: Registry, kept: dict[str, Catalogue] = {}) -> Catalogue:  # noqa: B006  loaded once
    from harness.assembly import load_split, resolve

    if not kept:
        part = resolve(registry, "dataset", Choice("cinema"))
        kept["cinema"] = load_split(part, part.create(), "test").catalogue
    return kept["cinema"]


# ------------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "a", "items": ["x", NaN], "targets": ["y"]}', "this is no JSON"),
        ('{"id": "a"', "this is no JSON"),
        ("[1]", "expected an object"),
        ({"id": "a", "titles": ["x"], "targets": ["y"]}, "titles need a catalogue; name a data set with --dataset"),
        ({"id": "a", "items": ["x"]}, "field 'targets' is missing"),
        ({"id": "a", "items": ["x"], "targets": []}, "field 'targets': is empty"),
        ({"id": "a", "items": ["x"], "targets": "y"}, "field 'targets': expected a list"),
        ({"id": "a", "items": ["x"], "targets": [None]}, "field 'targets': expected texts or whole numbers, found null"),
        ({"id": "a", "items": ["x", 1.5], "targets": ["y"]}, "field 'items': expected texts or whole numbers, found 1.5"),
        ({"id": "a", "items": [True], "targets": ["y"]}, "found true"),
        ({"id": "a", "items": [" "], "targets": ["y"]}, "field 'items'"),
        ({"id": "a", "items": ["x" * 257], "targets": ["y"]}, "257 characters"),
        ({"id": "a", "items": ["x"], "titles": ["x"], "targets": ["y"]}, "one of the fields 'items'"),
        ({"id": "a", "targets": ["y"]}, "one of the fields 'items'"),
        ({"items": ["x"], "targets": ["y"]}, "field 'id' is missing"),
        ({"id": "a", "item": ["x"], "targets": ["y"]}, "unknown field 'item'; did you mean items?"),
        ({"id": "ok", "items": ["x"], "targets": ["y"]}, "field 'id': 'ok' stands on line 1 already"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_file_is_told_with_its_line(registry: Registry, tmp_path: Path, line: Any, told: str) -> None:
    file = write(tmp_path / "x.jsonl", {"id": "ok", "items": ["x"], "targets": ["y"]}, line)
    with pytest.raises(DataError) as error:
        score_rankings(registry, Asked(file=file))
    assert f"{file}:2: " in str(error.value)
    assert told in str(error.value)


def test_all_wrong_lines_are_told_at_once_up_to_a_limit(registry: Registry, tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", *(["{"] * 50))
    with pytest.raises(DataError, match="and 30 more") as error:
        score_rankings(registry, Asked(file=file))
    assert str(error.value).count("x.jsonl:") == 20


def test_targets_in_no_catalogue_and_on_some_lines_only_are_refused(films: Registry, tmp_path: Path) -> None:
    asked = {"dataset": Choice("films")}
    file = write(tmp_path / "x.jsonl", {"id": "a", "items": ["f3"], "targets": ["No Such Film"]})
    with pytest.raises(DataError, match=r"x\.jsonl:1: field 'targets': 'No Such Film' is not in the catalogue"):
        score_rankings(films, Asked(file=file, **asked))
    file = write(tmp_path / "y.jsonl", {"id": "s0", "items": ["f3"], "targets": ["f3"]}, {"id": "s1", "items": ["f3"]})
    with pytest.raises(DataError, match=r"y\.jsonl:2: field 'targets' is missing; either every line has it or none"):
        score_rankings(films, Asked(file=file, **asked))
    file = write(tmp_path / "own.jsonl", {"id": "a", "items": ["f3"], "targets": ["f3"]})
    with pytest.raises(UsageError, match="--variant says which scenarios"):
        score_rankings(films, Asked(file=file, variant="all", **asked))
    with pytest.raises(DataError, match="holds no ranked list"):
        score_rankings(films, Asked(file=write(tmp_path / "z.jsonl"), **asked))
    file = write(tmp_path / "x.jsonl", {"id": "a", "items": ["f3"], "targets": ["f3"]})
    with pytest.raises(UsageError, match="asks a language model"):
        score_rankings(films, Asked(file=file, metrics=["judge-satisfaction"], **asked))


def test_without_a_catalogue_every_reference_is_its_own_id() -> None:
    linker = Linker(None)
    assert linker.link("Alien  (1979)") == "Alien (1979)"
    assert linker.known("anything")
    assert linker.listed("1: Alien (1979) 2: Heat (1995)") == ()


# ------------------------------------------------------------------------------------------------------------- command line


def harness(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_command_scores_a_file_or_a_run_and_says_which(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "x.jsonl", {"id": "a", "titles": ["Alien (1979)", "Nope"], "targets": ["Alien"]})
    code, out, _ = harness(capsys, "score", "--rankings", file, "--dataset", "cinema")
    assert code == 0
    assert "out of catalogue: 1 item in 1 list (0 with nothing else)" in out
    code, out, _ = harness(capsys, "score", "--rankings", file, "--dataset", "cinema", "--json")
    assert json.loads(out)["metrics"]["hr@1"]["value"] == 1.0
    for arguments, told in (
        (["score"], "name a run's folder, or a file with --rankings"),
        (["score", run, "--rankings", file], "leave out the run's folder"),
        (["score", run, "--dataset", "cinema"], "--dataset goes with --rankings"),
        (["score", "--rankings", file], "--dataset"),
        (["score", "--rankings", file, "--variant", "all"], "--variant was given, but no --dataset"),
        (["score", "--rankings", file, "--dataset", "nowhere"], "nowhere"),
    ):
        code, _, err = harness(capsys, *arguments)
        assert code == 2
        assert told in err


def test_export_import_and_what_an_import_is_not_on_the_command_line(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert harness(capsys, "export", run, "--to", "dialoguekit")[0] == 0
    code, _, err = harness(capsys, "export", run, "--to", "dialoguekit")
    assert (code, "--force" in err) == (2, True)
    code, out, _ = harness(capsys, "export", run, "--to", "csv", "--json")
    assert json.loads(out)["path"] == "mine.csv"
    code, out, _ = harness(capsys, "import", "--from", "dialoguekit", "mine.dialoguekit.json", "--json")
    (done,) = json.loads(out)
    assert (code, done["dialogues"]) == (0, 24)
    assert harness(capsys, "score", done["folder"])[0] == 0
    code, out, _ = harness(capsys, "report", done["folder"])
    assert out.startswith("imported: popularity")
    code, _, err = harness(capsys, "resume", done["folder"])
    assert (code, "can't be played on" in err) == (2, True)
    code, _, err = harness(capsys, "submit", "prepare", done["folder"], "--name", "x", "--authors", "y", "--out", "z")
    assert (code, "can't be submitted" in err) == (2, True)
