"""Every command of the tutorial runs, in the order of the page, in an environment of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from places import Place

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
FEWER = 12


def blocks() -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path) -> None:
    place = Place(tmp_path)
    said = {}
    for block in blocks():
        if "harness resume" in block:
            _interrupt(place.work / "runs" / "first")
        said[block] = place.bash(re.sub(r"--limit \d+", f"--limit {FEWER}", block))
    for folder in sorted((place.work / "runs").iterdir()):
        if folder.name.startswith("chat-"):
            continue
        counts = json.loads((folder / "summary.json").read_bytes())["counts"]
        assert counts["valid"] == counts["played"] == (1 if folder.name == "books" else FEWER), folder
        assert counts["recommender_faults"] == counts["missing"] == counts["incomplete"] == 0
    texts = {name: text for block, text in said.items() for name in re.findall(r"harness (\w+)", block)}
    assert "d_z" in texts["compare"]
    assert "12 dialogues" in texts["resume"]
    gain = next(text for block, text in said.items() if "--control" in block)
    assert "exclude-only" in gain
    assert "Alien" in texts["chat"]
    assert " 0 failed" in texts["check"]
    assert "mine-0.1: valid" in texts["submit"]


def test_from_a_new_recommender_to_a_valid_submission_in_under_ten_commands() -> None:
    commands = [line for block in blocks() for line in block.splitlines() if re.match(r"(harness|pip) ", line)]
    first = commands.index("harness new recommender mine")
    last = next(n for n, line in enumerate(commands) if line.startswith("harness submit validate"))
    assert last - first + 1 < 10
    assert len([line for line in commands[first : last + 1] if "mine" in line]) == last - first + 1


def _interrupt(folder: Path) -> None:
    """As after a power cut: half the dialogues are gone, and the last line that is there is torn."""
    file = folder / "dialogues.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[-1][:100])
    (folder / "summary.json").unlink()


def test_every_command_of_the_page_is_one_that_exists() -> None:
    """Also those that stand in running text."""
    from harness.cli import VERBS

    named = set(re.findall(r"\bharness (\w+)", PAGE.read_text(encoding="utf-8")))
    assert named - {"import"} <= set(VERBS)
    assert {"run", "report", "compare", "resume", "chat", "data", "check", "new", "list", "show"} <= named
