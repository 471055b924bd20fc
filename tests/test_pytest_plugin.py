"""`pytest --harness-check`: pytest in another process, as an author starts it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BROKEN = '''
import msgspec
from harness import Component, Recommendation, hookimpl


class Options(msgspec.Struct, frozen=True):
    repeat: bool = True
    again: bool = False


class Echo:
    """Says everything twice."""

    def __init__(self, options):
        self.options = options

    def prepare(self, setup):
        self.ids = setup.catalogue.ids

    def recommend(self, conversation, k):
        left = [i for i in self.ids if self.options.again or i not in conversation.rejected][:k]
        if self.options.repeat and len(left) > 1:
            left[-1] = left[0]
        return Recommendation(tuple(left), "Twice! Twice!")


@hookimpl
def harness_recommenders():
    yield Component("echo", f"{__name__}:Echo", summary="says everything twice", options=f"{__name__}:Options")
    yield Component("seconds", f"{__name__}:Echo", summary="has the name of a metric", options=f"{__name__}:Options")
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An author's folder with an installed plugin and a test."""
    (tmp_path / "echo_plugin.py").write_text(BROKEN)
    info = tmp_path / "echo_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\necho = echo_plugin\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_own.py").write_text(
        "def test_the_world(harness_world):\n    assert len(harness_world.catalogue) == 24\n"
    )
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # `python -m` puts the folder on the path, and with it the plugin's metadata.
    # Without plugins of other projects, whose import is half of what pytest's start takes.
    foreign = ["-p", "no:hypothesispytest", "-p", "no:anyio"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *foreign, "--color=no", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_each_clause_is_a_test_and_a_broken_one_says_how_to_mend_it(package: Path) -> None:
    ran = run(package, "-v", "--harness-check", "echo")
    assert ran.returncode == 1, ran.stdout
    assert "harness-check::recommender echo::known-ids PASSED" in ran.stdout
    assert "harness-check::recommender echo::no-repeats FAILED" in ran.stdout
    assert "harness-check::recommender echo::closes SKIPPED (it has no close())" in ran.stdout
    assert "test_the_world PASSED" in ran.stdout
    assert "1 failed" in ran.stdout
    (told,) = [part for part in ran.stdout.split("FAILURES")[1:] if "found:" in part]
    assert "recommender echo breaks no-repeats: lists no item twice" in told
    assert "stands in the list more than once" in told
    assert "fix: Drop repeats" in told
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "pytest_plugin.py" not in told, "no way into the kit's own code"


def test_options_a_choice_of_clauses_and_warnings(package: Path) -> None:
    ran = run(package, "--harness-check", "echo repeat=false again=true", "-k", "no-repeats or honours")
    assert ran.returncode == 0, ran.stdout
    assert "-" not in next(line for line in ran.stdout.splitlines() if line.startswith("collected")), "pytest counts them too"
    assert "2 passed" in ran.stdout
    assert "had been turned down" in ran.stdout.partition("warnings summary")[2]


def test_a_kind_where_several_have_the_name(package: Path) -> None:
    listing = run(package, "--collect-only", "-q", "--harness-check", "seconds").stdout
    assert {line.split("::")[1] for line in listing.splitlines() if "::summary" in line} == {
        "recommender seconds",
        "metric seconds",
    }
    listing = run(package, "--collect-only", "-q", "--harness-check", "metric seconds").stdout
    assert {line.split("::")[1] for line in listing.splitlines() if "::summary" in line} == {"metric seconds"}
    ambiguous = run(package, "--harness-check", "seconds repeat=false")
    assert "say which as in" in ambiguous.stderr


def test_the_settings_may_ask_for_it(package: Path) -> None:
    (package / "pyproject.toml").write_text(
        textwrap.dedent("""
            [tool.pytest.ini_options]
            testpaths = ["tests"]
            harness_check = ["echo repeat=false"]
        """)
    )
    whole = run(package, "-k", "honours or world")
    assert whole.returncode == 0, whole.stdout
    assert "2 passed" in whole.stdout
    single = run(package, "tests/test_own.py")
    assert "1 passed" in single.stdout.splitlines()[-1], "who runs a single file waits for nothing else"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ecko", "unknown component 'ecko'; did you mean echo"),
        ("echo loud", "option 'loud': write it as option name=value"),
        ("echo 'repeat=false", "No closing quotation; write NAME, or NAME option=value"),
        ("", "unknown component ''"),
        ("harness-mine:echo", "once it is installed: pip install -e ."),
    ],
)
def test_what_cannot_be_checked_is_one_line(package: Path, spec: str, message: str) -> None:
    ran = run(package, "--harness-check", spec)
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert message in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_an_option_that_does_not_exist_is_told(package: Path) -> None:
    ran = run(package, "--harness-check", "echo loudness=3")
    assert ran.returncode == 1
    assert "recommender echo has no option 'loudness'; it has: repeat, again" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert "options.py" not in ran.stdout


def test_it_costs_nothing_where_nothing_is_checked() -> None:
    """Every pytest of every environment with the harness imports the plugin."""
    program = "import sys, harness.pytest_plugin; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(ran.stdout.split())
    ours = {name for name in loaded if name.startswith("harness.")}
    assert ours <= {"harness.api", "harness.hookspecs", "harness.errors", "harness.pytest_plugin"} | {
        name for name in ours if name.startswith("harness.api.")
    }
    assert not loaded & {"numpy", "torch", "scipy", "click", "asyncio.runners", "harness.testing", "harness.registry"}
