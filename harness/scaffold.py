"""Writes a plugin package to start from: small, complete, keeping the protocol from the first minute."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import msgspec

from harness.errors import UsageError
from harness.registry import Registry

Scaffold = Literal["recommender", "simulator", "metric", "dataset"]
SCAFFOLDS: tuple[Scaffold, ...] = get_args(Scaffold)
_NAME = re.compile(r"[a-z](?:-?[a-z0-9]+)*")
_SUFFIX = ".tmpl"
_KIND_TEXTS = {"recommender": "Recommender", "simulator": "Simulated user", "metric": "Metric", "dataset": "Data set"}


class Names(msgspec.Struct, frozen=True):
    """What a component's name becomes where: "my-rec" -> harness-my-rec, harness_my_rec, MyRecRecommender."""

    kind: Scaffold
    name: str

    @property
    def distribution(self) -> str:
        return f"harness-{self.name}"

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        # The kind at the end keeps it from being a keyword or one of the harness's own types ("none", "item").
        return "".join(part.capitalize() for part in self.name.split("-")) + self.kind.capitalize()

    def fill(self, text: str) -> str:
        """A template with the names in it."""
        for token, value in (
            ("@NAME@", self.name),
            ("@MODULE@", self.module),
            ("@CLASS@", self.cls),
            ("@DISTRIBUTION@", self.distribution),
            ("@KIND_TEXT@", _KIND_TEXTS[self.kind]),
        ):
            text = text.replace(token, value)
        return text


def check_name(kind: Scaffold, name: str, registry: Registry) -> Names:
    """Raises UsageError for a name that can't be a package, or that is taken."""
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789").rstrip("-") or "mine"
        raise UsageError(
            f"{name!r} can't be the name of a package: use a-z, 0-9 and single '-', a letter first, such as {near!r}"
        )
    if name.startswith("harness-"):
        raise UsageError(f"leave out the prefix: harness new {kind} {name.removeprefix('harness-')} makes the package {name}")
    taken = [entry for entry in registry.entries(kind) if entry.name == name]
    if taken:
        raise UsageError(
            f"{taken[0].distribution} offers a {kind} {name!r} already, and of two the short name would be refused: choose "
            f"another name, or pip uninstall {taken[0].distribution}"
        )
    names = Names(kind, name)
    if importlib.util.find_spec(names.module) is not None:
        raise UsageError(f"a module {names.module} is installed already: choose another name than {name!r}, or uninstall it")
    return names


def write_package(names: Names, folder: Path) -> list[Path]:
    """Write the package into `folder`, which must not exist; its files, relative. The folder appears whole or not at all.

    Raises UsageError when something is there already, or when it can't be written.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already and is left as it is: choose another --out, or remove it first")
    waiting: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        waiting = Path(tempfile.mkdtemp(prefix=".harness-new-", dir=folder.parent))
        made = waiting / folder.name
        written = []
        for path, text in files(names):
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            written.append(Path(path))
        os.rename(made, folder)  # noqa: PTH104  Path.rename is the same; here the folder appears at once
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror or error}; choose another --out") from None
    finally:
        if waiting is not None:
            shutil.rmtree(waiting, ignore_errors=True)
    return sorted(written)


def files(names: Names) -> Iterator[tuple[PurePosixPath, str]]:
    """(relative path, content) of every file of the package."""
    for part in ("common", names.kind):
        root = resources.files("harness") / "templates" / part
        for path, source in _walk(root, PurePosixPath()):
            filled = names.fill(str(path)).removesuffix(_SUFFIX)
            yield PurePosixPath(".gitignore" if filled == "gitignore" else filled), names.fill(source.read_text("utf-8"))


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for child in sorted(folder.iterdir(), key=lambda child: child.name):
        if child.is_dir():
            yield from _walk(child, path / child.name)
        elif child.name.endswith(_SUFFIX):
            yield path / child.name, child
