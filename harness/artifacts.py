"""Artefacts: folders with what a training made, found by path or by name, and checked before they are used.

    artifact.json   what it is: `Card`, with the SHA-256 of every other file
    README.md       the same for people, made from it
    ...             weights as safetensors, configurations, tokenizers; never a pickle

A *bundle* has no weights of its own: its parts are sub-folders, each an artefact. A folder is written beside its place and
renamed when it is whole (`artifactfiles.create`), so that what has an artifact.json is complete.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from harness.errors import DataError, UsageError
from harness.registry import Registry

CARD, README = "artifact.json", "README.md"
BUNDLE = "bundle"
FOLDER = Path("artifacts")
"""Where artefacts are looked for by name, in the working directory, after the folders of $HARNESS_ARTIFACTS."""
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was learned from."""

    name: str
    options: dict[str, Any] = {}
    hash: str = ""
    """SHA-256 of catalogue, training dialogues and scenarios."""


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of artifact.json."""

    format: Literal[1] = 1
    kind: str
    """What can load it: "smtpo-retriever", say; "bundle" for a folder of parts."""
    name: str
    summary: str = ""
    trained_on: tuple[str, ...] = ()
    """Names of data sets."""
    trained_against: tuple[str, ...] = ()
    """Names of simulators."""
    parents: dict[str, str] = {}
    """Stage -> content (`Artifact.revision`) of the artefacts that this one was made from."""
    data: Data | None = None
    seeds: tuple[int, ...] = ()
    settings: dict[str, Any] = {}
    """Of the training."""
    results: dict[str, Any] = {}
    """Single numbers, by name."""
    curves: dict[str, list[dict[str, Any]]] = {}
    """Name -> points, each with its step and values."""
    notes: tuple[str, ...] = ()
    """What whoever uses it must know."""
    versions: dict[str, str] = {}
    parts: tuple[str, ...] = ()
    """Of a bundle: its sub-folders."""
    files: dict[str, str] = {}
    """Path inside the folder, with slashes -> SHA-256 in hexadecimal digits. Of a bundle: the artifact.json of its parts."""


class Artifact(msgspec.Struct, frozen=True):
    """An artefact's folder and card."""

    path: Path
    card: Card

    def file(self, name: str) -> Path:
        """A file of the artefact. Raises DataError unless it is listed, there, and no link."""
        if name not in self.card.files:
            raise DataError(f"{self.path}: {CARD} lists no file {name!r}; it has {', '.join(self.card.files) or 'none'}")
        path = self.path / name
        if not _is_plain(self.path, name):
            raise DataError(f"{path} is not there or is a link: get the artefact again")
        return path

    def revision(self) -> dict[str, Any]:
        """What identifies it in a fingerprint: contents, never places or names of folders."""
        content = hashlib.sha256(msgspec.json.encode([self.card.kind, self.card.files], order="deterministic")).hexdigest()
        return {
            "kind": self.card.kind,
            "files": content,
            "trained_on": list(self.card.trained_on),
            "trained_against": list(self.card.trained_against),
        }


def find(name_or_path: str, part: str = "", kind: str | None = None, *, registry: Registry | None = None) -> Artifact:
    """An artefact by path ("./made/rl") or name ("smtpo-tiny"), or a part of it ("smtpo-tiny/rl", or `part`), hashes checked.

    Names are looked for in the folders of $HARNESS_ARTIFACTS, in ./artifacts and among what plugins offer, in that order; a
    name that is nowhere there may be a folder. `kind` is what the caller can load. Raises UsageError with the nearest names for
    one that is not there or of another kind, and DataError for a damaged one.
    """
    found = _located(name_or_path, registry)
    if found is None and "/" in name_or_path.strip("/"):
        outer, _, inner = name_or_path.rstrip("/").rpartition("/")
        whole = _located(outer, registry)
        if whole is not None and not part:
            found, part = whole, inner
    if found is None:
        raise UsageError(_unknown(name_or_path, registry))
    artifact = read(found)
    if part:
        artifact = _part(artifact, part, kind)
    if kind is not None and artifact.card.kind != kind:
        hint = f"; say which part: {', '.join(artifact.card.parts)}" if artifact.card.kind == BUNDLE else ""
        raise UsageError(f"{artifact.path} is a {artifact.card.kind}, but a {kind} is needed{hint}")
    check(artifact)
    return artifact


def read(folder: Path) -> Artifact:
    """The card of a folder; its files are not looked at. Raises UsageError without one, DataError for a damaged one."""
    path = folder / CARD
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except FileNotFoundError:
        raise UsageError(f"{folder} is no artefact: there is no {CARD} in it") from None
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged, or made by another version of the harness: {error}") from None
    for name in card.files:
        if not safe(name) or not re.fullmatch("[0-9a-f]{64}", card.files[name]):
            raise DataError(
                f"{path}: {name!r} can't be a file of an artefact (a plain path inside its folder, and its SHA-256)"
            )
    for name in card.parts:
        if not _NAME.fullmatch(name) or f"{name}/{CARD}" not in card.files:
            raise DataError(f"{path}: {name!r} can't be a part of a bundle (a sub-folder whose {CARD} is listed)")
    return Artifact(folder, card)


def check(artifact: Artifact) -> None:
    """Compare every file with its recorded hash, a bundle's parts too. Raises DataError with all that is wrong."""
    wrong = list(problems(artifact))
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise DataError(f"{artifact.path} is damaged: {shown}. Get or train it again")


def problems(artifact: Artifact) -> Iterator[str]:
    """What is wrong with an artefact's files, one line each: missing, changed, links, and files that nobody listed."""
    folder, card = artifact.path, artifact.card
    for name, digest in card.files.items():
        if not _is_plain(folder, name):
            yield f"{name} is missing or a link"
        elif sha256(folder / name) != digest:
            yield f"{name} is not what was written (its hash differs)"
    for name in card.parts:
        if _is_plain(folder, f"{name}/{CARD}"):
            yield from (f"{name}: {text}" for text in problems(read(folder / name)))
    if card.kind != BUNDLE:  # beside a bundle's parts lies what the training has left
        yield from (f"{name} is not listed" for name in contents(folder) if name not in card.files)


def listed(registry: Registry | None = None) -> list[tuple[str, str, Path]]:
    """(name, where it comes from, folder) of every artefact that can be named, in the order of look-up; later ones of the same
    name are hidden by the first."""
    found: list[tuple[str, str, Path]] = []
    for root in _roots():
        if root.is_dir():
            found += [
                (p.name, str(root), p) for p in sorted(root.iterdir()) if (p / CARD).is_file() and _NAME.fullmatch(p.name)
            ]
    for descriptor, distribution in (registry or Registry()).artifacts():
        folder = _package_folder(descriptor.package)
        if folder is not None:
            found.append((descriptor.name, distribution, folder / descriptor.folder))
    return found


def contents(folder: Path) -> list[str]:
    """All files below a folder, with slashes, sorted; without artifact.json and README.md at its top. Links are listed too."""
    found = []
    for at, folders, files in os.walk(folder):
        names = [*files, *(name for name in folders if (Path(at) / name).is_symlink())]
        found += [(Path(at) / name).relative_to(folder).as_posix() for name in names]
    return sorted(set(found) - {CARD, README})


def sha256(path: Path) -> str:
    """Hexadecimal digits. Raises DataError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from None


def safe(name: str) -> bool:
    """True for a plain relative path, with slashes, that stays inside its folder."""
    path = PurePosixPath(name)
    plain = name == str(path) and "\\" not in name and "\0" not in name and name.isprintable()
    return plain and not path.is_absolute() and ".." not in path.parts and path.parts != () and ":" not in name


def _located(name_or_path: str, registry: Registry | None) -> Path | None:
    if not name_or_path.strip():
        return None
    if _NAME.fullmatch(name_or_path):
        for name, origin, folder in (every := listed(registry)):
            if name == name_or_path:
                rivals = [f"{other} ({at})" for same, other, at in every if same == name and other != origin]
                if rivals and origin not in map(str, _roots()):
                    raise UsageError(
                        f"artefact {name!r} is offered by {origin} ({folder}) and {', '.join(rivals)}: give a path"
                    )
                return folder
    path = Path(name_or_path).expanduser()
    return path if (path / CARD).is_file() else None


def _package_folder(package: str) -> Path | None:
    """Where a package lies; it is not imported, its parents are."""
    try:
        spec = importlib.util.find_spec(package)
    except Exception:  # noqa: BLE001  a stranger's package may raise anything
        return None
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def _part(artifact: Artifact, part: str, kind: str | None) -> Artifact:
    if artifact.card.kind != BUNDLE and kind is not None and artifact.card.kind == kind:
        return artifact  # the part itself was named
    if part not in artifact.card.parts:
        near = difflib.get_close_matches(part, artifact.card.parts, n=2, cutoff=0.4)
        has = ", ".join(artifact.card.parts)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {has}" if has else "it is no bundle"
        raise UsageError(f"{artifact.path} has no part {part!r}; {hint}")
    if not _is_plain(artifact.path, f"{part}/{CARD}"):
        raise DataError(f"{artifact.path / part} is not there or is a link: get the artefact again")
    if sha256(artifact.path / part / CARD) != artifact.card.files[f"{part}/{CARD}"]:
        raise DataError(
            f"{artifact.path / part / CARD} is not what the bundle lists (its hash differs): get the artefact again"
        )
    return read(artifact.path / part)


def _unknown(name: str, registry: Registry | None) -> str:
    if "/" in name or name.startswith(("~", ".")):
        return f"there is no artefact at {name} (a folder with {CARD}); `harness artifacts list` shows those with names"
    known = list(dict.fromkeys(found for found, _, _ in listed(registry)))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}" if known else "there are none"
    return (
        f"unknown artefact {name!r}; {hint} (or give the path of a folder with {CARD}; "
        f"`harness train TRAINER --out {FOLDER}/NAME` makes one that is found by name)"
    )


def _roots() -> list[Path]:
    said = os.environ.get("HARNESS_ARTIFACTS", "")
    return [*(Path(part).expanduser() for part in said.split(os.pathsep) if part.strip()), FOLDER]


def _is_plain(folder: Path, name: str) -> bool:
    """True for a regular file that is reached through no link below `folder`."""
    path = folder
    parts = PurePosixPath(name).parts
    for number, part in enumerate(parts):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError:
            return False
        if not (stat.S_ISREG(mode) if number == len(parts) - 1 else stat.S_ISDIR(mode)):
            return False
    return True
