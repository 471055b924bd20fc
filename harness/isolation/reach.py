"""Which files an isolated process may read: Python, installed packages, plugins, artefacts; no data set, no run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.artifacts import FOLDER
from harness.isolation.settings import Isolation
from harness.registry import GROUP, Registry

# Shared libraries, time zones, what numerical libraries ask about the processor, and the certificates (no keys) that HTTP
# clients read when they are made, whether they are used or not.
_SYSTEM: Final = (
    "/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/etc/ld.so.cache",
    "/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
    "/sys/devices/system/node", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust/extracted", "/usr/share/ca-certificates",
)  # fmt: skip
_NETWORK: Final = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
    "/run/systemd/resolve",
)  # fmt: skip


class Reach(msgspec.Struct, frozen=True):
    """Paths, all absolute. `listed`: the names of what lies below may be seen, their contents need not."""

    read: tuple[str, ...]
    listed: tuple[str, ...]
    path: tuple[str, ...] = ()
    """Where Python looks for packages; folders of installations only."""
    links: dict[str, str] = {}
    """Name -> place of packages and their metadata that lie anywhere else: to be linked into a folder on the path."""
    uncovered: tuple[str, ...] = ()
    """Data sets whose files can't be kept away, because the recommender lies among them."""


def reach(registry: Registry, isolation: Isolation, options: Mapping[str, Any], data: Mapping[str, Any]) -> Reach:
    """`options` are those that the user gave the recommender (files that they name may be read), `data` those of the data set
    (files that they name may not)."""
    mine = _packages()
    code = list(_code(mine))
    roots = [*code, *map(Path, _SYSTEM), *artifact_folders(), *_named(options), *map(Path, isolation.read)]
    if isolation.network:
        roots += map(Path, _NETWORK)
    allowed = _outermost(path.resolve() for path in roots if path.exists())
    places = [Path(os.environ["HARNESS_DATA"])] if os.environ.get("HARNESS_DATA") else []
    theirs = [path.resolve() for path in (*_datasets(registry), *places, *_named(data)) if path.exists()]
    # Where code that the recommender needs lies among the data, nothing can be kept away.
    needed = [path.resolve() for path in (*mine.values(), Path(sysconfig.get_paths()["stdlib"]))]
    kept = [path for path in theirs if not any(each.is_relative_to(path) for each in needed)]
    uncovered = sorted(map(str, set(theirs) - set(kept)))
    inside = _inside(kept, mine)
    copies = [folder / path for folder in _package_folders(code) for path in inside]
    denied = [*kept, *(path.resolve() for path in copies if path.exists())]
    read: list[str] = []
    listed: list[str] = []
    for root in allowed:
        _carve(root, denied, read, listed)
    path = tuple(str(entry) for entry in _path() if _installation(entry))
    return Reach(tuple(read), tuple(listed), path, _links(mine), tuple(uncovered))


def artifact_folders() -> list[Path]:
    """Where artefacts are looked for by name: the folders of $HARNESS_ARTIFACTS, and ./artifacts."""
    named = [Path(part) for part in os.environ.get("HARNESS_ARTIFACTS", "").split(os.pathsep) if part]
    return [path.absolute() for path in (*named, FOLDER) if path.is_dir()]


def relative(options: Mapping[str, Any]) -> bool:
    """Whether an option names a file or folder from where the user stands."""
    return any(not path.is_absolute() for path in _named(options))


def _carve(path: Path, denied: list[Path], read: list[str], listed: list[str]) -> None:
    """Allow a tree but for the denied parts of it. Rules can only allow, so its other parts are named one by one."""
    if any(path == each or path.is_relative_to(each) for each in denied):
        return
    if not any(each.is_relative_to(path) for each in denied):
        read.append(str(path))
        return
    listed.append(str(path))
    try:
        inside = sorted(path.iterdir())
    except OSError:
        return
    for child in inside:
        _carve(child, denied, read, listed)


def _code(packages: Mapping[str, Path]) -> Iterator[Path]:
    """The standard library, what is installed, and the packages of plugins that lie elsewhere on the path."""
    paths = sysconfig.get_paths()
    yield from (Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield Path(sys.prefix) / "pyvenv.cfg"
    yield Path(sys.base_prefix) / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in _path():
        if _installation(path):
            yield path
        else:  # a folder that the user put on the path may hold anything
            yield from _metadata(path)
    yield from packages.values()


def _path() -> list[Path]:
    return [Path(entry).absolute() for entry in sys.path if entry and Path(entry).exists()]


def _installation(path: Path) -> bool:
    prefixes = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
    inside = any(path.resolve().is_relative_to(each) for each in prefixes)
    return inside or path.name in ("site-packages", "dist-packages")


def _metadata(path: Path) -> list[Path]:
    return [child for pattern in ("*.dist-info", "*.egg-info") for child in path.glob(pattern)]


def _package_folders(code: Iterable[Path]) -> Iterator[Path]:
    """Folders with installed packages, other Pythons' of this system too."""
    for folder in (*code, *map(Path, _SYSTEM)):
        yield folder
        for pattern in ("*-packages", "python3*/*-packages"):
            yield from folder.glob(pattern)


def _inside(paths: Iterable[Path], packages: Mapping[str, Path]) -> set[Path]:
    """The same files as they lie below a folder of packages: another copy of a package may be installed."""
    tops = {name.partition("/")[0]: place.resolve() for name, place in packages.items()}
    return {Path(name) / path.relative_to(top) for path in paths for name, top in tops.items() if path.is_relative_to(top)}


def _links(packages: Mapping[str, Path]) -> dict[str, str]:
    """Packages of plugins and metadata in folders that aren't installations: what else is in there stays unseen."""
    found: dict[str, str] = {}
    for path in _path():
        if not _installation(path):
            for child in (*_metadata(path), *(place for place in packages.values() if place.parent == path)):
                found.setdefault(child.name, str(child))
    for name, place in packages.items():  # a package whose folder has another name is found by a hook, or not at all
        if place.name in found and place.stem != name.partition("/")[0]:
            del found[place.name]
    return found


def _packages() -> dict[str, Path]:
    """Top-level package of every plugin, and of the harness -> its folder or file; nothing is imported."""
    names = {"harness"}
    for distribution in importlib.metadata.distributions():
        try:
            names |= {point.module.partition(".")[0] for point in distribution.entry_points.select(group=GROUP)}
        except Exception:  # noqa: BLE001, S112  damaged metadata of a stranger's package
            continue
    found: dict[str, Path] = {}
    for name in names:
        for number, place in enumerate(_places(name)):
            found[f"{name}/{number}"] = place
    return found


def _places(name: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return [Path(place) for place in (spec.submodule_search_locations or ([spec.origin] if spec.origin else []))]


def _datasets(registry: Registry) -> Iterator[Path]:
    """The files of data sets in packages: the folder of a data set's package, or its parts where several share one."""
    places: dict[Path, list[str]] = {}
    for entry in registry.entries("dataset"):
        module = entry.component.target.partition(":")[0].split(".")
        for top in _places(module[0]):
            inner = top.joinpath(*module[1:])
            if inner.is_dir():
                places.setdefault(inner, [])
            else:
                places.setdefault(inner.parent, []).append(f"{inner.name}.py")
    for folder, modules in places.items():
        if len(modules) < 2:
            yield folder
            continue
        yield from (folder / module for module in modules)
        if folder.is_dir():  # its helpers may be anybody's, its data and parts are not
            yield from (child for child in folder.iterdir() if child.suffix != ".py" and child.name != "__pycache__")


def _named(options: Mapping[str, Any]) -> list[Path]:
    """Option values that are files or folders that exist."""
    texts: list[str] = []
    values: list[Any] = list(options.values())
    while values:
        value = values.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, Iterable):
            values += value
    found = []
    for text in texts:
        try:
            if text and len(text) < 4096 and Path(text).exists():
                found.append(Path(text))
        except (OSError, ValueError):
            continue
    return found


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those that lie inside of another."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not (kept and path.is_relative_to(kept[-1])):
            kept.append(path)
    return kept
