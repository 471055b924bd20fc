"""Where an export goes: whole or not there, and nothing that lies there is overwritten unless that was asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import StoreError, UsageError
from harness.store import DIALOGUES, MANIFEST, SCORES, SUMMARY, TORN
from harness.wholefiles import sync_folder, why

MARK = ".harness-export"
"""A file in every exported folder: --force replaces a folder that has it, and no other."""
OWN = frozenset((DIALOGUES, MANIFEST, SCORES, SUMMARY, TORN))


@contextlib.contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to; what was written takes its place when the block ends well, and is gone otherwise.

    Raises UsageError when something is there already, StoreError when the system refuses.
    """
    _free(path, force=force)
    beside = _beside(path)
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        if force:
            beside.replace(path)
        else:
            _link(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"can't write {path}: {why(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def exported(folder: Path) -> bool:
    """Whether an export made a folder."""
    return (folder / MARK).is_file()


@contextlib.contextmanager
def new_folder(path: Path, *, force: bool = False, ours: Callable[[Path], bool] = exported) -> Iterator[Path]:
    """The same for a folder. `force` replaces a folder that is one of `ours`, never another."""
    _free(path, force=force, ours=ours)
    beside = _beside(path)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        if path.is_dir():
            shutil.rmtree(path)
        beside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"can't write {path}: {why(error)}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _free(path: Path, *, force: bool, ours: Callable[[Path], bool] | None = None) -> None:
    """`ours` for a folder. Raises UsageError when the place is taken."""
    if not path.name:
        raise UsageError(f"{path} is no name to write to: choose another --out")
    if path.name in OWN and (path.parent / MANIFEST).exists():
        raise UsageError(f"{path} is a file of a run: choose another --out")
    if not (path.exists() or path.is_symlink()):
        return
    if not force:
        raise UsageError(f"{path} is there already: choose another --out, or replace it with --force")
    if ours is not None and (path.is_symlink() or not path.is_dir() or not ours(path)):
        raise UsageError(f"{path} is there already and was not made by this command: --force doesn't replace it")
    if ours is None and path.is_dir():
        raise UsageError(f"{path} is a folder: choose another --out")


def _beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"can't write {path}: {why(error)}") from error
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _link(beside: Path, path: Path) -> None:
    """Rename that doesn't replace: somebody may have made the file meanwhile."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise UsageError(f"{path} is there already: choose another --out, or replace it with --force") from None
    except OSError:  # a file system without links
        beside.replace(path)
