"""The parts of an HTML report above the dialogues: tables and figures of one or several runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from harness.comparison import Pair
from harness.report.elements import Html, group, table, tag
from harness.report.plots import Curve, Estimate, bars, curves, forest
from harness.report.text import FAMILIES, interval, number, p_value
from harness.report.transcripts import PlayedRun, ranks
from harness.statistics import clustered_bootstrap

CURVE_RESAMPLES: Final = 2000
MOST_FAULTS: Final = 8


def headline(runs: Sequence[PlayedRun]) -> Html:
    """Every headline metric with its interval, a column per run."""
    names = list(dict.fromkeys(line["name"] for run in runs for line in run.summary["headline"]))
    held = [{line["name"]: line for line in run.summary["headline"]} for run in runs]
    rows: list[list[object]] = [[name, *(_estimate(lines.get(name)) for lines in held)] for name in names]
    trials = max(len(run.summary["pass^k"]["values"]) for run in runs)
    if any(run.summary["pass^k"]["trials"] > 1 for run in runs):
        passed = [{v["k"]: v for v in run.summary["pass^k"]["values"]} for run in runs]
        rows += [[f"pass^{k}", *(_estimate(values.get(k)) for values in passed)] for k in range(1, trials + 1)]
    rows.append(["dialogues scored", *(f"{run.summary['counts']['valid']:,}" for run in runs)])
    rows.append(["source dialogues", *(f"{run.summary['counts']['sources']:,}" for run in runs)])
    found = [{f"{gain['metric']} over {gain['control']}": gain for gain in run.summary.get("gains", ())} for run in runs]
    gains = [[name, *(_gain(own.get(name)) for own in found)] for name in dict.fromkeys(name for own in found for name in own)]
    heads = [run.label for run in runs] if len(runs) > 1 else ["value, 95 % interval"]
    parts: list[object] = [tag("h2", "Headline"), table("Headline metrics", ["metric", *heads], rows)]
    if gains:
        parts.append(table("Feedback gain over a control that tells less", ["gain", *heads], gains))
    return tag("section", *parts)


def _estimate(block: dict[str, Any] | None) -> Html:
    if block is None:
        return Html("–")
    return group([tag("b", number(block["value"])), " ", tag("span", interval(block), class_="ci")])


def _gain(gain: dict[str, Any] | None) -> Html:
    if gain is None:
        return Html("–")
    value = gain["difference"]
    return _estimate({"value": value, "ci": gain["ci"]}) if isinstance(value, float) else Html("unscored")


# ----------------------------------------------------------------------------------------------------------------- figures


def figures(runs: Sequence[PlayedRun]) -> Html:
    """Curves over the turns and where the target stood."""
    summary = runs[0].summary
    k, turns = summary["protocol"]["k"], summary["protocol"]["max_turns"]
    drawn: list[Html] = []
    if turns > 1:
        for n, (name, told, best) in enumerate(
            (
                (f"ndcg@{k}", f"NDCG@{k} of the turn's list", False),
                (f"ndcg@{k}", f"NDCG@{k}, best list so far", True),
                ("success", f"Success by turn (target in the top {summary['protocol']['success_k']})", False),
            )
        ):
            series = [_curve(run, name, turns, best=best) for run in runs if name in run.summary["metrics"]]
            if series and any(np.isfinite(curve.values).any() for curve in series):
                drawn.append(Html(curves(f"turns{n}", told, series)))
    places, edges = _places(k)
    for n, (told, pick) in enumerate((("Rank in the last list", _last), ("Best rank in any turn", _best))):
        if n and turns < 2:
            break
        shares = [(run.label, _shares(run, edges, pick)) for run in runs]
        drawn.append(Html(bars(f"ranks{n}", told, places, shares)))
    if turns > 1:
        shown = [f"ndcg@{k}", f"hr@{k}", f"recall@{k}", f"mrr@{k}", "success"]
        numbers = table(
            "Means over scenarios by turn",
            ["metric", *(["run"] if len(runs) > 1 else []), *(f"turn {turn}" for turn in range(1, turns + 1))],
            [
                [name, *([run.label] if len(runs) > 1 else []), *map(number, run.summary["metrics"][name]["by_turn"])]
                for name in shown
                for run in runs
                if run.summary["metrics"].get(name, {}).get("by_turn")
            ],
            texts=2 if len(runs) > 1 else 1,
        )
        numbers = tag("details", tag("summary", "The curves as numbers"), numbers)
    else:
        numbers = Html("")
    return tag(
        "section",
        tag("h2", "Over the turns, and where the target stood" if turns > 1 else "Where the target stood"),
        tag("div", *(tag("figure", svg) for svg in drawn), class_="figures"),
        numbers,
    )


def _curve(run: PlayedRun, metric: str, turns: int, *, best: bool) -> Curve:
    """Means over scenarios with intervals; trials are averaged within a scenario first."""
    by_scenario: dict[str, list[list[float]]] = {}
    source: dict[str, str] = {}
    for row in run.rows.values():
        values = row.get("by_turn", {}).get(metric)
        if row["status"] != "valid" or not values:
            continue
        numbers = [float(v) if isinstance(v, int | float) else float("nan") for v in values]
        numbers += [float("nan")] * (turns - len(numbers))
        if best:
            numbers = list(np.fmax.accumulate(numbers))
        by_scenario.setdefault(row["scenario"], []).append(numbers)
        source[row["scenario"]] = row["source"]
    if not by_scenario:
        return Curve(run.label, [float("nan")] * turns)
    matrix = np.array([_mean_of_trials(trials) for trials in by_scenario.values()])
    estimates = clustered_bootstrap(matrix, [source[s] for s in by_scenario], resamples=CURVE_RESAMPLES)
    value = [e.value if isinstance(e.value, float) else float("nan") for e in estimates]
    ends = [e.ci if isinstance(e.ci, tuple) else (float("nan"), float("nan")) for e in estimates]
    return Curve(run.label, value, [low for low, _ in ends], [high for _, high in ends])


def _mean_of_trials(trials: list[list[float]]) -> list[float]:
    if len(trials) == 1:
        return trials[0]
    held = np.array(trials)
    there = np.isfinite(held)
    counts = there.sum(axis=0)
    sums = np.where(there, held, 0.0).sum(axis=0)
    return [float(s / c) if c else float("nan") for s, c in zip(sums, counts, strict=True)]


def _places(k: int) -> tuple[list[str], list[int]]:
    """Names of the ranks' groups and the last rank of each: single ranks up to ten, then groups."""
    edges = [rank for rank in (*range(1, 11), 20, 50, 100) if rank <= k]
    if not edges or edges[-1] < k:
        edges.append(k)
    before = [0, *edges]
    names = [str(e) if e == b + 1 else f"{b + 1}-{e}" for b, e in zip(before, edges, strict=False)]
    return [*names, "none"], edges


def _last(found: list[int]) -> int:
    return found[-1] if found else 0


def _best(found: list[int]) -> int:
    return min((rank for rank in found if rank), default=0)


def _shares(run: PlayedRun, edges: Sequence[int], pick: Any) -> list[float]:
    """Share of the valid dialogues by rank; the last is the share without a target."""
    valid = [run.records[key] for key, row in run.rows.items() if row["status"] == "valid" and key in run.records]
    counts = Counter(int(np.searchsorted(edges, rank)) if (rank := pick(ranks(r))) else len(edges) for r in valid)
    return [counts[n] / max(1, len(valid)) for n in range(len(edges) + 1)]


# ------------------------------------------------------------------------------------------------------ several runs, counts


def comparison(runs: Sequence[PlayedRun], pairs: Sequence[Pair]) -> Html:
    """Paired differences: a figure per headline metric of the first run against the others, and the table of all pairs."""
    drawn = []
    for n, metric in enumerate(dict.fromkeys(pair.comparison.metric for pair in pairs)):
        marks = [
            Estimate(run.label, line["value"], *line["ci"])
            for run in runs
            for line in run.summary["headline"]
            if line["name"] == metric and isinstance(line["value"], float) and isinstance(line["ci"], list)
        ]
        if marks and n < 2:
            drawn.append(Html(forest(f"value{n}", f"{metric}, 95 % interval", marks)))
        gaps = [
            Estimate(f"{runs[pair.a].label} − {runs[pair.b].label}", c.difference, *c.ci)
            for pair in pairs
            if (c := pair.comparison).metric == metric and isinstance(c.difference, float) and isinstance(c.ci, tuple)
        ]
        if gaps and n < 2 and len(gaps) <= 15:
            drawn.append(Html(forest(f"gap{n}", f"{metric}, paired differences", gaps, zero=True, one_colour=True)))
    rows = [
        [
            c.metric,
            f"{runs[pair.a].label} − {runs[pair.b].label}",
            number(c.difference) if isinstance(c.difference, float) else "unscored",
            f"[{number(c.ci[0])}, {number(c.ci[1])}]" if isinstance(c.ci, tuple) else "–",
            p_value(c.p),
            p_value(pair.p_holm),
            number(c.effect_size, 2) if isinstance(c.effect_size, float) else "–",
            f"{c.wins:,}/{c.ties:,}/{c.losses:,}",
            f"{c.n:,}",
        ]
        for pair in pairs
        for c in (pair.comparison,)
    ]
    return tag(
        "section",
        tag("h2", "Compared on the same scenarios"),
        tag("div", *(tag("figure", svg) for svg in drawn), class_="figures"),
        table(
            "Paired differences",
            ("metric", "pair", "difference", "95 % interval", "p", "p (Holm)", "d_z", "win/tie/loss", "n"),
            rows,
            texts=2,
        ),
        tag(
            "p",
            "p: sign-flip permutation by source dialogue, corrected over all rows (Holm). d_z: mean over standard deviation "
            "of the differences. A win is a scenario where the first is better. Below, the order “that differ most” shows the "
            f"dialogues behind {runs[0].summary['headline'][0]['name']}.",
            class_="hint",
        ),
    )


def faults_and_costs(runs: Sequence[PlayedRun]) -> Html:
    """How dialogues ended, whose faults there were, and what was spent."""
    counts = [run.summary["counts"] for run in runs]
    stops = sorted({stop for count in counts for stop in count["stops"]})
    rows: list[list[object]] = [
        [f"stopped: {stop.replace('_', ' ')}", *(_share(c["stops"].get(stop, 0), c["played"]) for c in counts)]
        for stop in stops
    ]
    for name in ("recommender_faults", "invalid", "incomplete", "missing"):
        rows.append([name.replace("_", " "), *(_share(c.get(name, 0), c["played"]) for c in counts)])
    for name in ("simulator_faults", "leaks", "injections", "seeker_injections"):
        rows.append([name.replace("_", " "), *(f"{c.get(name, 0):,}" for c in counts)])
    costs: list[list[object]] = []
    for role in dict.fromkeys(role for run in runs for role in run.summary["usage"]):
        for name in ("calls", "prompt_tokens", "completion_tokens", "cache_hits", "cost"):
            spent = [run.summary["usage"].get(role, {}).get(name, 0) for run in runs]
            if any(spent):
                shown = [f"${value:,.4f}" if name == "cost" else f"{value:,}" for value in spent]
                costs.append([f"{role}: {name.replace('_', ' ')}", *shown])
    for role in dict.fromkeys(role for run in runs for role in run.summary["seconds"]):
        costs.append([f"{role}: seconds", *(f"{run.summary['seconds'].get(role, 0.0):,.1f}" for run in runs)])
    heads = [run.label for run in runs] if len(runs) > 1 else ["all"]
    return tag(
        "section",
        tag("h2", "Faults and costs"),
        tag(
            "div",
            table("Dialogues", ["", *heads], rows),
            table("Language models and time", ["", *heads], costs) if costs else "",
            class_="tables",
        ),
        *(_messages(run, many=len(runs) > 1) for run in runs),
    )


def _share(count: int, of: int) -> str:
    return f"{count:,} ({count / of:.1%})" if of and count else f"{count:,}"


def _messages(run: PlayedRun, *, many: bool) -> Html:
    """The commonest faults in words."""
    said = Counter(
        (fault.blame, fault.kind, fault.message.split("\n")[0][:200])
        for record in run.records.values()
        for fault in record.faults
    )
    if not said:
        return Html("")
    rows = [[f"{count:,}", f"{blame}: {kind}", message] for (blame, kind, message), count in said.most_common(MOST_FAULTS)]
    named = f"Commonest faults of {run.label}" if many else "Commonest faults"
    return table(named, ("times", "fault", "message"), rows, texts=3)


def details(runs: Sequence[PlayedRun]) -> Html:
    """Every metric, folded."""
    tables = []
    for family in FAMILIES:
        names = dict.fromkeys(
            name for run in runs for name, block in run.summary["metrics"].items() if block["family"] == family
        )
        if not names:
            continue
        rows = [[name, *(_estimate(run.summary["metrics"].get(name)) for run in runs)] for name in names]
        heads = [run.label for run in runs] if len(runs) > 1 else ["value, 95 % interval"]
        tables.append(table(f"{family.capitalize()} metrics", ["metric", *heads], rows))
    return tag("section", tag("details", tag("summary", "Every metric"), tag("div", *tables, class_="tables")))
