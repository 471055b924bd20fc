"""`harness new`: names, places, and what is never touched. That the packages work is an acceptance test."""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import scaffold
from harness.scaffold import SCAFFOLDS, Names


def names(folder: Path | None = None) -> list[str]:
    return [path.name for path in (folder or Path.cwd()).iterdir()]


@pytest.mark.parametrize("kind", SCAFFOLDS)
def test_a_package_with_its_entry_point_its_tests_and_no_token_left(club: None, harness: Callable, kind: str) -> None:
    ran = harness("new", kind, "my-own2")
    assert ran.code == 0
    package = Path("harness-my-own2")
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["name"] == "harness-my-own2"
    assert project["project"]["entry-points"]["harness"] == {"my-own2": "harness_my_own2"}
    written = [path for path in package.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"README.md", ".gitignore", "__init__.py", "py.typed", "test_harness_my_own2.py"}
    for path in written:
        assert "@" not in str(path)
        text = path.read_text(encoding="utf-8")
        assert not any(token in text for token in ("@NAME@", "@MODULE@", "@CLASS@", "@DISTRIBUTION@", "@KIND"))
        if path.suffix == ".py":
            ast.parse(text)
        assert str(path.relative_to(package)) in ran.out
    commands = [line.strip() for line in ran.out.partition("next:")[2].splitlines() if line.strip()]
    assert commands[:2] == ["pip install -e ./harness-my-own2", "harness check my-own2"]


def test_another_folder(club: None, harness: Callable, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "pack"
    ran = harness("new", "metric", "recency", "--out", str(target))
    assert ran.code == 0
    assert f"pip install -e {target}" in ran.out
    assert (target / "src" / "harness_recency" / "metric.py").exists()
    assert names(target.parent) == ["pack"], "nothing else is left there"
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~umask, "a folder as any other, not a private one"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("My Rec", "'my-rec'"),
        ("my_rec", "'my-rec'"),
        ("3d", "a letter first"),
        ("a--b", "'a-b'"),
        ("-x", "a letter first"),
        ("rec-", "'rec'"),
        ("dist:rec", "'dist-rec'"),
        ("ndcg@10", "'ndcg-10'"),
        ("../x", "'x'"),
        ("résumé", "use a-z"),
        ("", "use a-z"),
        ("harness-mine", "harness new recommender mine"),
        ("bm25", "crs-harness offers a recommender 'bm25' already"),
        ("shelf", "pip uninstall film-club"),
        ("plugins", "module harness_plugins is installed already"),
    ],
)
def test_names_that_would_not_do(club: None, harness: Callable, name: str, hint: str) -> None:
    ran = harness("new", "recommender", "--", name)
    assert ran.code == 2
    assert hint in ran.err
    assert names() == []


def test_a_name_of_another_kind_is_free(club: None, harness: Callable) -> None:
    assert harness("new", "metric", "bm25").code == 0


@pytest.mark.parametrize("there", ["folder", "empty folder", "file", "dangling link"])
def test_nothing_is_overwritten(club: None, harness: Callable, there: str) -> None:
    target = Path("harness-mine")
    if there == "file":
        target.write_text("mine!")
    elif there == "dangling link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
        if there == "folder":
            (target / "thesis.md").write_text("mine!")
    ran = harness("new", "recommender", "mine")
    assert ran.code == 2
    assert "exists already and is left as it is" in ran.err
    assert "--out" in ran.err
    assert names() == ["harness-mine"]
    if there == "folder":
        assert [path.name for path in target.iterdir()] == ["thesis.md"]


def test_a_failure_half_way_leaves_nothing(club: None, harness: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scaffold.files

    def torn(names: Names) -> object:
        for number, file in enumerate(whole(names)):
            if number == 3:
                raise OSError(28, "No space left on device")
            yield file

    monkeypatch.setattr(scaffold, "files", torn)
    ran = harness("new", "recommender", "mine")
    assert ran.code == 2
    assert "No space left on device" in ran.err
    assert names() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written(club: None, harness: Callable) -> None:
    Path("locked").mkdir(mode=0o500)
    ran = harness("new", "recommender", "mine", "--out", "locked/mine")
    assert ran.code == 2
    assert "Permission denied" in ran.err


def test_an_unknown_kind_is_told_what_there_is(club: None, harness: Callable) -> None:
    ran = harness("new", "trainer", "mine")
    assert ran.code == 2
    assert "recommender" in ran.err
    assert "dataset" in ran.err


@pytest.mark.parametrize(("name", "cls"), [("mine", "MineMetric"), ("my-own-2b", "MyOwn2bMetric"), ("none", "NoneMetric")])
def test_class_names(name: str, cls: str) -> None:
    assert Names("metric", name).cls == cls
