"""A grid over one parameter: which of its values wins, and by how much more than its runs differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import TRAINING
from sweeps.contracts import Summary, is_number, key, replicates
from sweeps.figures.axes import Scale, category_scale, frame, goal_scale, scale_x, scale_y
from sweeps.figures.drawing import BEST, legend_below, nothing, points, sheet
from sweeps.figures.trials import Results, parameter_called, results
from sweeps.figures.words import cut, short, short_names, written

RUNS = "#9fb4cf"


def grid_curve(summary: Summary, parameter: str) -> Figure:
    """The objective by the value of a parameter: means and standard deviations over its runs, the best mean marked."""
    found, name = results(summary), short_names([parameter], 40)[parameter]
    title = f"{cut(found.objective, 28)} by {name}"
    cells = _cells(found, parameter)
    if not cells:
        return nothing(summary, title)
    across = category_scale([*(parameter_called(parameter, summary).choices or ()), *(value for value, _ in cells)])
    cells.sort(key=lambda cell: across.place(cell[0]))
    value, best = (max if found.maximize else min)(cells, key=lambda cell: np.mean(cell[1]))
    runs = [run for _, some in cells for run in some]
    ends = [float(np.mean(some)) + side * _deviation(some) for _, some in cells if len(some) > 1 for side in (-1, 1)]
    scale = goal_scale([float(np.mean(some)) for _, some in cells], found.maximize, [*runs, *ends])
    what, bars = ("best mean", "; bars: one standard deviation") if len(runs) > len(cells) else ("best", "")
    spread = f" ± {short(_deviation(best), 2)} ({len(best)} runs)" if len(best) > 1 else ""
    words = f"{what} {short(float(np.mean(best)))}{spread} at {cut(written(value), 24)}"
    figure = sheet(summary, title, f"{words}{bars}{scale.beyond(runs)}", 8.5, 4.4)
    axes = figure.subplots()
    _draw(axes, cells, across, scale)
    axes.plot(across.place(value), np.mean(best), "o", color=BEST, markersize=9, zorder=5, label=what)
    scale_x(axes, across, 7.3)
    scale_y(axes, scale)
    frame(axes, name, found.objective)
    legend_below(figure)
    return figure


def _cells(found: Results, parameter: str) -> list[tuple[Any, list[float]]]:
    """(value, what its runs reached), by value; runs differ in the seed and whatever else is swept."""
    cells: dict[tuple, tuple[Any, list[float]]] = {}
    for group in replicates([trial for trial in found.trials if parameter in trial.params], parameter):
        value = group[0].params[parameter]
        cells.setdefault(key(value), (value, []))[1].extend(trial.values[0] for trial in group)
    return [cells[one] for one in sorted(cells)]


def _deviation(runs: Sequence[float]) -> float:
    return float(np.std(runs, ddof=1))


def _draw(axes: Axes, cells: Sequence[tuple[Any, list[float]]], across: Scale, scale: Scale) -> None:
    """Means with error bars, joined where the values are numbers; the single runs behind them, faint."""
    places, runs = [across.place(value) for value, _ in cells], [some for _, some in cells]
    replicated = max(map(len, runs)) > 1
    singles = [(place, run) for place, some in zip(places, runs, strict=True) for run in some]
    points(axes, *zip(*singles, strict=True), scale, RUNS if replicated else TRAINING, "single runs")
    spread = [_deviation(some) if len(some) > 1 else np.nan for some in runs]
    style = {"color": TRAINING, "capsize": 4, "markersize": 5.5, "linewidth": 1.6, "elinewidth": 1.2, "zorder": 4}
    style |= {"linestyle": "-" if all(is_number(value) for value, _ in cells) else "none"}
    label = "mean" if replicated else ""
    axes.errorbar(places, [np.mean(some) for some in runs], yerr=spread, fmt="o", label=label, **style)
