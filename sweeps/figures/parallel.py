"""Parallel coordinates: each trial as a line through its parameters."""

from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from pipeline.figures.style import FAINT, INK, plain
from sweeps.contracts import Summary
from sweeps.figures.axes import CHARACTER, LINES, Scale, goal_scale, parameter_scale
from sweeps.figures.drawing import BEST, SHADES, nothing, sheet
from sweeps.figures.trials import Results, results, used
from sweeps.figures.words import best_words, cut, short_names, two_lines

UNUSED = -0.13  # below the axes: a trial without this parameter
MARGIN = 1.2  # inches on both sides, for the labels of the outer axes
WIDEST = 16.0


def parallel_coordinates(summary: Summary, objective: int = 0) -> Figure:
    """A line for each trial, through all of its parameters to the objective; the best one is highlighted."""
    found = results(summary, objective)
    title = f"Parameters and {cut(found.objective, 28)}, trial by trial"
    if not found.trials:
        return nothing(summary, title)
    swept = {one.name: used(one.name, found.trials) for one in summary.parameters}
    scales = {one.name: parameter_scale(one, swept[one.name]) for one in summary.parameters if swept[one.name]}
    goal = goal_scale(found.values, found.maximize)
    width = min(max(8.0, 1.6 * (len(scales) + 1)), WIDEST)
    beyond = goal.beyond(found.values, shape="")
    figure = sheet(summary, title, f"{best_words(found)}, in orange; darker is better{beyond}", width, 4.8)
    axes = figure.subplots()
    if not found.maximize:  # the best is on top
        goal = replace(goal, low=goal.high, high=goal.low)
    _lines(axes, found, scales, goal)
    spacing = (width - 2 * MARGIN) / max(len(scales), 1)
    _uprights(axes, scales, goal, found.objective, spacing)
    missing = any(len(swept[name]) < len(found.trials) for name in scales)
    if missing:
        axes.axhline(UNUSED, color=LINES, linewidth=5, zorder=0)
        axes.text(-0.06, UNUSED, "not used", ha="right", va="center", fontsize=8, color=FAINT, in_layout=False)
    axes.set_xlim(-MARGIN / spacing, len(scales) + MARGIN / spacing)
    axes.set_ylim(UNUSED - 0.05 if missing else -0.03, 1.14)
    axes.set_axis_off()
    return figure


def _lines(axes: Axes, found: Results, scales: dict[str, Scale], goal: Scale) -> None:
    """The trials, better ones over worse ones. Those that lack a parameter pass below its axis."""
    ends = [goal.along(value) for value in found.values]
    for place in sorted(range(len(ends)), key=lambda place: (place == found.best, ends[place])):
        params = found.trials[place].params
        heights = [scale.along(scale.place(params[n])) if n in params else UNUSED for n, scale in scales.items()]
        style = {"color": SHADES(ends[place]), "linewidth": 1.1}
        style = {"color": BEST, "linewidth": 2.4, "zorder": 3} if place == found.best else style
        axes.plot([*heights, ends[place]], marker=None if scales else "o", **style)  # a line needs two axes


def _uprights(axes: Axes, scales: dict[str, Scale], goal: Scale, objective: str, spacing: float) -> None:
    """The axes with their names and ticks, the objective's on the right."""
    line = int(min(spacing, 2 * MARGIN) / 0.088)  # letters of a name; it has two lines
    labels = [*short_names(list(scales), 99).values(), objective]
    for place, (label, scale) in enumerate(zip(labels, [*scales.values(), goal], strict=True)):
        style = {"ha": "center", "va": "bottom", "fontsize": 9.5, "color": INK, "in_layout": False}
        axes.text(place, 1.03, *plain([two_lines(label, line)]), **style)
        axes.plot([place, place], [0, 1], color=INK, linewidth=1.0, zorder=4)
        side = 1 if scale is goal else -1
        style |= {"ha": "left" if side > 0 else "right", "va": "center", "fontsize": 8, "zorder": 5}
        style |= {"path_effects": [withStroke(linewidth=2.5, foreground="white")]}  # lines run below the labels
        for height, text in scale.marks(min(int(0.8 * spacing / CHARACTER), 14)):
            axes.plot(place, height, "_", color=INK, markersize=5, zorder=4)
            axes.annotate(text, (place, height), (side * 5, 0), textcoords="offset points", **style)
