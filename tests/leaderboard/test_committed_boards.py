"""The boards of this repository: what `harness submit validate` and `harness leaderboard build --check` say of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.leaderboard.boards import Standing, checked, find_boards, standing_of
from harness.leaderboard.contents import Contents, Problems
from harness.leaderboard.markdown import board_page, overview
from harness.leaderboard.page import page
from harness.leaderboard.replay import Loader
from harness.leaderboard.safefiles import Problem
from harness.leaderboard.validate import against_data, read_board
from harness.registry import Registry

ROOT = Path(__file__).parents[2] / "leaderboards"
BOARDS = find_boards(ROOT)
FREE = ("cinema",)
"""Data sets that are always there."""


def data_of(folder: Path) -> str:
    return str(read_board(folder).fields["dataset.name"])


def needs_data(folder: Path) -> object:
    marks = () if data_of(folder) in FREE else pytest.mark.realdata
    return pytest.param(folder, id=folder.name, marks=marks)


@pytest.fixture(scope="module")
def submissions(registry: Registry) -> dict[Path, tuple[list[Contents], list[Problem]]]:
    """What is recomputed takes a second each: once for all tests that run here."""

    class Once(dict[Path, tuple[list[Contents], list[Problem]]]):
        def __missing__(self, folder: Path) -> tuple[list[Contents], list[Problem]]:
            self[folder] = checked(registry, folder)
            return self[folder]

    return Once()


@pytest.fixture(scope="module")
def loader(registry: Registry) -> Loader:
    return Loader(registry)


def line_of(standing: Standing) -> str:
    (line,) = (line for line in overview([standing]).splitlines() if line.startswith("| ["))
    return line


def section_of(standing: Standing) -> str:
    text = page([standing])
    return text[text.index("<section") : text.index("</main>")]


# The scope puts the tests of one board beside each other: in one process, then, which recomputes its submissions once.
@pytest.mark.slow
@pytest.mark.parametrize("folder", BOARDS, ids=lambda folder: folder.name, scope="module")
def test_submissions_are_sound_and_the_pages_are_theirs(submissions: dict, folder: Path) -> None:
    """Every score recomputed, from ranks too."""
    sound, problems = submissions[folder]
    assert [str(problem) for problem in problems] == []
    assert len(sound) == sum(1 for _ in (folder / "submissions").iterdir())
    standing = standing_of(folder, sound)
    assert (folder / "README.md").read_text(encoding="utf-8") == board_page(standing)
    assert line_of(standing) in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert section_of(standing) in (ROOT / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("folder", [needs_data(folder) for folder in BOARDS], scope="module")
def test_the_data_and_the_simulator_say_the_same(submissions: dict, loader: Loader, registry: Registry, folder: Path) -> None:
    """The same scenarios; where dialogues are submitted, the simulator's side of them word for word."""
    notes = set()
    for contents in submissions[folder][0]:
        told = Problems()
        notes |= set(against_data(registry, contents, loader, told, known=True))
        assert [f"{contents.folder.name}: {problem}" for problem in told.listed()] == []
    whole = data_of(folder) in FREE
    assert notes == (
        set() if whole else {"the simulator's side was not played again: ranks without texts can't be played again"}
    )


def test_the_overviews_have_these_boards_and_no_others() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("| [") for line in lines) == len(BOARDS)
    assert (ROOT / "index.html").read_text(encoding="utf-8").count("<section ") == len(BOARDS)
    assert {data_of(folder) for folder in BOARDS} == {"cinema", "redial", "inspired", "opendialkg"}


@pytest.mark.parametrize("folder", BOARDS, ids=lambda folder: folder.name)
def test_no_text_of_licensed_data_is_there(folder: Path) -> None:
    if data_of(folder) in FREE:
        return
    assert msgspec.json.decode((folder / "board.json").read_bytes())["form"] == "ranks"
    kinds = {path.name for path in folder.rglob("*") if path.is_file()}
    ranks = {name for name in kinds if name.endswith("ranks.jsonl.gz") or name.endswith("manifest.json")}
    assert kinds - ranks == {"README.md", "board.json", "submission.json"} | ({"reproduced.json"} & kinds)


def test_a_board_has_the_floors() -> None:
    for folder in BOARDS:
        if "all-static" not in folder.name:
            there = {path.name for path in (folder / "submissions").iterdir()}
            assert {"random", "popularity", "copy-history", "bm25"} <= there, folder.name
