"""The learning curves of all trials, and which of them pruning cut short."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.figures.style import FAINT, TRAINING, plain
from sweeps.contracts import Record, Summary, is_number, key, replicates
from sweeps.figures.axes import Scale, count_x, frame, goal_scale, linear_ticks, parameter_scale, scale_y
from sweeps.figures.drawing import BEST, FAILED, SPECTRUM, color_bar, legend_below, nothing, points, sheet
from sweeps.figures.trials import parameter_called, trained, used
from sweeps.figures.words import counts, cut, short_names, tick_texts, written

GROUPS = (TRAINING, BEST, "#3a8f5c", "#8a4fb0", FAILED, "#1f9aa5", "#b58900", "#5d6570")
STYLES = {"pruned": {"color": FAINT, "alpha": 0.5}, "failed": {"color": FAILED, "alpha": 0.8}}


def all_curves(summary: Summary, parameter: str | None) -> Figure:
    """The learning curves of all trials, colored by the value of a parameter; where there are seeds, also means."""
    trials, title = trained(summary), f"{cut(summary.curve_metric, 30)} by epoch"
    if not trials:
        return nothing(summary, title, "No trial has finished an epoch yet.")
    groups = replicates(trials, parameter)
    name = short_names([parameter], 30)[parameter] if parameter else ""
    colored = f"; colored by {name}" if parameter else ""
    means = "; thick: the mean over seeds" if any(len(group) > 1 for group in groups) else ""
    figure = sheet(summary, title, f"{counts(summary)}{colored}{means}", 9.5, 4.6)
    axes = figure.subplots()
    values = used(parameter, trials) if parameter else []
    colors = parameter_scale(parameter_called(parameter, summary), values) if values else None
    for group in groups:
        params = group[0].params
        absent = FAINT if parameter else TRAINING
        _group(axes, group, _color(colors, params[parameter]) if parameter in params else absent)
    scale_y(axes, _scale(summary, trials))
    count_x(axes, 0.5, max(max(trial.curve) for trial in trials) + 0.5)
    frame(axes, "epoch", summary.curve_metric)
    if colors:
        _explain(axes, colors, values, name, len(values) < len(trials))
    return figure


def _group(axes: Axes, group: Sequence[Record], color: Any) -> None:
    """The curves of replicates, and their mean over the epochs that all of them have."""
    style = {"linewidth": 1.2, "alpha": 0.85} if len(group) == 1 else {"linewidth": 0.8, "alpha": 0.45}
    for trial in group:
        _curve(axes, trial.curve, color=color, **style)
    shared = sorted(set.intersection(*(set(trial.curve) for trial in group)))
    if len(group) > 1 and shared:
        mean = {epoch: float(np.mean([trial.curve[epoch] for trial in group])) for epoch in shared}
        _curve(axes, mean, color=color, linewidth=2.4, zorder=4)


def _curve(axes: Axes, values: Mapping[int, float], **style: Any) -> None:
    marker = "o" if len(values) < 2 else None  # a line needs two points
    axes.plot(list(values), list(values.values()), marker=marker, markersize=3.5, **style)


def _color(scale: Scale, value: Any) -> Any:
    """Shades of one spectrum for what has an order, distinct colors for a few categories."""
    if len(scale.categories) <= len(GROUPS) and not all(map(is_number, scale.categories)):
        return GROUPS[int(scale.place(value))]
    return SPECTRUM(scale.along(scale.place(value)))


def _explain(axes: Axes, scale: Scale, values: Sequence[Any], name: str, some_absent: bool) -> None:
    """Which color is which value: a legend, or a bar where there are too many."""
    distinct = sorted({key(value): value for value in values}.values(), key=scale.place)
    if len(distinct) > len(GROUPS):
        color_bar([axes], SPECTRUM, scale, name)
        return
    shown = [(_color(scale, value), plain([cut(written(value), 24)])[0]) for value in distinct]
    shown += [(FAINT, "not used")] if some_absent else []
    handles = [Line2D([], [], color=color, linewidth=2.4, label=label) for color, label in shown]
    style = {"frameon": False, "fontsize": 9, "title_fontsize": 9, "alignment": "left"}
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
    axes.legend(handles=handles, title=plain([name])[0], **place, **style)


def rungs(summary: Summary) -> Figure:
    """What pruning did: how many trials were still training at each epoch, and where their curves ended."""
    trials, title = trained(summary), "Pruning: trials in training by epoch"
    if not trials:
        return nothing(summary, title, "No trial has finished an epoch yet.")
    longest = max(max(trial.curve) for trial in trials)
    ended = [trial for trial in trials if trial.state != "running"] or trials  # a running one has not dropped out
    lengths = [max(trial.curve) for trial in ended]
    alive = [sum(length >= epoch for length in lengths) for epoch in range(1, longest + 1)]
    taken = f"this took {sum(alive) / (len(lengths) * longest):.0%} of the epochs without pruning"
    figure = sheet(summary, title, f"{counts(summary)}; {alive[-1]} reached epoch {longest}; {taken}", 9.5, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.2])
    _alive(upper, alive)
    _ends(lower, trials, _scale(summary, trials))
    frame(lower, "epoch", summary.curve_metric)
    count_x(lower, 0, longest + 0.5)
    figure.align_ylabels()
    legend_below(figure)
    return figure


def _alive(axes: Axes, alive: Sequence[int]) -> None:
    epochs, steps = range(len(alive) + 1), [alive[0], *alive]
    axes.step(epochs, steps, where="pre", color=TRAINING, linewidth=1.8)
    axes.fill_between(epochs, steps, step="pre", color=TRAINING, alpha=0.12, linewidth=0)
    axes.set_ylim(0, 1.1 * alive[0])
    ticks = linear_ticks(0, alive[0], whole=True, most=4)
    axes.set_yticks(ticks, tick_texts(ticks), fontsize=9)
    frame(axes, "", "in training")


def _ends(axes: Axes, trials: Sequence[Record], scale: Scale) -> None:
    """The curves by what became of their trials, with a mark where one was pruned."""
    for trial in trials:
        style = STYLES.get(trial.state, {"color": TRAINING, "alpha": 0.8})
        _curve(axes, trial.curve, linewidth=1.0, label=trial.state, **style)
    ends = [max(trial.curve.items()) for trial in trials if trial.state == "pruned"]
    if ends:
        points(axes, *zip(*ends, strict=True), scale, BEST, "where it was pruned")
    scale_y(axes, scale)


def _scale(summary: Summary, trials: Sequence[Record]) -> Scale:
    """The first tenth of the epochs would squeeze all that follows; it counts where there is nothing better."""
    metric = summary.curve_metric
    objective = summary.objectives.index(metric) if metric in summary.objectives else 0
    start = max(max(trial.curve) for trial in trials) // 10
    values = [value for trial in trials for epoch, value in trial.curve.items() if epoch > start]
    everything = [value for trial in trials for value in trial.curve.values()]
    return goal_scale(values, summary.directions[objective] == "maximize", everything)
