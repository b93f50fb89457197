"""The history of a study: what each trial reached, and the best so far."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, TRAINING
from sweeps.contracts import Summary
from sweeps.figures.axes import Scale, count_x, frame, goal_scale, scale_y
from sweeps.figures.drawing import BEST, FAILED, legend_below, nothing, points, ring, sheet
from sweeps.figures.trials import Results, best_so_far, results, trained
from sweeps.figures.words import best_words, counts, cut


def history(summary: Summary, objective: int = 0) -> Figure:
    """The objective by trial, the best so far as a line. Pruned trials are marked where their curve ended."""
    found, ends = results(summary, objective), _ends(summary, objective)
    title = f"{cut(found.objective, 28)} by trial"
    if not found.trials and not ends:
        return nothing(summary, title)
    scale = goal_scale(found.values or list(ends.values()), found.maximize, extra=list(ends.values()))
    beyond = scale.beyond([*found.values, *ends.values()])
    figure = sheet(summary, title, f"{best_words(found)}; {counts(summary)}{beyond}", 9.5, 4.3)
    axes = figure.subplots()
    numbers = [trial.number for trial in summary.trials]
    if found.trials:
        _finished(axes, found, scale, max(numbers))
    if ends:
        points(axes, list(ends), list(ends.values()), scale, FAINT, "pruned, its last value", "x")
    failed = [trial.number for trial in summary.trials if trial.state == "failed"]
    if failed:  # they have no value: at the foot of the axes, whatever its limits are
        style = {"color": FAILED, "markersize": 9, "markeredgewidth": 1.8, "transform": axes.get_xaxis_transform()}
        axes.plot(failed, [0.025] * len(failed), "|", label="failed", **style)
    scale_y(axes, scale)
    count_x(axes, min(numbers) - 0.5, max(numbers) + 0.5)
    frame(axes, "trial", found.objective)
    legend_below(figure)
    return figure


def _ends(summary: Summary, objective: int) -> dict[int, float]:
    """The last values of pruned trials, where they are values of this objective: a study prunes by its only one."""
    if len(summary.objectives) > 1 and summary.objectives[objective] != summary.curve_metric:
        return {}
    return {trial.number: trial.curve[max(trial.curve)] for trial in trained(summary) if trial.state == "pruned"}


def _finished(axes: Axes, found: Results, scale: Scale, last: int) -> None:
    """The complete trials, with the best so far up to the last trial of the study."""
    numbers, line = [trial.number for trial in found.trials], best_so_far(found.values, found.maximize)
    points(axes, numbers, found.values, scale, TRAINING, "complete")
    axes.step([*numbers, last], [*line, line[-1]], where="post", color=BEST, linewidth=1.6, label="best so far")
    ring(axes, numbers[found.best], found.values[found.best])
