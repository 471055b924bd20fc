"""Feedback gain: a run minus a control on the same scenarios."""

from __future__ import annotations

from collections.abc import Iterable

from harness.comparison import Comparison, Row, paired_gain


def control_gains(rows: Iterable[Row], control_rows: Iterable[Row], k: int) -> list[Comparison]:
    """The gain in success rate and in NDCG of the best list so far; none in a metric that the rows don't have.

    Lists of the last turn would flatter the simulator: a control never accepts, so its user turns down a target that was shown
    and the last list can't hold it any more.
    """
    ndcg = f"ndcg@{k}"
    best = f"{ndcg}, best so far"
    ours, theirs = ([_with_best(row, ndcg, best) for row in each] for each in (rows, control_rows))
    present = {metric for row in ours for metric in row.get("values", ())}
    return [paired_gain(ours, theirs, metric) for metric in ("sr", best) if metric in present]


def _with_best(row: Row, metric: str, name: str) -> Row:
    """A row with the best value that the dialogue reached in any turn, as one more metric."""
    scored = [value for value in row.get("by_turn", {}).get(metric, ()) if isinstance(value, float | int)]
    return {**row, "values": {**row["values"], name: max(scored)}} if scored else row
