"""The example workflow for pull requests: its shell steps, run on a repository with an honest and a tampered submission."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.leaderboard.boards import new_board
from harness.leaderboard.build import generate, write
from harness.leaderboard.prepare import About, prepare
from harness.registry import Registry

WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "submission.yml"
STEPS = {
    step["name"]: step["run"]
    for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["validate"]["steps"]
    if "name" in step and "run" in step
}
VALIDATE, OTHERS, PAGES = STEPS


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


class Request:
    """A pull request: `base` is the target branch, `submitted` what is to be merged, in one folder as the workflow has them."""

    def __init__(self, folder: Path, board: Path) -> None:
        self.folder, self.submitted = folder, folder / "submitted"
        (self.submitted / "leaderboards").mkdir(parents=True)
        shutil.copytree(board, self.submitted / "leaderboards" / "small")
        git(self.submitted, "init", "-q")
        self._commit()
        self.base = git(self.submitted, "rev-parse", "HEAD")
        shutil.copytree(self.submitted, folder / "base")

    def _commit(self) -> None:
        git(self.submitted, "add", "-A")
        git(self.submitted, "commit", "-q", "-m", "x")

    def run(self, step: str) -> subprocess.CompletedProcess[str]:
        """A step, after all changes were committed."""
        if git(self.submitted, "status", "--porcelain"):
            self._commit()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "BASE": self.base}
        return subprocess.run(
            ["bash", "-c", STEPS[step]], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def request_(tmp_path: Path, registry: Registry, runs: dict[str, Path]) -> Request:
    board = tmp_path / "board"
    new_board(board, runs["popularity"], title="Small", form="transcripts")
    prepare(registry, runs["popularity"], About(name="First", authors=["Ada Moss"]), tmp_path, board=board)
    return Request(tmp_path / "work", board)


def submit(request: Request, registry: Registry, run: Path) -> Path:
    about = About(name="Second", authors=["Ben Oak"], code_url="https://example.org/second")
    return prepare(registry, run, about, request.folder, board=request.submitted / "leaderboards" / "small")


@pytest.mark.slow
def test_an_honest_submission_with_its_pages_passes(request_: Request, registry: Registry, runs: dict[str, Path]) -> None:
    submit(request_, registry, runs["random"])
    checked = request_.run(VALIDATE)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "leaderboards/small/submissions/second: valid" in checked.stdout
    assert "first" not in checked.stdout, "only what was added is looked at"
    assert request_.run(PAGES).returncode == 1, "its pages are not there yet"
    files, problems = generate(registry, request_.submitted / "leaderboards")
    assert problems == []
    write(files)
    assert request_.run(PAGES).returncode == 0
    pointed = request_.run(OTHERS).stdout
    assert pointed.count("::warning::") == 1  # the schema, which this small repository had not had
    assert "submission.schema.json" in pointed


@pytest.mark.slow
def test_what_was_tampered_with_fails(request_: Request, registry: Registry, runs: dict[str, Path]) -> None:
    folder = submit(request_, registry, runs["random"])
    said = json.loads((folder / "submission.json").read_text())
    said["results"]["scores"]["sr"]["value"] += 0.1
    (folder / "submission.json").write_text(json.dumps(said))
    elsewhere = request_.submitted / "leaderboards" / "mine" / "submissions" / "second"
    shutil.copytree(folder, elsewhere)
    board = request_.submitted / "leaderboards" / "small" / "board.json"
    board.write_text(board.read_text().replace('"turns": 5', '"turns": 6'))  # the target branch's own counts
    shutil.rmtree(request_.submitted / "leaderboards" / "small" / "submissions" / "first")
    checked = request_.run(VALIDATE)
    assert checked.returncode == 1
    assert "::error::there is no leaderboards/mine on the target branch" in checked.stdout
    assert "leaderboards/small/submissions/second: submission.json: " in checked.stdout
    assert "results.scores.sr" in checked.stdout
    assert "fields.turns" not in checked.stdout, "a board that the request has changed is not asked"
    pointed = request_.run(OTHERS).stdout
    assert "status M of leaderboards/small/board.json" in pointed
    assert "status D of leaderboards/small/submissions/first/submission.json" in pointed
