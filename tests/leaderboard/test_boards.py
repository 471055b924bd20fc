"""Boards: order, shared ranks, marks, what is escaped, and that the same submissions give the same bytes."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from markdown_it import MarkdownIt

from harness.cli import main
from harness.errors import UsageError
from harness.leaderboard.boards import Standing, confirm, new_board, shared_ranks, stand
from harness.leaderboard.build import SCHEMA, generate, schema_text, stale, write
from harness.leaderboard.identity import trained
from harness.leaderboard.markdown import board_page, table
from harness.leaderboard.page import page
from harness.leaderboard.prepare import About, prepare
from harness.leaderboard.types import Submission
from harness.registry import Registry

ROOT = Path(__file__).parents[2] / "leaderboards"
NASTY = "</td><script>alert(1)</script> | [x](javascript:alert(1)) `a` *b* <!-- & \" ' \\"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, registry: Registry, runs: dict[str, Path]) -> Path:
    """A board with `random`, which is no floor there, and `popularity`, which is."""
    root = tmp_path_factory.mktemp("leaderboards")
    new_board(root / "small", runs["popularity"], title="Small & nice", form="transcripts", floors=["popularity"])
    for name in ("random", "popularity"):
        about = About(name=name.title(), authors=["Ada Moss"], trained_on=["cinema"], trained_against=["rule"])
        prepare(registry, runs[name], about, root, board=root / "small")
    return root


@pytest.fixture(scope="module")
def standing(root: Path, registry: Registry) -> Standing:
    found, problems = stand(registry, root / "small")
    assert problems == []
    return found


def test_rows_are_ordered_and_the_floor_is_marked(standing: Standing) -> None:
    scores = [row.results.scores["sr"].value for row in standing.rows]
    assert scores == sorted(scores, reverse=True)
    by_slug = {row.slug: row for row in standing.rows}
    assert by_slug["popularity"].floor
    assert not by_slug["random"].floor
    assert by_slug["random"].below == ("popularity",)
    assert by_slug["popularity"].below == ()


def test_a_board_shows_everything_that_the_protocol_asks_for(standing: Standing) -> None:
    headers = " ".join(table(standing).headers)
    for wanted in ("SR", "n", "success@", "gain over exclude-only", "invalid", "faults", "leaks", "LLM calls", "tokens", "US $",
                   "trained on", "trained against", "result", "interaction gain", "pass^k"):  # fmt: skip
        assert wanted in headers
    text = board_page(standing)
    for wanted in (
        "knowledge level profile",
        "data hash",
        "20 of ",
        "Popularity \\(floor\\)",
        "below popularity",
        "self\\-reported",
    ):
        assert wanted.replace("\\-", "-") in text
    assert "this data \\(cinema\\)" in text
    assert "this simulator \\(rule\\)" in text


def test_the_numbers_of_a_board_are_those_of_the_run(standing: Standing, runs: dict[str, Path]) -> None:
    """The same dialogues scored by the run itself."""
    for row in standing.rows:
        summary = msgspec.json.decode((runs[row.slug] / "summary.json").read_bytes())
        for name in ("sr", "ndcg@10", "at", "interaction-gain"):
            block = summary["metrics"][name]
            assert row.results.scores[name].value == pytest.approx(block["value"], abs=1e-12)
            assert row.results.scores[name].ci == pytest.approx(block["ci"], abs=1e-12)
        assert [each.value for each in row.results.passed] == pytest.approx(
            [each["value"] for each in summary["pass^k"]["values"]], abs=1e-12
        )


def rows(values: np.ndarray) -> list[dict]:
    return [{"scenario": f"s{n}", "source": f"d{n}", "values": {"sr": float(v)}} for n, v in enumerate(values)]


def test_rows_share_a_rank_until_one_differs_significantly_from_the_best_of_it() -> None:
    best = np.ones(60)
    near = best.copy()
    near[:3] = 0  # 3 of 60 differ: p = 0.25 before any correction
    far = best.copy()
    far[:40] = 0
    farther = far.copy()
    farther[40:42] = 0
    assert shared_ranks([rows(values) for values in (best, near, far, farther)], "sr") == [1, 1, 3, 3]
    assert shared_ranks([rows(best)], "sr") == [1]
    assert shared_ranks([], "sr") == []


def test_building_twice_changes_nothing_and_a_stale_page_is_noticed(root: Path, registry: Registry) -> None:
    files, problems = generate(registry, root)
    assert problems == []
    assert set(write(files)) == set(files)
    again, _ = generate(registry, root)
    assert again == files
    assert write(again) == []
    (root / "index.html").write_text("old", encoding="utf-8")
    assert stale(again) == [root / "index.html"]


def test_a_new_row_changes_only_what_it_must(root: Path, registry: Registry, runs: dict[str, Path], tmp_path: Path) -> None:
    """Lines of other systems stay as they are, byte for byte (ranks aside)."""
    shutil.copytree(root / "small", tmp_path / "small")
    shutil.rmtree(tmp_path / "small" / "submissions" / "random")
    before = board_page(stand(registry, tmp_path / "small")[0])
    after = board_page(stand(registry, root / "small")[0])
    (line,) = (line for line in before.splitlines() if line.startswith("| 1 | Popularity"))
    assert line in after.splitlines()


def nasty(standing: Standing) -> Standing:
    """What a validated submission can't hold, and a page must survive all the same."""
    row = standing.rows[0]
    submission: Submission = msgspec.structs.replace(row.submission, name=NASTY, authors=[NASTY], description=NASTY)
    worse = msgspec.structs.replace(row, submission=submission, trained_on=(NASTY,), below=(NASTY,))
    board = msgspec.structs.replace(standing.board, title=NASTY, notes=[NASTY])
    return msgspec.structs.replace(standing, board=board, rows=(worse, *standing.rows[1:]))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts += data


def test_hostile_text_stays_text(standing: Standing) -> None:
    plain, hostile = Tags(), Tags()
    plain.feed(page([standing]))
    hostile.feed(page([nasty(standing)]))
    assert [tag for tag, _ in hostile.found if tag not in ("li", "dd", "ul", "details", "summary")] == [
        tag for tag, _ in plain.found if tag not in ("li", "dd", "ul", "details", "summary")
    ]
    assert NASTY in hostile.texts
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(board_page(nasty(standing)))
    shown = Tags()
    shown.feed(rendered)
    assert "script" not in {tag for tag, _ in shown.found}
    assert not [values for _, values in shown.found if "javascript:" in (values.get("href") or "")]
    cells = [rendered.count(f"<t{kind}") for kind in "dh"]
    expected = MarkdownIt("commonmark", {"html": True}).enable("table").render(board_page(standing))
    assert cells == [expected.count(f"<t{kind}") for kind in "dh"], "no cell more or less"


def test_a_run_stands_on_a_board_once_and_in_its_own_folder(
    root: Path, registry: Registry, runs: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(root / "small", tmp_path / "small")
    prepare(registry, runs["random"], About(name="Again", authors=["Me"]), tmp_path, board=tmp_path / "small")
    (tmp_path / "small" / "submissions" / "popularity").rename(tmp_path / "small" / "submissions" / "elsewhere")
    standing, problems = stand(registry, tmp_path / "small")
    texts = "\n".join(map(str, problems))
    assert "is the same run as again" in texts
    assert "lies in a folder named popularity" in texts
    assert [row.slug for row in standing.rows] == ["again"]


def test_reproduced_means_the_same_dialogues(root: Path, registry: Registry, runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(root / "small", tmp_path / "small")
    place = tmp_path / "small" / "submissions"
    with pytest.raises(UsageError, match="other dialogues"):
        confirm(place / "random", runs["popularity"])
    confirm(place / "random", runs["random"])
    marks = {row.slug: row.reproduced for row in stand(registry, tmp_path / "small")[0].rows}
    assert marks == {"random": True, "popularity": False}


def test_what_artefacts_say_of_their_training_is_found_at_any_depth() -> None:
    fields = {
        "recommender.revision.retriever": {"kind": "x", "trained_on": ["cinema"]},
        "recommender.revision.trained_against": ["rule", 3],
        "recommender.revision.parts": [{"trained_on": ["redial"]}],
        "simulator.revision": {"trained_on": ["inspired"]},
    }
    assert trained(fields, "trained_on") == ["cinema", "redial"]
    assert trained(fields, "trained_against") == ["rule"]


def test_the_command_checks_pages_and_tells_problems(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "boards"
    shutil.copytree(root, copy)

    def build(*flags: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["leaderboard", "build", str(copy), *flags])
        return int(stop.value.code or 0)

    assert build() == 0
    assert build("--check") == 0
    (copy / "README.md").write_text("old", encoding="utf-8")
    assert build("--check") == 1
    assert "README.md is stale" in capsys.readouterr().err
    (copy / "small" / "submissions" / "random" / "more.txt").write_text("?", encoding="utf-8")
    assert build() == 1
    assert "small/random/more.txt: is no file of a submission" in capsys.readouterr().err
    assert (copy / "README.md").read_text(encoding="utf-8") == "old", "nothing is written while a submission is not sound"


def test_the_schema_is_made_from_the_types_and_strict_at_every_level() -> None:
    assert (ROOT / SCHEMA).read_text(encoding="utf-8") == schema_text()
    schema = msgspec.json.decode(schema_text())
    assert set(schema["files"]) == {"submission.json", "manifest.json", "dialogues.jsonl.gz", "ranks.jsonl.gz", "board.json"}
    for name, part in schema["$defs"].items():
        if name != "Ceiling":
            assert part["additionalProperties"] is False, name
    for reference in re.findall(r'"\$ref": "#/\$defs/(\w+)"', schema_text()):
        assert reference in schema["$defs"]
