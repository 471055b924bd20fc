"""Texts of plugins, models and files on a terminal."""

from __future__ import annotations


def printable(text: object) -> str:
    """A text with its lines and blanks, but without what a terminal obeys: control characters, and those that turn a line."""
    return "".join(c for c in str(text) if c.isprintable() or c in "\n\t")
