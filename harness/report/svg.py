"""Plots of matplotlib as inline SVG that follows its page: its colours are the page's variables, its texts stay texts."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

INK: Final = "#010201"
MUTED: Final = "#010301"
GRID: Final = "#010401"
SERIES: Final = tuple(f"#0203{n:02x}" for n in range(1, 9))
_VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    **{colour: f"var(--s{n})" for n, colour in enumerate(SERIES, 1)},
}
_LINES: Final[tuple[Any, ...]] = ("-", "--", ":", "-.")
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "font.size": 10.0,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "legend.labelcolor": INK,
    "axes.unicode_minus": True,
}


def colour(number: int) -> str:
    """The colour of the series of that number, from 0."""
    return SERIES[number % len(SERIES)]


def line_style(number: int) -> Any:
    """Beyond the colours' number, series differ by their dashes."""
    return _LINES[number // len(SERIES) % len(_LINES)]


def draw(
    name: str, alt: str, paint: Callable[[Any], None], *, width: float = 4.6, height: float = 3.1, legend: Sequence[str] = ()
) -> str:
    """One figure as an SVG element. `paint` is given the axes; `name` keeps its ids apart from those of the page's other
    figures, and `alt` says in words what is shown. `legend` are the series' names, where there are several."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(width, height + 0.2 * ((len(legend) + 1) // 2 if len(legend) > 1 else 0)), layout="constrained"
        )
        axes = figure.add_subplot()
        paint(axes)
        if len(legend) > 1:
            figure.legend(
                handles=[_key(number) for number in range(len(legend))],
                labels=[_short(label) for label in legend],
                loc="outside lower left",
                ncols=2,
                handlelength=1.6,
                columnspacing=1.2,
            )
        held = io.StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(held.getvalue(), name, alt)


def _key(number: int) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour(number), linestyle=line_style(number), linewidth=2.5)


def _short(label: str, most: int = 34) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _inline(svg: str, name: str, alt: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several figures stand in one page: every id and what refers to it gets the figure's name.
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    for hexadecimal, variable in _VARIABLES.items():
        svg = svg.replace(hexadecimal, variable)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", svg)
    root = re.match(r"<svg[^>]*>", svg)
    if root is None:
        raise ValueError("matplotlib wrote no SVG element")
    view = re.search(r'viewBox="[\d. ]+"', root.group())
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view.group() if view else ""} '
        f'role="img" aria-label="{html.escape(alt)}">'
    )
    return opening + svg[root.end() :].strip()
