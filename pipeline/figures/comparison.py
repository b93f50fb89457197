"""Several configurations in one figure: curves on one axis, confusion matrices and how they differ.

Legends are the page's: one for all of them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from pipeline.figures.style import FAINT, INK, bare, blank, plain

# Okabe and Ito's, which color-blind people tell apart, the first dark; beyond them everything is grey
COLORS = ("#22262b", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8f6bb1")
MOST_LABELLED = 26  # classes
SPLITS = {"val": "Validation", "train": "Training"}

Epochs = Sequence[Mapping[str, float]]  # the metrics of each epoch of a run


def color(place: int) -> str:
    """Of the configuration at this place, in every figure and on the page."""
    return COLORS[place] if place < len(COLORS) else FAINT


def curves(configurations: Sequence[Sequence[Epochs]], split: str, quantity: str) -> Figure:
    """One metric by epoch: a line for a run, for replicates their mean in a band from the lowest to the highest."""
    figure = blank(5.4, 4.0, f"{SPLITS[split]} {quantity}")
    axes = figure.subplots()
    found = [[[metrics[f"{split}_{quantity}"] for metrics in run] for run in runs if run] for runs in configurations]
    for place, runs in reversed(list(enumerate(found))):  # the first on top
        if runs:
            _draw(axes, runs, place)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    _scale(axes, [value for runs in found for run in runs for value in run[len(run) // 10 :]], quantity)
    return figure


def _draw(axes: Axes, runs: Sequence[Sequence[float]], place: int) -> None:
    values = np.full((len(runs), max(map(len, runs))), np.nan)
    for row, run in zip(values, runs, strict=True):
        row[: len(run)] = run
    epochs = np.arange(1, values.shape[1] + 1)
    if len(runs) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=color(place), alpha=0.15, linewidth=0)
    style = {"linewidth": 1.8 if place < len(COLORS) else 1.0, "marker": "o" if len(epochs) < 3 else None}
    axes.plot(epochs, np.nanmean(values, axis=0), color=color(place), markersize=5, **style)


def _scale(axes: Axes, values: Sequence[float], quantity: str) -> None:
    """Around what matters: the first steps would squeeze all that follows."""
    values = [value for value in values if np.isfinite(value)]
    if not values:
        return
    if quantity == "loss":
        if min(values) > 0:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        return
    low, high = np.percentile(values, 2), max(values)
    room = max(high - low, 0.01)
    axes.set_ylim(max(0.0, low - 0.1 * room), min(1.0, high) + 0.05 * room)


def confusion(counts: np.ndarray, class_names: Sequence[str], title: str, subtitle: str) -> Figure:
    """[i, j]: images of class i that were taken for class j; color is the share of the row, stretched."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    dark = shares > 0.25
    return _matrix(counts, shares, "Blues", PowerNorm(0.35, 0, 1), dark, class_names, title, subtitle, "{:.4g}")


def confusion_change(change: np.ndarray, class_names: Sequence[str], limit: float, title: str, subtitle: str) -> Figure:
    """Difference of two such matrices: blue is better, which on the diagonal means more and elsewhere fewer.

    limit: of the colors, in images.
    """
    worse = np.where(np.eye(len(change), dtype=bool), -change, change)
    dark = np.abs(worse) > 0.6 * limit
    return _matrix(change, worse, "RdBu_r", Normalize(-limit, limit), dark, class_names, title, subtitle, "{:+.3g}")


def _matrix(
    counts: np.ndarray,
    shades: np.ndarray,
    colors: str,
    norm: Normalize,
    dark: np.ndarray,
    class_names: Sequence[str],
    title: str,
    subtitle: str,
    written: str,
) -> Figure:
    classes = len(counts)
    side = min(1.5 + 0.37 * classes, 10)
    figure = blank(side, side + 0.5, title, subtitle)
    axes = figure.subplots()
    axes.imshow(shades, cmap=colors, norm=norm)
    bare(axes)
    if classes <= MOST_LABELLED:
        for (row, column), count in np.ndenumerate(counts):
            if abs(count) >= 0.05:
                ink = "white" if dark[row, column] else INK
                text = written.format(round(count, 1))
                axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=ink)
        names = plain(class_names)
        rotated = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 3 else {}
        axes.set_xticks(range(classes), names, fontsize=8, **rotated)
        axes.set_yticks(range(classes), names, fontsize=8)
        axes.tick_params(length=0)
    axes.set_xlabel("predicted class", fontsize=8, color=INK)
    axes.set_ylabel("true class", fontsize=8, color=INK)
    return figure
