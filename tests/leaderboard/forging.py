"""Submissions to tamper with: a copy of an honest one, ways to change it, and what a cheat does to hide a change."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.api import DialogueRecord
from harness.config import fingerprint
from harness.leaderboard.identity import config_from
from harness.leaderboard.ranks import in_order, record_of, transcripts_hash
from harness.leaderboard.scores import evaluate
from harness.leaderboard.types import DIALOGUES, MANIFEST, RANKS, SUBMISSION, RankRow
from harness.registry import Registry

Lines = list[dict[str, Any]]


class Forgery:
    """A submission's folder that may be changed."""

    def __init__(self, honest: Path, folder: Path, registry: Registry) -> None:
        shutil.copytree(honest, folder)
        self.folder, self.registry = folder, registry
        self.name = DIALOGUES if (folder / DIALOGUES).exists() else RANKS

    def json(self, change: Callable[[dict[str, Any]], Any], name: str = SUBMISSION) -> None:
        """Change a JSON file in place."""
        content = msgspec.json.decode((self.folder / name).read_bytes())
        change(content)
        (self.folder / name).write_bytes(msgspec.json.encode(content))

    def text(self, old: str, new: str, name: str = SUBMISSION) -> None:
        """Replace a text once, whatever JSON allows."""
        content = (self.folder / name).read_text(encoding="utf-8")
        assert old in content
        (self.folder / name).write_text(content.replace(old, new, 1), encoding="utf-8")

    def fields(self, name: str = MANIFEST, sign: bool = True, **changes: Any) -> None:
        """Change fields of the fingerprint ("simulator__name" is simulator.name), and the fingerprint with them."""

        def change(manifest: dict[str, Any]) -> None:
            manifest["fields"] |= {key.replace("__", "."): value for key, value in changes.items()}
            if sign:
                manifest["fingerprint"] = fingerprint(manifest["fields"])

        self.json(change, name)
        self.reseal()

    def lines(self) -> Lines:
        return [msgspec.json.decode(line) for line in gzip.decompress((self.folder / self.name).read_bytes()).splitlines()]

    def dialogues(self, change: Callable[[Lines], Lines | None], *, rescore: bool = True) -> None:
        """Change the dialogues and their hash; `rescore`: then claim what they give now."""
        lines = self.lines()
        lines = change(lines) or lines
        self.raw(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        if rescore:
            self.rescore()

    def raw(self, unpacked: bytes, *, name: str | None = None) -> None:
        """Any bytes as the compressed dialogues, with the right hash."""
        self.packed(gzip.compress(unpacked, mtime=0), name=name)

    def packed(self, content: bytes, *, name: str | None = None) -> None:
        (self.folder / (name or self.name)).write_bytes(content)
        self.reseal()

    def reseal(self) -> None:
        """Make the hashes of all files right again."""

        def change(submission: dict[str, Any]) -> None:
            for name in submission["files"]:
                if (self.folder / name).is_file():
                    submission["files"][name] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

        self.json(change)

    def rescore(self) -> None:
        """Claim the scores that the changed dialogues give."""
        config = config_from(msgspec.json.decode((self.folder / MANIFEST).read_bytes())["fields"])
        said = msgspec.json.decode((self.folder / SUBMISSION).read_bytes())
        try:
            records = self._read(self.name)
            controls = [(name, self._read(f"control-{name}.ranks.jsonl.gz")) for name in said["controls"]]
            results = evaluate(self.registry, config, records, controls).results
        except Exception:
            return  # such dialogues have no score; the validator says so itself

        def change(submission: dict[str, Any]) -> None:
            submission["results"] = msgspec.to_builtins(results)
            submission["transcripts"] = transcripts_hash(in_order(records))

        self.json(change)

    def _read(self, name: str) -> list[DialogueRecord]:
        lines: Iterable[bytes] = gzip.decompress((self.folder / name).read_bytes()).splitlines()
        if name == DIALOGUES:
            return [msgspec.json.decode(line, type=DialogueRecord) for line in lines]
        return [record_of(msgspec.json.decode(line, type=RankRow)) for line in lines]
