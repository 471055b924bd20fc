"""Runs beside each other for a terminal: paired differences, curves over the turns, and the dialogues that differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from tabulate import tabulate

from harness.api import DialogueRecord, TurnRecord
from harness.comparison import Difference, Pair
from harness.report.text import number, p_value
from harness.report.transcripts import Background, ranks
from harness.store import read_records

LEAST_COLUMN: Final = 32
MOST_ITEMS: Final = 10
_GAP: Final = "   "


def letter(n: int) -> str:
    """A, B, C, ... of the runs, in the order in which they were named."""
    return chr(ord("A") + n) if n < 26 else f"R{n + 1}"


def comparison_text(names: Sequence[str], folders: Sequence[Path], pairs: Sequence[Pair]) -> str:
    """Who is who, and a line per pair and metric."""
    legend = "\n".join(f"{letter(n)} = {name}  ({folder})" for n, (name, folder) in enumerate(zip(names, folders, strict=True)))
    rows = []
    for pair in pairs:
        c = pair.comparison
        rows.append(
            (
                f"{c.metric}: {letter(pair.a)} - {letter(pair.b)}",
                number(c.mean_a),
                number(c.mean_b),
                number(c.difference),
                f"[{number(c.ci[0])}, {number(c.ci[1])}]" if isinstance(c.ci, tuple) else "-",
                p_value(c.p),
                p_value(pair.p_holm),
                number(c.effect_size, 2) if isinstance(c.effect_size, float) else "-",
                f"{c.wins}/{c.ties}/{c.losses}",
                c.n,
            )
        )
    head = ("pair", "first", "second", "difference", "95 % CI", "p", "p (Holm)", "d_z", "win/tie/loss", "n")
    lost = max((pair.comparison.only_a + pair.comparison.only_b for pair in pairs), default=0)
    note = (
        f"\nnote: up to {lost} scenarios were scored in only one run of a pair; they are in none of these numbers"
        if lost
        else ""
    )
    return f"{legend}\n\n{_table(rows, head)}{note}"


def curves_text(summaries: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> str:
    """The metrics' means turn by turn, a line per run; empty where the runs have one turn."""
    turns = summaries[0]["protocol"]["max_turns"]
    shown = [name for name in dict.fromkeys([*metrics, "success"]) if name in summaries[0]["metrics"]]
    rows = [
        (f"{name}: {letter(n)}", *map(number, curve))
        for name in shown
        for n, summary in enumerate(summaries)
        if (curve := summary["metrics"].get(name, {}).get("by_turn")) and len(curve) == turns
    ]
    return _table(rows, ("at turn", *map(str, range(1, turns + 1)))) if rows and turns > 1 else ""


def differences_text(
    metric: str, found: Sequence[Difference], folders: Sequence[Path], known: Background, *, width: int = 110
) -> str:
    """The scenarios that differ most in `metric`, and the dialogues of each side by side (at most as many runs as there is
    room for: the best ones and the worst one)."""
    if not found:
        return f"no scenario differs in {metric}"
    many = len(found[0].values)
    rows = [(d.scenario, *map(number, d.values), number(d.spread)) for d in found]
    head = (f"{metric} differs most in", *(letter(n) for n in range(many)), "apart by")
    parts = [_table(rows, head)]
    wanted = {d.scenario for d in found}
    records = [{r.scenario: r for r in read_records(f) if r.scenario in wanted and not r.trial} for f in folders]
    room = max(1, (width + len(_GAP)) // (LEAST_COLUMN + len(_GAP)))
    for d in found:
        shown = sorted(range(many), key=lambda n: -d.values[n])
        shown = sorted(shown if len(shown) <= room else [*shown[: room - 1], shown[-1]])
        parts.append(_beside(d, {n: records[n].get(d.scenario) for n in shown}, metric, known, width))
    return "\n\n".join(parts)


def _beside(d: Difference, records: Mapping[int, DialogueRecord | None], metric: str, known: Background, width: int) -> str:
    column = (width - len(_GAP) * (len(records) - 1)) // len(records)
    targets = next((record.targets for record in records.values() if record is not None), ())
    lines = [f"--- {d.scenario}: looked for {_plain(', '.join(map(known.title, targets)))}"]
    last = known.context(d.scenario)[-1:]
    lines += [f"    last said by the {message.role}: {_plain(message.text)}" for message in last]
    heads = [f"{letter(n)}, {metric} {number(d.values[n])}" for n in records]
    rows = [heads, ["-" * column] * len(heads)]
    columns = [list(_dialogue(record, known, column)) for record in records.values()]
    for turns in zip_longest(*columns, fillvalue=[]):  # a turn begins on the same line in all columns
        rows += [list(each) for each in zip_longest(*turns, fillvalue="")]
    lines += [_GAP.join(f"{cell:<{column}}" for cell in row).rstrip() for row in rows]
    return "\n".join(lines)


def _dialogue(record: DialogueRecord | None, known: Background, width: int) -> Iterator[list[str]]:
    """The lines of each turn, and how it ended."""
    if record is None:
        yield ["(not played)"]
        return
    for place, (turn, rank) in enumerate(zip(record.turns, ranks(record), strict=True), 1):
        yield [*_turn(place, turn, rank, known, width), ""]
    faults = [f"{fault.blame} fault: {fault.kind}: {fault.message}" for fault in record.faults]
    yield [line for text in (*faults, f"stopped: {record.stop}") for line in wrap(_plain(text), width)]


def _turn(place: int, turn: TurnRecord, rank: int, known: Background, width: int) -> list[str]:
    where = f"target at rank {rank}" if rank else "target not in the list"
    shown = [known.title(item) for item in turn.items[:MOST_ITEMS]]
    texts = [f"[{place}] {where}", f"recommender: {turn.text}"]
    if shown:
        more = f", and {len(turn.items) - MOST_ITEMS} more" if len(turn.items) > MOST_ITEMS else ""
        texts.append("list: " + "; ".join(f"{n} {title}" for n, title in enumerate(shown, 1)) + more)
    if turn.user_text is not None:
        texts.append(f"seeker ({turn.action or 'continue'}): {turn.user_text}")
    return [line for text in texts for line in wrap(_plain(text), width, subsequent_indent="  ")]


def _plain(text: str) -> str:
    """One line without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    align = ("left", *("right" for _ in headers[1:]))
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align if rows else None)
