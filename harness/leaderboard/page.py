"""All boards as one static HTML page: no script, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from harness.leaderboard.boards import Standing
from harness.leaderboard.markdown import LEGEND, Table, facts, references, systems, table

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 90rem; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 3rem; }
nav ul { columns: 20rem; padding-left: 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; white-space: nowrap; }
th { background: var(--soft); } tbody tr:hover { background: var(--soft); }
td:nth-child(2), th:nth-child(2) { position: sticky; left: 0; background: Canvas; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin-left: 1rem; } .small { font-size: .85rem; }
""".strip()


def page(standings: Sequence[Standing]) -> str:
    """index.html."""
    links = "\n".join(f'<li><a href="#{escape(s.folder.name)}">{escape(s.board.title)}</a></li>' for s in standings)
    sections = "\n".join(_section(standing) for standing in standings)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Leaderboards of crs-harness</title>
<style>
{STYLE}
</style>
</head>
<body>
<h1>Leaderboards of crs-harness</h1>
<p>One board per data set, variant, protocol and simulator: scores of different boards can't be compared.</p>
<nav aria-label="Boards">
<ul>
{links}
</ul>
</nav>
<p class="small">{escape(LEGEND).replace("`", "")}</p>
<main>
{sections}
</main>
</body>
</html>
"""


def _section(standing: Standing) -> str:
    shown, known = table(standing), references(standing)
    parts = [
        f'<section id="{escape(standing.folder.name)}">\n<h2>{escape(standing.board.title)}</h2>',
        _list(facts(standing)),
        _table(shown, "Systems, best first") if shown.rows else "<p>No submission yet.</p>",
    ]
    if known is not None:
        parts.append(_table(known, "What can be known of these rows"))
    if standing.rows:
        about = "\n".join(
            f"<dt>{escape(row.submission.name)}</dt>\n"
            + "\n".join(f"<dd>{escape(name)}: {escape(value)}</dd>" for name, value in said)
            for row, said in systems(standing)
        )
        parts.append(f'<details class="small"><summary>About the systems</summary>\n<dl>\n{about}\n</dl>\n</details>')
    if standing.board.notes:
        notes = "\n".join(f"<li>{escape(note)}</li>" for note in standing.board.notes)
        parts.append(f'<details class="small"><summary>Notes of the loader</summary>\n<ul>\n{notes}\n</ul>\n</details>')
    return "\n".join([*parts, "</section>"])


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    lines = "\n".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in pairs)
    return f'<ul class="small">\n{lines}\n</ul>'


def _table(shown: Table, caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in shown.headers)
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td><a href="{escape(cell.link)}" rel="nofollow noopener">{escape(cell.text)}</a></td>'
            if cell.link
            else f"<td>{escape(cell.text)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in shown.rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">\n<table>\n<caption class="small">'
        f"{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )
