"""Curves of score by noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MARKERS = "osD^"


def draw(found: Mapping[str, Any], untuned: str, path: Path) -> None:
    """What `benchmarks.noise.results` gives, as a line per recommender with intervals; beside it the untuned simulator.

    The file's ending says the format: .svg, .png, .pdf. The same numbers give the same SVG.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    noisy = [label for label in found["simulators"] if label != untuned]
    single = untuned in found["simulators"]
    at = [float(label.removeprefix("eps ")) for label in noisy]
    # Side by side, so that intervals don't hide one another.
    apart = 0.015 * max(at[-1] - at[0], 0.1)
    middle = (len(found["recommenders"]) - 1) / 2
    with mpl.rc_context({"svg.hashsalt": "noise", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots(1, 1 + single, sharey=True, squeeze=False, width_ratios=[3, 1][: 1 + single])[0]
        for place, (name, title) in enumerate(found["recommenders"].items()):
            look = {"marker": _MARKERS[place % len(_MARKERS)], "capsize": 2, "label": title}
            shift = place - middle
            _bars(axes[0], [x + shift * apart for x in at], [found["scores"][f"{name} | {label}"] for label in noisy], look)
            if single:
                _bars(axes[1], [0.2 * shift], [found["scores"][f"{name} | {untuned}"]], look)
        axes[0].set(
            xlabel="eps: share of false statements (seeker: rule)", ylabel=f"{found['metric']} at the last turn", xticks=at
        )
        axes[0].legend(frameon=False)
        if single:
            axes[1].set(xlim=(-1, 1), xticks=[])
            axes[1].set_xlabel("untuned simulator")
        figure.savefig(path, **({"metadata": {"Date": None}} if path.suffix == ".svg" else {}))


def _bars(axis: Any, at: Sequence[float], blocks: Sequence[Mapping[str, Any]], look: Mapping[str, Any]) -> None:
    values = [block["value"] for block in blocks]
    ends = [
        block["ci"] if isinstance(block["ci"], tuple) else (value, value) for block, value in zip(blocks, values, strict=True)
    ]
    low = [value - end[0] for value, end in zip(values, ends, strict=True)]
    high = [end[1] - value for value, end in zip(values, ends, strict=True)]
    axis.errorbar(at, values, yerr=(low, high), **look)
