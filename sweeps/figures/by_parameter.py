"""What the parameters do: the objective against each of them, and how much each one matters."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, INK, TRAINING, plain
from sweeps.contracts import Parameter, Summary
from sweeps.figures.axes import CHARACTER, Scale, frame, goal_scale, parameter_scale, scale_x, scale_y
from sweeps.figures.drawing import SHADES, color_bar, nothing, points, ring, sheet
from sweeps.figures.trials import Results, results, used
from sweeps.figures.words import best_words, cut, short_names

COLUMNS, PANEL = 4, 2.6  # inches


def slices(summary: Summary, objective: int = 0) -> Figure:
    """The objective against each parameter, a panel for each. A trial that lacks a parameter is not in its panel."""
    found = results(summary, objective)
    title = f"{cut(found.objective, 28)} by each parameter"
    swept = [one for one in summary.parameters if used(one.name, found.trials)]
    if not found.trials:
        return nothing(summary, title)
    if not swept:
        return nothing(summary, title, "This study sweeps no parameter.")
    scale = goal_scale(found.values, found.maximize)
    columns, rows = min(COLUMNS, len(swept)), math.ceil(len(swept) / COLUMNS)
    subtitle = f"{best_words(found)}, ringed; later trials are darker{scale.beyond(found.values)}"
    figure = sheet(summary, title, subtitle, max((PANEL + 0.2) * columns + 1.6, 8), max(PANEL * rows + 0.7, 3.4))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    ages = parameter_scale(Parameter("trial"), [trial.number for trial in found.trials])
    labels = short_names([one.name for one in swept], int(PANEL / CHARACTER))
    for axes, one in zip(grid.flat, swept, strict=False):
        _slice(axes, one, found, scale, ages)
        frame(axes, labels[one.name], cut(found.objective, 22) if axes in grid[:, 0] else "")
    scale_y(grid[0, 0], scale)
    for axes in grid.flat[len(swept) :]:
        axes.set_visible(False)
    if len(found.trials) > 1:
        color_bar(list(grid.flat), SHADES, ages, "trial")
    return figure


def _slice(axes: Axes, parameter: Parameter, found: Results, scale: Scale, ages: Scale) -> None:
    """One panel: the trials that have this parameter; categories as strips with their median."""
    having = [place for place, trial in enumerate(found.trials) if parameter.name in trial.params]
    trials, values = [found.trials[place] for place in having], np.array(found.values)[having]
    across = parameter_scale(parameter, used(parameter.name, trials))
    places = np.array([across.place(trial.params[parameter.name]) for trial in trials])
    spots = places
    if across.categories:
        for place in np.unique(places):
            median = float(np.median(values[places == place]))
            axes.plot([place - 0.34, place + 0.34], [median, median], color=INK, linewidth=1.4, zorder=2)
        # multiples of the golden ratio spread evenly, and a trial keeps its place when others join
        spots = places + [((trial.number + 1) * 0.6180339887 % 1 - 0.5) * 0.5 for trial in trials]
    points(axes, spots, values, scale, SHADES([ages.along(trial.number) for trial in trials]))
    if found.best in having:
        ring(axes, spots[having.index(found.best)], found.values[found.best])
    scale_x(axes, across, PANEL)


def importances(summary: Summary, scores: Mapping[str, float]) -> Figure:
    """How much each parameter matters, as bars, the largest on top; the scores are the caller's."""
    found = results(summary)
    title = f"Which parameters matter for {cut(found.objective, 28)}"
    if not found.trials:
        return nothing(summary, title)
    if not scores:
        return nothing(summary, title, "The finished trials do not tell the parameters apart yet.")
    names = sorted(scores, key=lambda name: scores[name])  # bars are stacked from the bottom
    subtitle = f"part of the differences that each one explains, estimated from {len(found.trials)} complete trials"
    figure = sheet(summary, title, subtitle, 8, 0.36 * len(names) + 1.2)
    axes = figure.subplots()
    labels = short_names(names, 48)
    bars = axes.barh(plain([labels[name] for name in names]), [scores[name] for name in names], color=TRAINING)
    axes.bar_label(bars, fmt="%.2f", padding=4, fontsize=9, color=INK)
    axes.set_xlim(0, 1.08 * max(scores.values()) or 1)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.xaxis.set_visible(False)  # each bar carries its number
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(FAINT)
    return figure
