"""A run's summary as text tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from harness.comparison import Comparison

FAMILIES = ("ranking", "interaction", "recommender", "simulator", "judge", "cost")
SMALL_SAMPLE = 250


def number(value: Any, digits: int = 4) -> str:
    """A score as people read it; the word "unscored" stays."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value) if isinstance(value, str) else "unscored"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}" if abs(value) < 10 else f"{value:.2f}"


def interval(block: dict[str, Any]) -> str:
    """ "[low, high]" or why there is none."""
    ci = block.get("ci")
    return f"[{number(ci[0])}, {number(ci[1])}]" if isinstance(ci, (list, tuple)) else "-"


def title(run: dict[str, Any]) -> str:
    """Who played on what: the line that stands above every table."""
    rows = (
        f"{run['scenarios']:,} scenarios of {run['rows']:,} rows"
        if run["scenarios"] != run["rows"]
        else f"{run['rows']:,} rows"
    )
    if run.get("kind") == "rankings":
        whose = "targets of the file" if run["split"] == "file" else f"{run['split']}, {run['variant']}"
        place = "ids only" if run["dataset"] == "none" else run["dataset"]
        return (
            f"{run['recommender']}: {run['scenarios']:,} ranked lists on {place} ({whose}), data {run['data_hash'][:12]}, "
            f"protocol {run['protocol']}"
        )
    if run.get("kind") == "imported":
        with_catalogue = "no catalogue" if run["dataset"] == "none" else f"catalogue of {run['dataset']}"
        return (
            f"imported: {run['recommender']} x {run['simulator']}, {run['scenarios']:,} cases, {with_catalogue}, "
            f"data {run['data_hash'][:12]}; protocol, knowledge, preset and seed unknown"
        )
    return (
        f"{run['recommender']} x {run['simulator']} on {run['dataset']} ({run['split']}, {run['variant']}): {rows}, "
        f"data {run['data_hash'][:12]}, preset {run['preset']}, protocol {run['protocol']}, seed {run['seed']}"
        + (f", {run['trials']} trials" if run["trials"] > 1 else "")
    )


def summary_text(summary: dict[str, Any], *, full: bool = False, gains: Sequence[tuple[str, Comparison]] = ()) -> str:
    """The whole report of one run. `full` adds every metric; `gains` are comparisons against control runs by name."""
    parts = [title(summary["run"]), _headline(summary)]
    parts += [_curves(summary), _cutoffs(summary)]
    if gains:
        parts.append(gains_text(gains))
    if summary.get("ceilings"):
        parts.append(_ceilings(summary["ceilings"]))
    if full:
        parts += [_family(summary, family) for family in FAMILIES]
    else:
        parts += [_simulator_line(summary), _family(summary, "judge")]
    parts.append(_judge(summary))
    parts += [_counts(summary), _warnings(summary)]
    return "\n\n".join(part for part in parts if part)


def _headline(summary: dict[str, Any]) -> str:
    rows = [
        (line["name"], number(line["value"]), interval(line), line["average"], line.get("labels", line["n"]), line["clusters"])
        for line in summary["headline"]
    ]
    passed = summary["pass^k"]
    if passed["trials"] > 1:
        rows += [(f"pass^{p['k']}", number(p["value"]), interval(p), "macro", p["n"], p["clusters"]) for p in passed["values"]]
    return _table(rows, ("metric", "value", "95 % CI", "mean over", "n", "dialogues"))


def _curves(summary: dict[str, Any]) -> str:
    turns, k = summary["protocol"]["max_turns"], summary["protocol"]["k"]
    if turns < 2:
        return ""
    rows: list[tuple[str, ...]] = []
    for name in (f"ndcg@{k}", f"hr@{k}", f"recall@{k}", f"mrr@{k}"):
        block = summary["metrics"].get(name)
        if block and block["by_turn"]:
            rows.append((name, *map(number, block["by_turn"])))
            if block["cumulative_by_turn"] and name == f"ndcg@{k}":
                rows.append((f"{name}, best so far", *map(number, block["cumulative_by_turn"])))
    for name, block in summary["metrics"].items():
        if name.startswith("candidate-recall@") and block["by_turn"]:
            rows.append((name, *map(number, block["by_turn"])))
    success = summary["metrics"].get("success")
    if success and success["by_turn"]:
        rows.append((f"success@t (top {summary['protocol']['success_k']})", *map(number, success["by_turn"])))
    return _table(rows, ("at turn", *map(str, range(1, turns + 1)))) if rows else ""


def _cutoffs(summary: dict[str, Any]) -> str:
    """Macro over scenarios and micro over labels for every cut-off."""
    ranking = [n.partition("@") for n, b in summary["metrics"].items() if b["family"] == "ranking"]
    cuts = sorted({int(cut) for _, _, cut in ranking if cut.isdigit()})
    rows = []
    for name in dict.fromkeys(name for name, _, cut in ranking if cut.isdigit()):
        blocks = [summary["metrics"].get(f"{name}@{cut}") for cut in cuts]
        rows.append((f"{name}, macro", *(number(b["value"]) if b else "" for b in blocks)))
        rows.append((f"{name}, micro", *(number(b["micro"]["value"]) if b and "micro" in b else "" for b in blocks)))
    read = "at the turn of success" if summary["protocol"]["read_at"] == "success" else "at the last turn"
    return _table(rows, (read, *(f"@{cut}" for cut in cuts))) if rows else ""


def gains_text(gains: Iterable[tuple[str, Comparison]]) -> str:
    """Feedback gain: the score minus that of a control which tells the recommender less."""
    rows = [
        (
            f"{gain.metric} - {name}",
            number(gain.difference),
            f"[{number(gain.ci[0])}, {number(gain.ci[1])}]" if isinstance(gain.ci, tuple) else "-",
            p_value(gain.p),
            f"{gain.wins}/{gain.ties}/{gain.losses}",
            gain.n,
        )
        for name, gain in gains
    ]
    return _table(rows, ("feedback gain", "value", "95 % CI", "p", "win/tie/loss", "n"))


def p_value(p: Any) -> str:
    """ "0.012", "<0.001" or "-"."""
    if not isinstance(p, float):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _ceilings(ceilings: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for c in ceilings for name in c["values"]))
    rows = [(c["name"], *(number(c["values"][n]) if n in c["values"] else "" for n in names)) for c in ceilings]
    notes = "".join(f"\n  {c['name']}: {c['note']}" for c in ceilings if c.get("note"))
    return _table(rows, ("reference of this data", *names)) + notes


def _family(summary: dict[str, Any], family: str) -> str:
    rows = []
    for name, block in summary["metrics"].items():
        if block["family"] != family:
            continue
        why = "; ".join(f"{reason} ({count})" if count else reason for reason, count in block["unscored"].items())
        rows.append((name, number(block["value"]), interval(block), block["n"], why))
    return _table(rows, (family, "value", "95 % CI", "n", "unscored")) if rows else ""


def _judge(summary: dict[str, Any]) -> str:
    """Who judged, by which prompts, at what cost."""
    judge = summary.get("judge")
    return judge_text(judge, summary["usage"].get("judge", {})) if judge else ""


def judge_text(judge: dict[str, Any], usage: dict[str, Any]) -> str:
    """ "judged by openai:gpt-4o-mini with quality.v1 (1a2b3c4d): 467 calls, ..."."""
    prompts = dict.fromkeys(
        f"{told['prompt']} ({told.get('prompt_sha256', '')[:8]})" for told in judge["metrics"].values() if "prompt" in told
    )
    spent = [f"{usage.get(name, 0):,} {name.replace('_', ' ')}" for name in ("calls", "cache_hits")]
    spent.append(f"{usage.get('prompt_tokens', 0) + usage.get('completion_tokens', 0):,} tokens")
    if usage.get("cost"):
        spent.append(f"${usage['cost']:.4f}")
    with_prompts = f" with {', '.join(prompts)}" if prompts else ""
    return f"judged by {judge['model']}{with_prompts}: {', '.join(spent)}"


def _simulator_line(summary: dict[str, Any]) -> str:
    names = ("attribute-f1", "accept-precision", "accept-recall", "leak-rate", "repetition", "coverage", "ooc", "validity")
    shown = [f"{name} {number(summary['metrics'][name]['value'])}" for name in names if name in summary["metrics"]]
    return "also: " + ", ".join(shown) if shown else ""


def _counts(summary: dict[str, Any]) -> str:
    counts = summary["counts"]
    stops = ", ".join(f"{count} {reason}" for reason, count in counts["stops"].items())
    noun = "lists" if summary["run"].get("kind") == "rankings" else "dialogues"
    line = f"{counts['played']:,} {noun} from {counts['sources']:,} source dialogues: {stops}"
    extra = [
        f"{counts[name]:,} {name.replace('_', ' ')}"
        for name in ("leaks", "injections", "seeker_injections", "simulator_faults")
        if counts.get(name)
    ]
    return line + (f"; {', '.join(extra)}" if extra else "")


def _warnings(summary: dict[str, Any]) -> str:
    lines = list(summary["warnings"])
    n = summary["counts"]["valid"]
    if 0 < n < SMALL_SAMPLE:
        lines.append(f"only {n} scored dialogues: differences under about {100 / n**0.5:.0f} points are noise")
    if summary["run"]["split"] == "train":
        lines.append("played on the training split: the recommender has seen these dialogues")
    return "\n".join(f"note: {line}" for line in lines)


def _table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    align = ("left", *("right" for _ in headers[1:]))
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align if rows else None)


def overview_text(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """One line per run: who played on what, and the headline metrics that all of them have."""
    common = [
        line["name"]
        for line in runs[0][1]["headline"]
        if all(line["name"] in {x["name"] for x in s["headline"]} for _, s in runs)
    ]
    rows = []
    for folder, summary in runs:
        run = summary["run"]
        lines = {line["name"]: line for line in summary["headline"]}
        rows.append(
            (
                f"{run['recommender']} x {run['simulator']}",
                f"{run['dataset']}/{run['variant']} {run['data_hash'][:8]}",
                *(f"{number(lines[name]['value'])} {interval(lines[name])}" for name in common),
                summary["counts"]["valid"],
                folder,
            )
        )
    return _table(rows, ("run", "data", *common, "n", "folder"))
