"""What `harness metaeval` prints, as JSON data and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from harness.annotated import Judged, Level, labels_hash
from harness.api import HumanLabels, Usage
from harness.cli.output import table
from harness.correlation import SHORT, Correlation
from harness.metaeval import Agreement
from harness.report.text import judge_text, number
from harness.statistics import LEVEL

LOW = 100
"""Below so many units an interval says little."""


def facts(
    name: str,
    labels: HumanLabels,
    dialogues: Sequence[Judged],
    used: Sequence[Judged],
    levels: Mapping[str, Level],
    found: Sequence[Agreement],
    how: Mapping[str, Any],
    judge: Mapping[str, Any] | None,
    usage: Usage,
) -> dict[str, Any]:
    """JSON data: the data set, how the intervals were made, and every agreement."""
    content: dict[str, Any] = {
        "dataset": name,
        "labels_hash": labels_hash(labels),
        "dialogues": len(dialogues),
        "used": len(used),
        "sources": len({dialogue.source for dialogue in used}),
        "systems": sorted({dialogue.system for dialogue in used}),
        "aspects": dict(levels),
        "agreement": dict(labels.agreement),
        "notes": list(labels.notes),
        "interval": {
            "level": LEVEL,
            "method": "percentile bootstrap by source dialogue; of a ranking, by source dialogue within each system",
            "resamples": how["resamples"],
            "seed": how["seed"],
        },
        "results": msgspec.to_builtins(list(found)),
    }
    if judge is not None:
        content |= {"judge": dict(judge), "usage": {"judge": msgspec.structs.asdict(usage)}}
    return content


def text(content: Mapping[str, Any], found: Sequence[Agreement]) -> str:
    """Correlations, rankings, the systems by people and by each metric, and what a reader must know."""
    parts = [_title(content), _correlations(found), _rankings(found)]
    for metric in dict.fromkeys(each.metric for each in found):
        parts.append(_systems([each for each in found if each.metric == metric]))
    if "judge" in content:
        parts.append(judge_text(content["judge"], content["usage"]["judge"]))
    parts.append("\n".join(f"note: {note}" for note in _notes(content, found)))
    return "\n\n".join(part for part in parts if part)


def _title(content: Mapping[str, Any]) -> str:
    used = "" if content["used"] == content["dialogues"] else f" (a sample of {content['used']:,})"
    systems = len(content["systems"])
    return (
        f"{content['dataset']}: {content['dialogues']:,} dialogues{used} of {systems} system{'s' * (systems != 1)}, labels "
        f"{content['labels_hash'][:12]}"
    )


def _correlations(found: Sequence[Agreement]) -> str:
    rows = [
        (each.metric, each.aspect, f"{each.unit}s", f"{each.n:,}", *(_shown(each.correlations[c]) for c in SHORT))
        for each in found
    ]
    headers = ("metric", "human score", "over", "n", *(f"{name} [95 % CI]" for name in SHORT.values()))
    return table(rows, headers, right=(3,))


def _rankings(found: Sequence[Agreement]) -> str:
    """How metrics rank the systems; nothing where there are too few."""
    rows = [
        (each.metric, each.aspect, len(each.systems), *(_shown(each.ranking[c]) for c in SHORT))
        for each in found
        if len(each.systems) > 2
    ]
    headers = ("ranking of systems by", "human score", "systems", *(f"{name} [95 % CI]" for name in SHORT.values()))
    return table(rows, headers, right=(2,)) if rows else ""


def _shown(correlation: Correlation) -> str:
    if not isinstance(correlation.value, float):
        return "unscored"
    if not isinstance(correlation.ci, tuple):
        return number(correlation.value, 3)
    return f"{number(correlation.value, 3)} [{number(correlation.ci[0], 3)}, {number(correlation.ci[1], 3)}]"


def _systems(found: Sequence[Agreement]) -> str:
    """One metric: each system's mean, and people's means, with ranks in brackets. In the order of the first human score."""
    first = found[0]
    if len(first.systems) < 2:
        return ""
    columns = [_ranked({mean.system: mean.metric for mean in first.systems}, best_is_high=first.higher_is_better)]
    columns += [_ranked({mean.system: mean.human for mean in each.systems}) for each in found]
    rows = [(mean.system, f"{mean.n:,}", *(c.get(mean.system, "-") for c in columns)) for mean in first.systems]
    headers = (f"mean per system ({first.unit}s)", "n", first.metric, *(each.aspect for each in found))
    return table(rows, headers, right=tuple(range(1, len(headers))))


def _ranked(values: Mapping[str, float], *, best_is_high: bool = True) -> dict[str, str]:
    """ "0.531 (2)": ties share the better rank."""
    signed = {system: value if best_is_high else -value for system, value in values.items()}
    return {
        system: f"{number(values[system], 3)} ({1 + sum(other > value + 1e-12 for other in signed.values())})"
        for system, value in signed.items()
    }


def _notes(content: Mapping[str, Any], found: Sequence[Agreement]) -> list[str]:
    notes = list(content["notes"])
    agreement = {aspect: alpha for aspect, alpha in content["agreement"].items() if any(e.aspect == aspect for e in found)}
    if agreement:
        told = ", ".join(f"{aspect} {alpha:.2f}" for aspect, alpha in agreement.items())
        notes.append(f"people's own agreement (Krippendorff's alpha): {told}")
    by_metric: dict[str, dict[str, list[str]]] = {}
    for each in found:
        lines = by_metric.setdefault(each.metric, {})
        for line in _remarks(each):
            lines.setdefault(line, []).append(each.aspect)
    for metric, lines in by_metric.items():
        every = [each.aspect for each in found if each.metric == metric]
        for line, aspects in lines.items():
            against = "" if aspects == every else f" against {', '.join(aspects)}"
            notes.append(f"{metric}{against}: {line}")
    return notes


def _remarks(each: Agreement) -> list[str]:
    """What must be known of one metric against one human score."""
    lines = []
    if each.unlabelled:
        lines.append(f"{each.unit}s that have other human scores but not this one: {each.unlabelled:,}")
    if each.unscored:
        why = "; ".join(f"{reason} ({count:,})" for reason, count in each.unscored.items())
        lines.append(f"{each.labelled - each.n:,} of {each.labelled:,} {each.unit}s are unscored: {why}")
    lines += _undefined("correlation", each.correlations) + _undefined("ranking", each.ranking)
    if 0 < each.n < LOW:
        lines.append(f"only {each.n} {each.unit}s: intervals are wide")
    if not each.higher_is_better:
        lines.append("less is better, so agreement with people shows as a negative correlation")
    return [*lines, *each.notes]


def _undefined(kind: str, correlations: Mapping[str, Correlation]) -> list[str]:
    reasons = {c.value.reason for c in correlations.values() if not isinstance(c.value, float)}
    worst = max(c.undefined for c in correlations.values())
    found = [f"the {kind} is unscored: {reason}" for reason in sorted(reasons)]
    if worst > 0.01:
        found.append(f"{worst:.0%} of the resamples have no {kind}, because one side is constant in them; they are left out")
    return found
