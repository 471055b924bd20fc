"""Writes artefacts: beside their place, hashed, synced, renamed. A kill leaves the old artefact, none, or the new one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from harness import __version__
from harness.artifacts import BUNDLE, CARD, README, Artifact, Card, contents, read, safe, sha256
from harness.errors import StoreError, UsageError
from harness.modelcard import render
from harness.wholefiles import sync_folder, write_atomically

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "trl", "accelerate", "peft", "numpy")


@contextlib.contextmanager
def create(out: Path, card: Card) -> Iterator[Path]:
    """A folder to fill; when the block ends, its files are hashed and listed and it takes the place of `out`.

    An artefact or an empty folder at `out` is replaced; anything else raises UsageError. Links raise UsageError as well, a full
    disk StoreError. If the block raises, nothing is left and `out` stays as it was.
    """
    out = out.absolute()
    refuse_other(out)
    beside, old = (out.with_name(f".{out.name}.{what}") for what in ("new", "old"))
    with _storing(out):
        for stale in (beside, old):
            if stale.exists():
                shutil.rmtree(stale)
        beside.mkdir(parents=True)
    try:
        yield beside
        with _storing(out):
            _write_card(beside, msgspec.structs.replace(card, files=hashes(beside)))
            _sync(beside)
            if out.exists():
                out.rename(old)
            beside.rename(out)
            sync_folder(out.parent)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_bundle(out: Path, card: Card, parts: Sequence[str]) -> Artifact:
    """Make a bundle of artefacts that lie in sub-folders of `out` already. Raises UsageError for one that is none."""
    for part in parts:
        read(out / part)
    files = {f"{part}/{CARD}": sha256(out / part / CARD) for part in parts}
    _write_card(out, msgspec.structs.replace(card, kind=BUNDLE, parts=tuple(parts), files=files))
    return read(out)


def refuse_other(out: Path) -> None:
    """Raises UsageError when something that is no artefact lies at `out`."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"{out} is no folder: choose another place for the artefact")
    if out.is_dir() and not (out / CARD).is_file() and any(out.iterdir()):
        raise UsageError(f"{out} holds something else than an artefact: choose another place, or move it away")


def hashes(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of all files of a folder but its card and README.md. Raises UsageError for links and odd names."""
    names = contents(folder)
    for name in names:
        if (folder / name).is_symlink() or not safe(name):
            raise UsageError(f"{name} can't be part of an artefact: plain files only, with plain names")
    return {name: sha256(folder / name) for name in names}


def versions() -> dict[str, str]:
    """Of the harness, Python and the packages that a training uses; nothing is imported for it."""
    found = {"crs-harness": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _write_card(folder: Path, card: Card) -> None:
    write_atomically(folder / README, render(card).encode())
    write_atomically(folder / CARD, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")


def _sync(folder: Path) -> None:
    for at, _, files in os.walk(folder):
        for name in files:
            with (Path(at) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(at))


@contextlib.contextmanager
def _storing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"can't write {out}: {error.strerror or error}") from error
