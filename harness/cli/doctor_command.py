"""`harness doctor`: is this installation sound, and what is to be done if not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click
import msgspec

from harness import __version__
from harness.cli.arguments import json_option
from harness.cli.list_command import problem
from harness.cli.output import line, print_json, size
from harness.errors import PluginError
from harness.paths import user_cache
from harness.registry import FIRST_PARTY, KINDS, Registry

DEVELOPERS = "dev"
LOW_DISK = 1_000_000_000
"""Bytes; with less left, a note is made."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `broken` makes the command end with 2; `fix` is what to do about it."""

    topic: str
    text: str
    state: Literal["ok", "note", "broken"] = "ok"
    fix: str = ""
    details: str = ""
    """A traceback, say."""


@click.command(
    "doctor",
    epilog="""\b
Examples:
  harness doctor
  harness doctor --imports    also import every component's class, which may take a while
  harness doctor --json       for bug reports
""",
)
@click.option("--imports", is_flag=True, help="Also import every component, heavy packages included.")
@json_option()
def command(imports: bool, as_json: bool) -> int:
    """Check Python, packages, plugins, data folders, the cache and the machine.

    Ends with 2 if anything is broken, and the last line says what to do.
    """
    registry = Registry()
    checks = (interpreter(), packages(), plugins(registry), components(registry, imports=imports), data(), folders(), machine())
    findings = [finding for check in checks for finding in check]
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        print_json(findings)
    else:
        _print(findings)
        click.echo(f"\n{_advice(broken)}")
    return 2 if broken else 0


def _print(findings: list[Finding]) -> None:
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            click.echo(f"\n{topic}" if finding is not findings[0] else topic)
        mark = {"ok": " ", "note": "-", "broken": "!"}[finding.state]
        click.echo(f"{mark} {line(finding.text)}" + (f"; {finding.fix}" if finding.fix and finding.state == "note" else ""))
        for text in finding.details.rstrip().splitlines():
            click.echo(f"      {text}")


def _advice(broken: list[Finding]) -> str:
    if not broken:
        return "Nothing is broken. To start: harness run"
    return "To do: " + "; ".join(dict.fromkeys(finding.fix for finding in broken))


def interpreter() -> Iterator[Finding]:
    """Python and the harness themselves."""
    yield Finding("python", f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}")
    yield Finding("python", f"{platform.platform()}; harness {__version__}")


def packages() -> Iterator[Finding]:
    """What the harness requires, by the installed metadata; nothing is imported."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(text) for text in importlib.metadata.requires(FIRST_PARTY) or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("packages", f"{FIRST_PARTY} is not installed", "broken", f"install it: pip install {FIRST_PARTY}")
        return
    absent: dict[str, list[str]] = {}
    for need in declared:
        extra = next((e for e in _extras() if need.marker and not need.marker.evaluate({"extra": ""})
                      and need.marker.evaluate({"extra": e})), None)  # fmt: skip
        if extra == DEVELOPERS or (extra is None and need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            if extra is not None:
                absent.setdefault(extra, []).append(need.name)
            else:
                fix = f"install it: pip install '{_plain(need)}'"
                yield Finding("packages", f"{need.name} is missing", "broken", fix)
            continue
        if need.specifier.contains(version, prereleases=True):
            yield Finding("packages", f"{need.name} {version}")
        else:
            text = f"{need.name} {version} is installed, {need.specifier} is needed"
            yield Finding("packages", text, "broken" if extra is None else "note", f"pip install '{_plain(need)}'")
    for extra, names in absent.items():
        text = f"not installed, only needed for the extra {extra!r}: {', '.join(names)}"
        yield Finding("packages", text, "note", f"pip install '{FIRST_PARTY}[{extra}]'")


def _extras() -> list[str]:
    return importlib.metadata.metadata(FIRST_PARTY).get_all("Provides-Extra") or []


def _plain(need: object) -> str:
    """A requirement without its marker."""
    return str(need).partition(";")[0].strip()


def plugins(registry: Registry) -> Iterator[Finding]:
    """Entry points, with the traceback of those that fail."""
    for plugin in registry.plugins:
        text = f"{plugin.distribution} {plugin.version}, entry point {plugin.name.partition('/')[2]} = {plugin.value}"
        if plugin.error is None:
            yield Finding("plugins", text)
            continue
        fix = f"mend or uninstall {plugin.distribution}, or leave it out with HARNESS_DISABLE_PLUGINS={plugin.distribution}"
        yield Finding("plugins", f"{text}: {plugin.error}", "broken", fix, plugin.details)
    for variable in ("HARNESS_PLUGINS", "HARNESS_DISABLE_PLUGINS"):
        if os.environ.get(variable):
            yield Finding("plugins", f"{variable}={os.environ[variable]} is set: plugins may have been left out", "note")


def components(registry: Registry, *, imports: bool) -> Iterator[Finding]:
    """Clashes and wrong API versions; with `imports`, whether each class and its options can be imported."""
    count = 0
    for entry in (entry for kind in KINDS for entry in registry.entries(kind)):
        trouble = problem(registry, entry)
        label = f"{entry.kind} {entry.full_name}"
        if trouble is not None:
            # A name that two plugins share can still be said in full; the other troubles leave a component without use.
            shared = trouble.startswith("offered by several")
            fix = "" if shared else f"update {entry.distribution} or tell its authors"
            yield Finding("components", f"{label}: {trouble}", "note" if shared else "broken", fix)
        if imports:
            try:
                registry.load(entry)
                registry.options_type(entry)
            except PluginError as error:
                yield Finding("components", str(error), "broken", f"mend or uninstall {entry.distribution}")
                continue
        count += 1
    yield Finding("components", f"{count} components {'can be imported' if imports else 'are offered (--imports tries each)'}")


def data() -> Iterator[Finding]:
    """Folders with data sets: under $HARNESS_DATA and in the cache."""
    said = os.environ.get("HARNESS_DATA")
    if not said:
        text = "HARNESS_DATA is not set: data sets are looked for in the cache only"
        yield Finding("data", text, "note", "set it to the folder that holds yours, or use harness data get NAME")
    elif not Path(said).expanduser().is_dir():
        yield Finding("data", f"HARNESS_DATA={said} is no folder", "broken", "set HARNESS_DATA to a folder, or unset it")
    else:
        yield from _folders(Path(said).expanduser(), "HARNESS_DATA")
    fetched = user_cache() / "data"
    if fetched.is_dir():
        yield from _folders(fetched, "cache")


def _folders(root: Path, label: str) -> Iterator[Finding]:
    try:
        found = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        contents = [[file.stat().st_size for file in folder.rglob("*") if file.is_file()] for folder in found]
    except OSError as error:
        yield Finding("data", f"{label} {root} can't be read ({error.strerror})", "broken", f"make {root} readable")
        return
    yield Finding(
        "data",
        f"{label} {root}: " + (f"{len(found)} folder{'' if len(found) == 1 else 's'}" if found else "no folder"),
        "ok" if found else "note",
    )
    for folder, sizes in zip(found, contents, strict=True):
        yield Finding("data", f"{label}/{folder.name}: {len(sizes)} file{'' if len(sizes) == 1 else 's'}, {size(sum(sizes))}")


def folders() -> Iterator[Finding]:
    """Can the cache and the current folder be written, and is there room."""
    yield _folder("cache", user_cache(), "set XDG_CACHE_HOME to a folder that can be written", "broken")
    yield _folder("current folder (runs/ goes here)", Path.cwd(), "give every run an --out", "note")


def _folder(name: str, folder: Path, fix: str, state: Literal["note", "broken"]) -> Finding:
    try:
        held = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=held):
            free = shutil.disk_usage(held).free
    except OSError as error:
        return Finding("folders", f"{name} {folder} can't be written ({error.strerror or error})", state, fix)
    text = f"{name} {folder}: {'' if held == folder else 'not there yet, '}writable, {size(free)} free"
    return Finding("folders", text, "note", "make room") if free < LOW_DISK else Finding("folders", text)


def machine() -> Iterator[Finding]:
    """Cores, memory, accelerators."""
    from harness.cli.machine import accelerators, cores, memory

    amount = memory()
    yield Finding("machine", f"{cores():g} CPU cores, {size(amount) if amount is not None else 'unknown amount of'} memory")
    for name in accelerators() or ["no GPU found: local language models will be slow, all else is unaffected"]:
        yield Finding("machine", name)
