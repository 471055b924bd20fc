"""`harness data info` as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.api import Ceiling
from harness.cli.dataset_facts import Facet, SplitFacts, Spread
from harness.cli.output import line, table
from harness.cli.show_command import card_text

ROWS: dict[str, Callable[[SplitFacts], str]] = {
    "scenarios, all": lambda f: f"{f.all_rows:,}",
    "scenarios, novel": lambda f: f"{f.novel:,}",
    "rows with a target that the context names": lambda f: f"{f.repeated:,} ({f.repeated_share:.1%})",
    "dialogues they are cut from": lambda f: f"{f.sources:,}",
    "targets per scenario": lambda f: _spread(f.targets) if f.all_rows else "-",
    "messages per context": lambda f: _spread(f.context_messages) if f.all_rows else "-",
    "training dialogues": lambda f: f"{f.training_dialogues:,}",
    "  with likes, dislikes or seen": lambda f: f"{f.training_labelled:,}",
    "  messages per dialogue": lambda f: _spread(f.training_messages),
    "items": lambda f: f"{f.items:,}",
    "data hash, all": lambda f: f.hash_all[:12],
    "data hash, novel": lambda f: f.hash_novel[:12],
}


def info_text(found: Mapping[str, Any]) -> str:
    """Card, counts per split, attributes, reference scores, notes."""
    splits: Sequence[SplitFacts] = found["splits"]
    parts = [f"{found['name']} (of {found['distribution']} {found['version']})"]
    if found["card"] is not None:
        parts.append(card_text(found["card"]))
    rows = [(label.strip(), *(show(facts) for facts in splits)) for label, show in ROWS.items()]
    parts.append(table(rows, ("count", *(facts.split for facts in splits)), right=range(1, len(splits) + 1)))
    if found["attributes"]:
        parts.append(_attributes(found["attributes"]))
    for split, given in found["ceilings"].items():
        if given:
            parts.append(_ceilings(split, given))
    notes: dict[str, list[str]] = {}
    for facts in splits:
        for note in facts.notes:
            notes.setdefault(note, []).append(facts.split)
    shown = [
        f"note{'' if len(where) == len(splits) else ' (' + ', '.join(where) + ')'}: {line(n)}" for n, where in notes.items()
    ]
    shown += [f"not loaded: {split}: {line(reason)}" for split, reason in found["failed"].items()]
    if shown:
        parts.append("\n".join(shown))
    return "\n\n".join(parts)


def _attributes(facets: Sequence[Facet]) -> str:
    rows = [(f.facet, f"{f.items:,}", f"{f.share:.1%}", f"{f.values:,}") for f in facets]
    return table(rows, ("attribute", "items with it", "share", "different values"), right=(1, 2, 3))


def _ceilings(split: str, given: Sequence[Ceiling]) -> str:
    names = list(dict.fromkeys(name for ceiling in given for name in ceiling.values))
    rows = [(c.name, *(f"{c.values[n]:.4f}" if n in c.values else "" for n in names)) for c in given]
    text = table(rows, (f"reference scores, {split}", *names), right=range(1, len(names) + 1))
    return text + "".join(f"\n{line(c.name)}: {line(c.note)}" for c in given if c.note)


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.1f} ({spread.least} to {spread.most})"
