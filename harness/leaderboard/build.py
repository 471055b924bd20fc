"""All generated files of the leaderboards: the same submissions give the same bytes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.leaderboard.boards import find_boards, stand
from harness.leaderboard.markdown import board_page, overview
from harness.leaderboard.page import page
from harness.leaderboard.safefiles import Problem
from harness.leaderboard.types import schema
from harness.registry import Registry
from harness.wholefiles import write_atomically

SCHEMA = "submission.schema.json"


def schema_text() -> str:
    """The JSON schema as a file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def generate(registry: Registry, root: Path) -> tuple[dict[Path, str], list[Problem]]:
    """Path -> content of every generated file below `root`, and what is wrong with the submissions. Raises StoreError."""
    standings, problems = [], []
    for folder in find_boards(root):
        standing, found = stand(registry, folder)
        standings.append(standing)
        problems += found
    files = {standing.folder / "README.md": board_page(standing) for standing in standings}
    files |= {root / "README.md": overview(standings), root / "index.html": page(standings), root / SCHEMA: schema_text()}
    return files, problems


def stale(files: dict[Path, str]) -> list[Path]:
    """Files that are not as they would be written now."""
    return [path for path, content in files.items() if not path.is_file() or path.read_bytes() != content.encode()]


def write(files: dict[Path, str]) -> list[Path]:
    """Write what is stale, and nothing else."""
    changed = stale(files)
    for path in changed:
        write_atomically(path, files[path].encode())
    return changed
