"""Components by what a user calls them: a name of any kind, "distribution:name", or "ndcg@10"."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from harness.errors import PluginError, UsageError
from harness.options import parse_pairs
from harness.registry import KINDS, Entry, Kind, Registry, canonical


def named(registry: Registry, name: str, kind: Kind | None = None) -> list[Entry]:
    """The components of that name, at most one per kind; "ndcg@10" is the metric ndcg. Raises PluginError if there is none."""
    if kind:
        return [registry.find(kind, name.partition("@")[0] if kind == "metric" else name)]
    distribution, _, short = name.rpartition(":")
    for wanted, kinds in ((short, KINDS), (short.partition("@")[0], ("metric",))):
        entries = [e for k in kinds for e in registry.entries(k) if e.name == wanted]
        if distribution:
            entries = [e for e in entries if canonical(e.distribution) == canonical(distribution)]
        if entries:
            full = f"{distribution}:{wanted}" if distribution else wanted
            return [registry.find(k, full) for k in dict.fromkeys(e.kind for e in entries)]
    known = dict.fromkeys(label for k in KINDS for e in registry.entries(k) for label in (e.name, e.full_name))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`harness list` shows what there is"
    broken = "".join(f"\n  plugin {p.distribution} could not be loaded and may hold it: {p.error}" for p in registry.broken())
    raise PluginError(f"unknown component {name!r}; {hint}{broken}")


def chosen(
    registry: Registry, name: str, kind: Kind | None, pairs: Sequence[str], flag: str = "--opt"
) -> list[tuple[Entry, dict[str, Any]]]:
    """The components of that name, with the options that were said (by `flag`). Raises PluginError or UsageError."""
    entries = named(registry, name, kind)
    given = _given(name, entries, pairs, flag)
    return [(entry, given) for entry in entries]


def _given(name: str, entries: list[Entry], pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """The options that were said; "ndcg@10" says k=10."""
    given: dict[str, Any] = dict(parse_pairs(pairs, flag))
    if given and len(entries) > 1:
        how = "with --kind" if flag == "--opt" else f"as in '{entries[0].kind} {name}'"
        raise UsageError(f"{name!r} is a {' and a '.join(entry.kind for entry in entries)}: say which {how}")
    cut = name.partition("@")[2]
    if cut and entries[0].kind == "metric":
        if not cut.isdigit():
            raise UsageError(f"metric {name!r}: write NAME or NAME@K with a whole number K")
        if given.setdefault("k", int(cut)) != int(cut):
            raise UsageError(f"{name} and {flag} k={given['k']} contradict each other")
    return given
