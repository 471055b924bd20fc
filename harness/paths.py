"""Folders of the user's machine that the harness uses."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """The folder for files that can be fetched again: $XDG_CACHE_HOME/harness, or ~/.cache/harness. May not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification asks for relative values to be ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "harness"
