"""A board as a table of plain texts, and as markdown. Whatever a submission says is text, never markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from harness.leaderboard.boards import Row, Standing
from harness.leaderboard.scores import primary
from harness.leaderboard.types import Estimate
from harness.modelcard import text

LEGEND = (
    "Rows that share a rank do not differ significantly from the best row of that rank (paired permutation test by source "
    "dialogue on the first metric, Holm-corrected over the board). Brackets are 95 % confidence intervals (bootstrap by source "
    "dialogue). A gain is the difference to the control on the same scenarios. Faults of the recommender count as misses; "
    "invalid dialogues are the simulator's faults. A leak: the simulator named a target before it was recommended. Calls, "
    "tokens and US dollars are the recommender's, per dialogue. A system with a lower score than a floor is marked. `trained "
    "on` and `trained against` are what the system's authors and artefacts say. Self-reported: recomputed from the submitted "
    "dialogues, not played again by the maintainers."
)


class Cell(msgspec.Struct, frozen=True):
    """A text, with a link or without."""

    text: str
    link: str = ""


class Table(msgspec.Struct, frozen=True):
    """Headers, and rows of as many cells."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(standing: Standing) -> Table:
    """What a board shows."""
    columns = [_cells(standing, row) for row in standing.rows]
    headers = tuple(name for name, _ in columns[0]) if columns else ()
    return Table(headers, tuple(tuple(cell for _, cell in row) for row in columns))


def _cells(standing: Standing, row: Row) -> list[tuple[str, Cell]]:
    config, scores, results = standing.config, row.results.scores, row.results
    counts, k = results.counts, config.k
    named = row.submission.name + (" (floor)" if row.floor else "")
    cells = [("rank", str(row.rank))]
    if config.turns > 1:
        cells += [
            (f"SR (top {config.success_k} by turn {config.turns})", estimate(scores["sr"])),
            ("n", str(scores["sr"].n)),
            (f"success@1..{config.turns}", " ".join(number(value) for value in results.by_turn["success"])),
            ("AT", number(scores["at"].value, 2)),
            (f"NDCG@{k}, last turn", estimate(scores[f"ndcg@{k}"])),
            (f"NDCG@{k}, best so far", number(results.by_turn[f"ndcg@{k}, best so far"][-1])),
            ("interaction gain", estimate(scores["interaction-gain"])),
            (f"gain over {standing.board.control}", _gain(row, standing.board.control)),
        ]
    else:
        cells += [
            (f"NDCG@{k}", estimate(scores[f"ndcg@{k}"])),
            ("n", str(scores[f"ndcg@{k}"].n)),
            (f"R@{k}", estimate(scores[f"recall@{k}"])),
            (f"MRR@{k}", estimate(scores[f"mrr@{k}"])),
            ("R@1 micro", number(scores["recall@1"].micro)),
            (f"R@{k} micro", number(scores[f"recall@{k}"].micro)),
        ]
    if any(other.config.trials > 1 for other in standing.rows):
        cells.append(("pass^k", " ".join(number(each.value) for each in results.passed)))
    played = max(1, counts.played)
    spent = results.spent["recommender"]
    cells += [("invalid", percent(counts.invalid / played)), ("faults", percent(counts.recommender_faults / played))]
    cells += [("leaks", percent(counts.leaking / played))] if config.turns > 1 else []
    cells += [
        ("LLM calls", number(spent.calls / played, 1)),
        ("tokens", f"{(spent.prompt_tokens + spent.completion_tokens) / played:,.0f}"),
        ("US $", number(spent.cost / played, 4)),
        ("trained on", _names(row.trained_on, config.dataset.name, "this data")),
    ]
    if config.simulator is not None:
        cells.append(("trained against", _names(row.trained_against, config.simulator.name, "this simulator")))
    cells += [("result", "reproduced" if row.reproduced else "self-reported")]
    cells += [("mark", f"below {', '.join(row.below)}" if row.below else "")]
    plain = [(name, Cell(value)) for name, value in cells]
    return [plain[0], ("system", Cell(named, row.submission.code_url)), *plain[1:]]


def _gain(row: Row, control: str) -> str:
    found = next((gain for gain in row.results.gains if gain.control == control and gain.metric == "sr"), None)
    if found is None:
        return "not played"
    ci = "" if isinstance(found.ci, str) else f" [{number(found.ci[0])}, {number(found.ci[1])}]"
    p = found.p if isinstance(found.p, str) else "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return f"{number(found.difference)}{ci} p {p}"


def _names(names: Sequence[str], own: str, what: str) -> str:
    return ", ".join(f"{what} ({name})" if name == own else name for name in names) or "-"


def number(value: Any, digits: int = 3) -> str:
    """Rounded; the word unscored stays. No minus before a rounded zero."""
    if not isinstance(value, int | float):
        return "unscored"
    return re.sub(r"^-(0\.?0*)$", r"\1", f"{value:.{digits}f}")


def percent(share: float) -> str:
    """With one digit."""
    return f"{100 * share:.1f} %"


def estimate(found: Estimate) -> str:
    """Value and interval."""
    ci = "" if isinstance(found.ci, str) else f" [{number(found.ci[0])}, {number(found.ci[1])}]"
    return number(found.value) + ci


def facts(standing: Standing) -> list[tuple[str, str]]:
    """What a board is about: what must be told with every number of it."""
    board, config, fields = standing.board, standing.config, standing.board.fields
    noise = 100 / max(1, board.scenarios) ** 0.5
    rows = [
        (
            "data set",
            f"{config.dataset.name}, {config.split} split, variant {config.variant}, data hash {fields['data_hash'][:16]}",
        ),
        ("scenarios", f"{board.scenarios:,} of {board.rows:,} rows, from {board.sources:,} source dialogues"),
        ("protocol", f"{fields['protocol']}, preset {config.preset}: at most {config.turns} turn(s), {config.k} items"),
    ]
    if config.simulator is not None:
        made = f"{fields['simulator.distribution']} {fields['simulator.version']}"
        rows.append(("simulator", f"{config.simulator.name} ({made}), knowledge level {fields.get('simulator.knowledge')}"))
    else:
        rows.append(("simulator", "none: one list from the human context"))
    rows.append(
        ("submissions hold", "transcripts" if board.form == "transcripts" else "ranks per scenario, for the data's licence")
    )
    if board.scenarios < 250:
        rows.append(("noise", f"only {board.scenarios} scenarios: differences under about {noise:.0f} points are noise"))
    return rows


def systems(standing: Standing) -> Iterator[tuple[Row, list[tuple[str, str]]]]:
    """Each row with what else is known of it."""
    for row in sorted(standing.rows, key=lambda row: row.slug):
        fields = row.manifest.fields
        made = f"{fields['recommender.distribution']} {fields['recommender.version']}"
        options = ", ".join(f"{key}={_plain(value)}" for key, value in sorted(row.config.recommender.options.items()))
        known = [
            ("recommender", f"{row.config.recommender.name} ({made})" + (f": {options}" if options else "")),
            ("authors", ", ".join(row.submission.authors)),
            ("run", f"fingerprint {row.manifest.fingerprint[:16]}, seed {row.config.seed}, {row.config.trials} trial(s)"),
        ]
        yield row, known + ([("about", row.submission.description)] if row.submission.description else [])


def references(standing: Standing) -> Table | None:
    """What simple and optimal methods reach on these rows."""
    found = standing.board.references
    names = list(dict.fromkeys(name for ceiling in found for name in ceiling.values))
    rows = [[c.name, *(number(c.values[n]) if n in c.values else "" for n in names)] for c in found]
    return Table(("reference", *names), tuple(tuple(map(Cell, row)) for row in rows)) if rows else None


def board_page(standing: Standing) -> str:
    """README.md of a board."""
    shown = table(standing)
    parts = [
        f"# {text(standing.board.title)}",
        "Generated by `harness leaderboard build`; don't edit. [All boards](../README.md) · "
        "[How to submit](../../docs/leaderboards.md)",
        "\n".join(f"- {text(name)}: {text(value)}" for name, value in facts(standing)),
        render(shown) if shown.rows else "No submission yet.",
        LEGEND,
    ]
    if (known := references(standing)) is not None:
        parts += ["## What can be known", "What simple and optimal methods reach on these rows:", render(known)]
    if standing.rows:
        parts.append("## Systems")
        for row, said in systems(standing):
            lines = "\n".join(f"  {text(name)}: {text(value)}  " for name, value in said)
            parts.append(f"- **{text(row.submission.name)}** ([{text('files')}](submissions/{row.slug}))  \n{lines}")
    if standing.board.notes:
        parts += ["## Notes of the loader", "\n".join(f"- {text(note)}" for note in standing.board.notes)]
    return "\n\n".join(parts) + "\n"


def overview(standings: Sequence[Standing]) -> str:
    """README.md of all boards."""
    headers = ("board", "simulator", "scenarios", "systems", "first")
    rows = []
    for standing in standings:
        best = [row.submission.name for row in standing.rows if row.rank == 1]
        metric = primary(standing.config)
        first = f"{', '.join(best)} ({metric} {number(standing.rows[0].results.scores[metric].value)})" if best else ""
        simulator = standing.config.simulator.name if standing.config.simulator else "none"
        rows.append((
            Cell(standing.board.title, f"{standing.folder.name}/README.md"), Cell(simulator),
            Cell(f"{standing.board.scenarios:,}"), Cell(str(len(standing.rows))), Cell(first),
        ))  # fmt: skip
    return (
        "# Leaderboards\n\nGenerated by `harness leaderboard build`; don't edit. One board per data set, variant, protocol and "
        "simulator: scores of different boards can't be compared. Every score is recomputed from submitted dialogues. "
        "[How to submit](../docs/leaderboards.md) · [Schema](submission.schema.json) · [All boards as one page](index.html)\n\n"
        + render(Table(headers, tuple(rows)))
        + "\n"
    )


def render(shown: Table) -> str:
    """A markdown table. No padding: a longer name must not change every line."""
    lines = [f"| {' | '.join(text(header) for header in shown.headers)} |", "|" + " --- |" * len(shown.headers)]
    for row in shown.rows:
        cells = [f"[{text(cell.text)}]({cell.link})" if cell.link else text(cell.text) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
