"""A matrix of recommenders and simulators as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from harness.report.text import interval, number, p_value


def matrix_text(content: Mapping[str, Any]) -> str:
    """For every metric: the table, the agreement of the simulators, and the transfer gaps."""
    run = content["run"]
    parts = [
        f"{len(content['recommenders'])} recommenders x {len(content['simulators'])} simulators on {run['dataset']} "
        f"({run['split']}, {run['variant']}): {content['scenarios']:,} scenarios, data {run['data_hash'][:12]}, "
        f"preset {run['preset']}, protocol {run['protocol']}, seed {run['seed']}"
        + (f", {run['trials']} trials" if run["trials"] > 1 else "")
    ]
    for name in content["metrics"]:
        parts += [_cells(content, name), _agreement(content, name), _transfer(content, name)]
    parts.append(_notes(content))
    return "\n\n".join(part for part in parts if part)


def _cells(content: Mapping[str, Any], name: str) -> str:
    held = {(cell["recommender"], cell["simulator"]): cell["values"][name] for cell in content["cells"]}
    trained = {rec: facts["trained_against"] for rec, facts in content["recommenders"].items()}
    rows = [
        (
            rec,
            *(
                f"{number(held[rec, sim]['value'])} {interval(held[rec, sim])}" + ("*" if sim in trained[rec] else "")
                for sim in content["simulators"]
            ),
        )
        for rec in content["recommenders"]
    ]
    heads = [f"{sim} ({facts['knowledge'].replace('_', '-')})" for sim, facts in content["simulators"].items()]
    star = "\n* trained against this simulator" if any(trained.values()) else ""
    return _table(rows, (name, *heads)) + star


def _agreement(content: Mapping[str, Any], name: str) -> str:
    found = content["metrics"][name]["agreement"]
    if not found:
        return ""
    rows = [(f"{a['first']} and {a['second']}", _coefficient(a["kendall"]), _coefficient(a["spearman"]), a["n"]) for a in found]
    why = next((a["kendall"]["value"]["reason"] for a in found if isinstance(a["kendall"]["value"], dict)), None)
    head = (f"do they rank alike? ({name})", "Kendall tau-b", "Spearman", "scenarios")
    return _table(rows, head) + (f"\nunscored: {why}" if why else "")


def _coefficient(c: Mapping[str, Any]) -> str:
    if isinstance(c["value"], dict):
        return "unscored"
    ci = c["ci"]
    return f"{c['value']:.2f}" + (f" [{ci[0]:.2f}, {ci[1]:.2f}]" if isinstance(ci, (list, tuple)) else "")


def _transfer(content: Mapping[str, Any], name: str) -> str:
    found = content["metrics"][name]["transfer"]
    if not found:
        return ""
    rows = [
        (
            t["recommender"],
            ", ".join(t["against"]),
            number(t["on_trained"]),
            number(t["on_others"]),
            _gap(t["gap"]),
            _gap(t["beyond"]),
        )
        for t in found
    ]
    head = (f"transfer ({name})", "trained against", "there", "elsewhere", "gap", "gap beyond the untrained")
    return _table(rows, head) + "\ngap: with the simulators that it was trained against, minus with the others"


def _gap(gap: Mapping[str, Any]) -> str:
    value, ci = gap["value"], gap["ci"]
    if not isinstance(value, float):
        return "-"
    low_high = f" [{number(ci[0])}, {number(ci[1])}]" if isinstance(ci, (list, tuple)) else ""
    return f"{value:+.4f}{low_high} p {p_value(gap['p'])}"


def _notes(content: Mapping[str, Any]) -> str:
    lines = []
    if len(content["simulators"]) > 1:
        lines.append("scores with different simulators are no ranking of recommenders: read down the columns")
    if not any(facts["trained_against"] for facts in content["recommenders"].values()):
        lines.append("no recommender says that it was trained against one of these simulators: there are no transfer gaps")
    for cell in content["cells"]:
        told = [f"{cell[key]} {key.replace('_', ' ')}" for key in ("recommender_faults", "invalid", "incomplete") if cell[key]]
        if told:
            lines.append(f"{cell['recommender']} x {cell['simulator']}: {', '.join(told)}")
    return "\n".join(f"note: {line}" for line in lines)


def _table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    align = ("left", *("right" for _ in headers[1:]))
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align if rows else None)
