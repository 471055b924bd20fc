"""Prompts as files: TOML tables of texts with $placeholders, checked when they are read and known by their hash.

Placeholders are those of `string.Template`: data that is filled in is never looked at again, so that no brace, dollar or
percent sign in a title or a message can break a prompt. A literal dollar sign in a prompt file is written $$.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from harness.errors import UsageError


class Prompt:
    """One prompt file. `text(name, **values)` fills in a text of its top level, `table(name)` is a table of plain texts."""

    def __init__(self, name: str, source: str, where: str) -> None:
        self.name, self.source, self._where = name, source, where
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()
        try:
            content: dict[str, Any] = tomllib.loads(source)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{where} is no TOML: {error}") from None
        self._texts: dict[str, Template] = {}
        self._tables: dict[str, dict[str, str]] = {}
        for key, value in content.items():
            if isinstance(value, str):
                self._texts[key] = Template(value.strip("\n"))
            elif isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
                self._tables[key] = value
            else:
                raise UsageError(f"{where}: {key} must be a text or a table of texts")

    def check(self, needed: Mapping[str, Collection[str]], known: Collection[str]) -> None:
        """`needed` says for each text which placeholders must stand in it; `known` are all that there are.

        Raises UsageError with the file, the text and the placeholder.
        """
        for name, placeholders in needed.items():
            if name not in self._texts:
                raise UsageError(f"{self._where} lacks the text {name!r}; it needs {', '.join(needed)}")
            missing = [p for p in placeholders if p not in self._texts[name].get_identifiers()]
            if missing:
                raise UsageError(f"{self._where}: the text {name!r} must contain ${missing[0]}")
        for name, template in self._texts.items():
            if not template.is_valid():
                raise UsageError(f"{self._where}: {name!r} has a lone dollar sign; write $$ for a dollar")
            unknown = [p for p in template.get_identifiers() if p not in known]
            if unknown:
                raise UsageError(
                    f"{self._where}: {name!r} asks for ${unknown[0]}, which there isn't; there are {', '.join(sorted(known))}"
                )

    def placeholders(self, name: str) -> frozenset[str]:
        """The placeholders that stand in a text."""
        return frozenset(self._texts[name].get_identifiers())

    def text(self, name: str, **values: str) -> str:
        """A text with its placeholders filled in."""
        return self._texts[name].substitute(values)

    def table(self, name: str, keys: Collection[str]) -> Mapping[str, str]:
        """A table that has these keys. Raises UsageError for one that is missing."""
        table = self._tables.get(name, {})
        for key in keys:
            if key not in table:
                raise UsageError(f"{self._where} lacks {name}.{key}")
        return table

    def revision(self) -> dict[str, str]:
        """For the fingerprint: which prompt, and the hash of its file."""
        return {"prompt": self.name, "prompt_sha256": self.sha256}


def load(package: str | None, name: str, path: str = "") -> Prompt:
    """The prompt of that name ("ievalm.v1") in the folder `prompts` of a package, or the file at `path` where one is given.

    Raises UsageError when the file can't be read.
    """
    if path:
        file = Path(path).expanduser()
        try:
            return Prompt(file.name, file.read_text(encoding="utf-8"), f"prompt file {file}")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the prompt file {file} can't be read: {error}") from None
    source = resources.files(package or __package__).joinpath("prompts", f"{name}.toml").read_text(encoding="utf-8")
    return Prompt(name, source, f"prompt {name}")
