"""What `harness --help` costs beside a bare click program's."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from typing import Any

BARE = "import click\n@click.group()\ndef cli(): pass\ncli(['--help'])"
FULL = "import sys; sys.argv = ['harness', {arguments}]\nfrom harness.cli import main\nmain()"
REPEATS = 9


def cpu_of(code: str) -> float:
    """Median CPU milliseconds of a fresh interpreter that runs the code."""
    times = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return statistics.median(times)


def main() -> list[dict[str, Any]]:
    """A row per command, as a ratio to the bare program."""
    bare = cpu_of(BARE)
    rows = [{"benchmark": "startup", "command": "bare click --help", "cpu_ms": bare, "times_bare_click": 1.0}]
    for words in (["--help"], ["run", "--help"], ["list"], ["plugins"], ["show", "bm25"]):
        cpu = cpu_of(FULL.format(arguments=", ".join(repr(w) for w in words)))
        rows.append(
            {"benchmark": "startup", "command": f"harness {' '.join(words)}", "cpu_ms": cpu, "times_bare_click": cpu / bare}
        )
    return rows
