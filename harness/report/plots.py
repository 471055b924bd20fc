"""The plots of a report: curves over the turns, where the target stood, and estimates with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.report.svg import GRID, INK, MUTED, colour, draw, line_style


class Curve(msgspec.Struct, frozen=True):
    """A series over turns 1, 2, ...; NaN where there is no value. `low` and `high` are its intervals' ends, or empty."""

    label: str
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class Estimate(msgspec.Struct, frozen=True):
    """A value with its interval's ends."""

    label: str
    value: float
    low: float
    high: float


def curves(name: str, title: str, series: Sequence[Curve]) -> str:
    """Lines with interval bands."""

    def paint(axes: Any) -> None:
        for number, curve in enumerate(series):
            turns = range(1, len(curve.values) + 1)
            if curve.low:
                axes.fill_between(turns, curve.low, curve.high, color=colour(number), alpha=0.16, linewidth=0)
            axes.plot(
                turns, curve.values, color=colour(number), linestyle=line_style(number), marker="o", markersize=4, linewidth=2
            )
        axes.set_title(title)
        axes.set_xlabel("turn")
        axes.set_xticks(range(1, max((len(curve.values) for curve in series), default=1) + 1))
        axes.set_ylim(bottom=0)

    alt = f"{title} over the turns: " + "; ".join(
        f"{curve.label} " + ", ".join(f"{value:.3f}" for value in curve.values) for curve in series
    )
    return draw(name, alt, paint, legend=[curve.label for curve in series])


def bars(name: str, title: str, places: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Shares of dialogues by place, the series beside each other; the last place stands apart."""

    def paint(axes: Any) -> None:
        width = 0.8 / max(1, len(series))
        at = [*range(len(places) - 1), len(places) - 0.5]
        for number, (_, shares) in enumerate(series):
            left = [x - 0.4 + width * (number + 0.5) for x in at]
            axes.bar(left, [100 * share for share in shares], width=width * 0.92, color=colour(number), linewidth=0)
        axes.set_title(title)
        axes.set_xticks(at, places)
        axes.set_xlabel("rank of the best target")
        axes.set_ylabel("% of dialogues")
        axes.grid(axis="x", visible=False)

    alt = f"{title}: " + "; ".join(
        f"{label} " + ", ".join(f"{place} {share:.1%}" for place, share in zip(places, shares, strict=True))
        for label, shares in series
    )
    return draw(name, alt, paint, legend=[label for label, _ in series])


def forest(name: str, title: str, rows: Sequence[Estimate], *, zero: bool = False, one_colour: bool = False) -> str:
    """Estimates with intervals under each other; `zero` draws the line of no difference."""

    def paint(axes: Any) -> None:
        for number, row in enumerate(rows):
            shade = INK if one_colour else colour(number)
            axes.plot([row.low, row.high], [number, number], color=shade, linewidth=2, solid_capstyle="butt")
            axes.plot([row.value], [number], color=shade, marker="o", markersize=6)
            axes.annotate(
                f"{row.value:+.3f}" if zero else f"{row.value:.3f}",
                (row.value, number),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=MUTED,
            )
        if zero:
            axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(range(len(rows)), [row.label if len(row.label) < 26 else row.label[:25] + "…" for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.7)
        axes.set_title(title)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.margins(x=0.12)
        axes.spines["left"].set_color(GRID)

    alt = f"{title}: " + "; ".join(f"{row.label} {row.value:.4f} [{row.low:.4f}, {row.high:.4f}]" for row in rows)
    return draw(name, alt, paint, height=1.0 + 0.42 * len(rows))
