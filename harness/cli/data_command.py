"""`harness data`: get, inspect, validate and convert data sets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from textwrap import shorten
from typing import Any

import click

from harness.api import DatasetCard, RemoteFile, Split
from harness.assembly import Part, load_split, resolve
from harness.cli.arguments import SPLITS, dataset_choice, dataset_opt, json_option, split_option
from harness.cli.output import print_json, size, table
from harness.cli.show_command import card_of, card_text
from harness.config import Choice
from harness.errors import DataError, HarnessError, PluginError, UsageError
from harness.paths import user_cache
from harness.registry import Registry
from harness.scenarios import novel

FORMAT = "jsonl"
"""The data set whose files `validate` reads and `convert` writes."""


@click.group(
    "data",
    epilog="""\b
Examples:
  harness data list
  harness data get redial
  harness data info redial --split test
  harness data validate my_dialogues.jsonl
  harness data convert inspired inspired.jsonl
""",
)
def command() -> None:
    """Get, inspect, validate and convert data sets."""


# -------------------------------------------------------------------------------------------------------------------- list


@command.command("list")
@json_option()
def list_data(as_json: bool) -> None:
    """List data sets with their licences, and whether `harness data get` can download them."""
    registry = Registry()
    rows: list[dict[str, Any]] = []
    for entry in registry.entries("dataset"):
        row: dict[str, Any] = {"name": entry.name, "summary": entry.component.summary, "licence": ""}
        row |= {"how_to_get": "", "download": False, "error": None}
        try:
            card = card_of(registry, entry)
        except PluginError as error:
            row["error"] = str(error)
        else:
            if card is not None:
                row |= {"licence": card.licence, "how_to_get": card.how_to_get, "download": bool(card.files)}
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    shown = [
        (r["name"], shorten(r["licence"], 40, placeholder=" ..."), "yes" if r["download"] else "no", r["error"] or r["summary"])
        for r in rows
    ]
    click.echo(table(shown, ("data set", "licence", "data get", "summary")))
    click.echo("\n`harness show NAME` says how to get one, `harness data info NAME` counts what is in it.")


# -------------------------------------------------------------------------------------------------------------------- info


@command.command(
    "info",
    epilog="""\b
Examples:
  harness data info cinema
  harness data info redial --split test --dataset-opt path=/data/redial
  harness data info redial-ievalm --json
""",
)
@click.argument("name")
@dataset_opt()
@split_option("all that there are")
@json_option()
def info(name: str, dataset_opt: tuple[str, ...], split: str | None, as_json: bool) -> None:
    """Load a data set and count what is in it.

    Scenarios before (all) and after (novel) targets are removed that the context names, dialogues, items, attributes, and the
    hash that every score is printed with: for all splits that can be loaded, or the one of --split. Where the data set offers
    reference scores, those of the novel scenarios of the last of these splits.
    """
    from harness.cli.dataset_facts import facets, split_facts
    from harness.results import ceilings

    registry = Registry()
    choice, core = dataset_choice(name, dataset_opt, split=split)
    part = resolve(registry, "dataset", choice)
    dataset = part.create()
    wanted = (core["split"],) if "split" in core else SPLITS
    loaded, failed = _load(part, dataset, wanted)
    last = loaded[-1]
    found: dict[str, Any] = {
        "name": part.entry.name,
        "distribution": part.entry.distribution,
        "version": part.entry.version,
        "card": _card(dataset),
        "splits": [split_facts(each) for each in loaded],
        "failed": failed,
        "attributes": facets(last.catalogue),
        "ceilings": {last.name: ceilings(dataset, name, last, novel(last.scenarios))},
    }
    if as_json:
        print_json(found)
    else:
        from harness.cli.dataset_text import info_text

        click.echo(info_text(found))


def _card(dataset: Any) -> DatasetCard | None:
    """The card of a made data set, which may tell more than its class: what its files say of themselves."""
    card = getattr(dataset, "card", None)
    return card if isinstance(card, DatasetCard) else None


def _load(part: Part, dataset: Any, names: Iterable[str]) -> tuple[list[Split], dict[str, str]]:
    """The splits that can be loaded, and why the others can't. Raises the first error when none can."""
    loaded: list[Split] = []
    failed: dict[str, str] = {}
    first: HarnessError | None = None
    for name in names:
        try:
            loaded.append(load_split(part, dataset, name))
        except DataError as error:
            failed[name] = str(error)
            first = first or error
    if not loaded and first is not None:
        raise first
    return loaded, failed


# --------------------------------------------------------------------------------------------------------------------- get


@command.command(
    "get",
    epilog="""\b
Examples:
  harness data get redial       run it again to go on after an interruption
""",
)
@click.argument("name")
def get(name: str) -> None:
    """Download a data set's files from their official address.

    Shows the licence and the citation first. The files go to the cache ($XDG_CACHE_HOME/harness/data/NAME), where the data set
    finds them. Where the files may not be downloaded by a program, says what to do by hand and ends with 2.
    """
    registry = Registry()
    entry = registry.find("dataset", name)
    card = card_of(registry, entry)
    if card is None:
        raise PluginError(f"data set {name!r} of {entry.distribution} has no card: it doesn't say how to get it")
    click.echo(card_text(card))
    if not card.files:
        how = card.how_to_get or "it doesn't say how to get it"
        raise DataError(f"nothing of {card.name} can be downloaded by the harness. {how}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", card.name):
        raise PluginError(f"data set {name!r} of {entry.distribution}: its card's name {card.name!r} can't be a folder's name")
    folder = user_cache() / "data" / card.name
    click.echo("")
    for file in card.files:
        _fetch(file, folder)
    click.echo(f"\n{card.name} is in {folder}. Look at it: harness data info {entry.name}")


def _fetch(file: RemoteFile, folder: Path) -> None:
    from tqdm import tqdm

    from harness.download import download

    begun: list[bool] = []
    with tqdm(total=file.bytes, desc=file.name, unit="B", unit_scale=True, disable=not sys.stderr.isatty(), leave=False) as bar:

        def progress(here: int, whole: int | None) -> None:
            bar.total = whole
            if not begun:
                bar.initial = here  # what an earlier call left behind is no progress of this one
                begun.append(True)
            bar.n = here
            bar.update(0)

        path = download(file, folder, progress=progress)
    checked = "" if file.sha256 else ", not checked: no SHA-256 is published"
    click.echo(f"{path} ({size(path.stat().st_size)}{checked})")


# ----------------------------------------------------------------------------------------------------- validate and convert


@command.command(
    "validate",
    epilog="""\b
Examples:
  harness data validate my_dialogues.jsonl
""",
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option()
def validate(file: Path, as_json: bool) -> int:
    """Check a file of the harness's own data format, and list everything that is wrong with it (file, line, field).

    Ends with 2 if there is a problem.
    """
    part, dataset = _format(Registry(), "validate")
    try:
        problems = list(dataset.validate(file))
    except HarnessError:
        raise
    except Exception as error:
        raise PluginError(f"data set {FORMAT!r} of {part.entry.distribution} failed in validate(): {error}") from error
    if as_json:
        print_json({"file": str(file), "problems": problems})
    elif problems:
        click.echo("\n".join(problems))
        click.echo(f"\n{len(problems)} problem{'s' if len(problems) > 1 else ''} in {file}", err=True)
    else:
        click.echo(f"{file} is valid. To use it: harness data info {FORMAT} --dataset-opt path={quote(str(file))}")
    return 2 if problems else 0


@command.command(
    "convert",
    epilog="""\b
Examples:
  harness data convert inspired inspired.jsonl
  harness data convert redial redial_test.jsonl --split test --dataset-opt path=/data/redial
""",
)
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path))
@dataset_opt()
@click.option("--split", "splits", type=click.Choice(SPLITS), multiple=True, help="Splits to write.  [default: all three]")
def convert(name: str, out: Path, dataset_opt: tuple[str, ...], splits: tuple[str, ...]) -> None:
    """Write a data set in the harness's own format, so that it can be read, edited and shared as its licence allows.

    OUT is a new .jsonl or .jsonl.gz file, or a new folder. All rows are written (variant "all"); the harness makes the novel
    variant when it reads them.
    """
    registry = Registry()
    choice, core = dataset_choice(name, dataset_opt)
    if core.get("variant", "all") != "all":
        raise UsageError("convert writes all rows: the novel variant is made when they are read, with --variant novel")
    if "split" in core:
        splits = (*splits, core["split"])
    if out.exists():
        raise UsageError(f"{out} is there already; remove it or choose another name")
    writer, written = _format(registry, "write")
    part = resolve(registry, "dataset", choice)
    dataset = part.create()
    card = _card(dataset)
    loaded, failed = _load(part, dataset, tuple(dict.fromkeys(splits)) or SPLITS)
    if failed:
        reasons = "\n  ".join(f"{split}: {reason}" for split, reason in failed.items())
        there = " ".join(f"--split {split.name}" for split in loaded)
        raise DataError(f"{name} can't be loaded whole; to write the rest, say {there}\n  {reasons}")
    try:
        written.write({split.name: split for split in loaded}, out, card=card)
    except HarnessError:
        raise
    except OSError as error:
        raise DataError(f"can't write {out}: {error.strerror or error}") from error
    except Exception as error:
        raise PluginError(f"data set {FORMAT!r} of {writer.entry.distribution} failed in write(): {error}") from error
    rows = ", ".join(f"{len(split.scenarios):,} {split.name}" for split in loaded)
    click.echo(f"{out}: {rows} scenarios, {len(loaded[0].training):,} training dialogues, {len(loaded[0].catalogue):,} items")
    click.echo(f"To use it: harness data info {FORMAT} --dataset-opt path={quote(str(out))}")
    if card is not None:
        click.echo(f"Its licence still applies: {card.licence}")


def _format(registry: Registry, method: str) -> tuple[Part, Any]:
    """The data set of the harness's own format. Raises PluginError when nothing installed has that method."""
    part = resolve(registry, "dataset", Choice(FORMAT))
    dataset = part.create()
    if not callable(getattr(dataset, method, None)):
        raise PluginError(f"data set {FORMAT!r} of {part.entry.distribution} can't {method}")
    return part, dataset
