"""Two objectives against each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, INK
from sweeps.contracts import Summary
from sweeps.figures.axes import frame, goal_scale, is_wide, number_scale, scale_x, scale_y
from sweeps.figures.drawing import BEST, legend_below, nothing, points, sheet
from sweeps.figures.trials import pareto_front, results
from sweeps.figures.words import cut


def pareto(summary: Summary) -> Figure:
    """The first objective by the second. The trials that no other beats in both are joined, most are numbered."""
    if len(summary.objectives) < 2:
        reason = "This study has one objective; this figure needs two."
        return nothing(summary, "Two objectives against each other", reason)
    up, across = results(summary, 0), results(summary, 1)
    title = f"{cut(up.objective, 28)} against {cut(across.objective, 28)}"
    if not up.trials:
        return nothing(summary, title)
    x, y = np.array(across.values), np.array(up.values)
    front = pareto_front(np.stack([x, y], axis=1), (across.maximize, up.maximize))
    xscale, yscale = number_scale(x, is_wide(x)), goal_scale(y, up.maximize)
    aim = f"better is {'up' if up.maximize else 'down'} and to the {'right' if across.maximize else 'left'}"
    subtitle = f"{front.sum()} of {len(x)} complete trials are on the front, numbered where there is room; {aim}"
    figure = sheet(summary, title, f"{subtitle}{yscale.beyond(y)}", 8.5, 5.2)
    axes = figure.subplots()
    if not front.all():
        points(axes, x[~front], y[~front], yscale, FAINT, "beaten in both by another trial")
    order = np.flatnonzero(front)[np.argsort(x[front], kind="stable")]
    # between two trials of the front, the one that costs no more is what can be had
    axes.step(x[order], y[order], where="pre" if across.maximize else "post", color=BEST, linewidth=1.4, alpha=0.75)
    points(axes, x[order], y[order], yscale, BEST, "Pareto front")
    scale_x(axes, xscale, 7.3)
    scale_y(axes, yscale)
    frame(axes, across.objective, up.objective)
    legend_below(figure)
    numbered = [(up.trials[place].number, x[place], y[place]) for place in order]
    _write(axes, numbered, 1 if across.maximize else -1, 1 if up.maximize else -1)
    return figure


def _write(axes: Axes, numbered: Sequence[tuple[int, float, float]], right: int, up: int) -> None:
    """The numbers beside their points, on the better side, where there are no others; none over another."""
    style = {"ha": "left" if right > 0 else "right", "va": "bottom" if up > 0 else "top", "fontsize": 8.5, "color": INK}
    taken = np.empty((0, 2))
    for number, x, y in numbered:
        spot = axes.transLimits.transform(axes.transScale.transform((x, y)))  # from 0 to 1
        if (np.abs(taken - spot) > (0.03, 0.035)).any(axis=1).all():
            taken = np.vstack([taken, spot])
            axes.annotate(str(number), (x, y), (right * 4, up * 4), textcoords="offset points", **style)
