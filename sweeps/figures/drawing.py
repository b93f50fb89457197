"""What the figures are put together from: a sheet with its heading, points, legends and color bars."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba_array
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, blank, plain
from sweeps.contracts import Summary
from sweeps.figures.axes import Scale
from sweeps.figures.words import counts, cut

BEST, FAILED = VALIDATION, "#c0392b"
SHADES = LinearSegmentedColormap.from_list("shades", ["#a9c2e0", TRAINING, "#10264a"])
SPECTRUM = LinearSegmentedColormap.from_list("spectrum", colormaps["viridis"](np.linspace(0, 0.92, 256)))


def sheet(summary: Summary, title: str, subtitle: str, width: float, height: float) -> Figure:
    """A blank figure; what a person named may be too long for its heading."""
    title = f"{title} · {cut(summary.name, 32)}"
    return blank(width, height, *plain([cut(title, int(width / 0.105)), cut(f"{subtitle}.", int(width / 0.06))]))


def nothing(summary: Summary, title: str, reason: str = "There is no finished trial yet.") -> Figure:
    """A figure that says why it shows nothing."""
    figure = sheet(summary, title, counts(summary), 8, 2.2)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, ha="center", va="center", fontsize=11, color=FAINT)
    return figure


def points(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], scale: Scale, color: Any, label: str = "", marker: str = "o"
) -> None:
    """Points, in one color or one each. What lies beyond the axis is a triangle at its edge."""
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    colors = np.broadcast_to(to_rgba_array(color), (len(xs), 4))
    below, above = ys < scale.low, ys > scale.high
    for shape, chosen in ((marker, ~below & ~above), ("v", below), ("^", above)):
        style = {"facecolors": colors[chosen] if chosen.any() else colors[:1], "zorder": 3, "clip_on": False}
        style |= {} if shape == "x" else {"edgecolors": "white", "linewidths": 0.5}
        heights = ys[chosen].clip(scale.low, scale.high)
        axes.scatter(xs[chosen], heights, 28, marker=shape, label=label, **style)
        label = ""  # once in the legend


def ring(axes: Axes, x: float, y: float) -> None:
    """Marks the best point."""
    axes.plot(x, y, "o", markersize=9.5, zorder=5, fillstyle="none", color=BEST, markeredgewidth=1.8)


def legend_below(figure: Figure) -> None:
    """Below the axes, a legend covers no point. Each label is there once."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    style = {"loc": "outside lower center", "ncols": 5, "frameon": False, "fontsize": 8.5}
    figure.legend(handles.values(), handles.keys(), **style)


def color_bar(axes: Sequence[Axes], colors: Colormap, scale: Scale, label: str) -> None:
    """How values become colors, which stand for places along the scale."""
    bar = axes[0].figure.colorbar(ScalarMappable(cmap=colors), ax=axes, pad=0.015, aspect=35)
    bar.outline.set_visible(False)
    places, texts = zip(*scale.marks(14), strict=True)
    bar.set_ticks(places, labels=texts)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label(*plain([label]), color=INK, fontsize=9)
