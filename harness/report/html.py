"""A report of scored runs as one page that needs no network: figures, tables and every dialogue.

Nothing that a model, a user or a data set wrote is ever markup: tables are escaped, dialogues are compressed data that the
page's script writes as text, and the page's content policy runs no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from harness import __version__
from harness.comparison import Pair, every_pair, need_comparable
from harness.errors import UsageError
from harness.registry import Registry
from harness.report.elements import Html, group, tag
from harness.report.sections import comparison, details, faults_and_costs, figures, headline
from harness.report.text import title
from harness.report.transcripts import CHUNK, Background, PlayedRun, background, labels, order, pack
from harness.store import read_summary
from harness.wholefiles import write_atomically

MOST_RUNS: Final = 12


def report_page(registry: Registry, folders: Sequence[Path], *, most: int | None = None) -> str:
    """The page of one run, or of several on the same scenarios. `most` keeps only so many dialogues in it.

    Raises UsageError for runs that can't stand beside each other, StoreError where a folder holds no scored run.
    """
    if len(folders) > MOST_RUNS:
        raise UsageError(f"{len(folders)} runs in one page can't be read; name {MOST_RUNS} at most")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("one run is named twice")
    summaries = [read_summary(folder) for folder in folders]
    need_comparable([str(folder) for folder in folders], summaries, any_simulator=True)
    runs = [PlayedRun.read(f, label) for f, label in zip(folders, labels(summaries, folders), strict=True)]
    return page(runs, background(registry, folders[0]), most=most)


def write_report(registry: Registry, folders: Sequence[Path], path: Path, *, most: int | None = None) -> int:
    """Write the page to a file; its size in bytes. Raises also StoreError when the file can't be written."""
    content = report_page(registry, folders, most=most).encode("utf-8")
    write_atomically(path, content)
    return len(content)


def page(runs: Sequence[PlayedRun], known: Background, *, most: int | None = None) -> str:
    """The whole page."""
    metric = next(line["name"] for line in runs[0].summary["headline"])
    index, chunks = pack(runs, known, metric, order(runs)[:most])
    style, script = (_file(name) for name in ("report.css", "report.js"))
    pairs = _pairs(runs)
    body = group(
        [
            tag("a", "Skip to the dialogues", href="#dialogues", class_="skip"),
            _header(runs, known),
            tag(
                "main",
                headline(runs),
                figures(runs),
                comparison(runs, pairs) if pairs else "",
                faults_and_costs(runs),
                details(runs),
                _explorer(runs, metric, most),
            ),
            _footer(runs),
        ]
    )
    meta = {
        "runs": [run.label for run in runs],
        "simulators": [run.summary["run"]["simulator"] for run in runs],
        "chunk": CHUNK,
        "metric": metric,
        "higher": runs[0].summary["metrics"][metric]["higher_is_better"],
    }
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    )
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="color-scheme" content="light dark">\n',
        f"<title>{html.escape(', '.join(run.label for run in runs))}: report</title>\n",
        f"<style>\n{style}</style>\n</head>\n<body>\n",
        body,
        f'\n<script type="application/json" id="meta">{_json(meta)}</script>\n',
        f'<script type="text/plain" id="index">{index}</script>\n',
        *(f'<script type="text/plain" id="chunk-{n}">{chunk}</script>\n' for n, chunk in enumerate(chunks)),
        f"<script>{script}</script>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def _json(content: Any) -> str:
    """JSON that can stand in a script element: no "<" can end it."""
    return msgspec.json.encode(content).decode().replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _file(name: str) -> str:
    return (resources.files(__package__) / "page" / name).read_text(encoding="utf-8")


def _pairs(runs: Sequence[PlayedRun]) -> list[Pair]:
    if len(runs) < 2 or not all(run.summary["counts"]["valid"] for run in runs):
        return []
    lines: Sequence[Mapping[str, Any]] = runs[0].summary["headline"]
    common = {
        line["name"]: line["higher_is_better"]
        for line in lines
        if all(line["name"] in run.summary["metrics"] for run in runs)
        and runs[0].summary["metrics"][line["name"]]["level"] != "run"
    }
    return every_pair([list(run.rows.values()) for run in runs], common)


# ---------------------------------------------------------------------------------------------------------------- elements


def _header(runs: Sequence[PlayedRun], known: Background) -> Html:
    first = runs[0].summary["run"]
    simulators = {run.summary["run"]["simulator"] for run in runs}
    notes = [f"{run.label}: {line}" if len(runs) > 1 else line for run in runs for line in run.summary["warnings"]]
    if len(simulators) > 1:
        notes.append("these runs have different simulators: their scores are no ranking of recommenders")
    if known.missing:
        notes.append(f"items stand as ids, and contexts are missing: {known.missing}")
    facts = [
        ("data", f"{first['dataset']}, {first['split']} split, {first['variant']} variant"),
        ("scenarios", f"{first['scenarios']:,} of {first['rows']:,} rows, data {first['data_hash'][:12]}"),
        ("simulator", ", ".join(f"{name}" for name in sorted(simulators)) + f" ({_knowledge(runs)})"),
        ("protocol", f"version {first['protocol']}, preset {first['preset']}, {_protocol(runs[0])}"),
        ("seed", f"{first['seed']}" + (f", {first['trials']} trials" if first["trials"] > 1 else "")),
    ]
    return tag(
        "header",
        tag("h1", " / ".join(run.label for run in runs)),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts"),
        tag("ul", *(tag("li", note) for note in notes), class_="notes") if notes else "",
    )


def _knowledge(runs: Sequence[PlayedRun]) -> str:
    return ", ".join(sorted({str(run.summary["run"]["knowledge"]).replace("_", "-") for run in runs}))


def _protocol(run: PlayedRun) -> str:
    protocol = run.summary["protocol"]
    return f"{protocol['max_turns']} turns of {protocol['k']} items"


def _explorer(runs: Sequence[PlayedRun], metric: str, most: int | None) -> Html:
    """The dialogues' frame; the script fills it."""
    cut = f" The page holds the first {most:,} alone." if most is not None else ""
    sorts = [
        ("order", "by scenario"),
        ("score", f"{metric}, lowest first"),
        *([("differ", "that differ most")] if len(runs) > 1 else []),
        ("long", "longest"),
    ]
    found = [
        ("", "any outcome"), ("found", "target shown"), ("missed", "target never shown"), ("f", "with a fault"),
        ("l", "with a leak"), ("i", "with an injection"),
    ]  # fmt: skip
    label = "Search what was said" if len(runs) == 1 else "Search what was said in any run"
    return tag(
        "section",
        tag("h2", "Dialogues"),
        tag("p", f"Open one to read it: ranked lists, the target's rank in each turn, reasoning.{cut}", class_="hint"),
        tag(
            "div",
            tag(
                "label",
                tag("span", label),
                Html('<input type="search" id="query" autocomplete="off" spellcheck="false" aria-keyshortcuts="/">'),
                class_="wide",
            ),
            tag("label", tag("span", "Stop reason"), tag("select", tag("option", "any", value=""), id="stop")),
            tag("label", tag("span", "Outcome"), tag("select", *_options(found), id="outcome")),
            tag("label", tag("span", "Order"), tag("select", *_options(sorts), id="sort")),
            tag("label", Html('<input type="checkbox" id="lists">'), tag("span", "search ranked lists too"), class_="check"),
            class_="tools",
            role="search",
        ),
        tag("p", "reading…", id="status", role="status"),
        tag("div", id="list"),
        tag(
            "nav",
            tag("button", "‹ Previous", type="button", id="previous"),
            tag("span", "", id="place"),
            tag("button", "Next ›", type="button", id="next"),
            class_="pager",
            aria_label="Pages of dialogues",
        ),
        tag("noscript", tag("p", "The dialogues need JavaScript; all else stands above.")),
        id="dialogues",
        tabindex="-1",
    )


def _options(options: Sequence[tuple[str, str]]) -> list[Html]:
    return [tag("option", text, value=value) for value, text in options]


def _footer(runs: Sequence[PlayedRun]) -> Html:
    protocol = runs[0].summary["protocol"]["interval"]
    how = (
        f"Intervals: {protocol['level']:.0%}, {protocol['method']}, {protocol['resamples']:,} resamples; those of curves over "
        "turns 2,000. Unscored values are in no mean."
    )
    return tag(
        "footer",
        tag("p", how),
        *(tag("p", f"{title(run.summary['run'])}; run {run.summary['run']['fingerprint'][:16]}") for run in runs),
        tag("p", f"Made by harness {__version__}"),
    )
