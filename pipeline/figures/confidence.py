"""Whether a model knows how sure it may be."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from pipeline.contracts import Calibration
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, blank

LINES = "#e6e9ed"


def confidence(labels: np.ndarray, probabilities: np.ndarray, split: str) -> Figure:
    """How large the top probability is, of all predictions and of the wrong ones; labels (n,), probabilities (n, k)."""
    top, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    said = f"none of {len(top):,} predictions is wrong; dashed: the median"
    if wrong.any():
        bold = int((top[wrong] > 0.9).sum())
        said = (
            f"{int(wrong.sum()):,} of {len(top):,} predictions {'is' if wrong.sum() == 1 else 'are'} wrong, "
            f"{f'{bold:,}' if bold else 'none'} of them surer than 0.9. "
            "Each histogram has area 1, so that few compare with many; dashed: medians"
        )
    figure = blank(10, 4.4, f"Confidence of the predictions, {split} split", f"{said}.")
    axes = figure.subplots()
    edges = np.linspace(0, 1, 41)
    densities = []
    for values, name, color in ((top, "all", TRAINING), (top[wrong], "wrong", VALIDATION)):
        if not len(values):
            continue
        density, _ = np.histogram(np.clip(values, 0, 1), edges, density=True)
        densities.append(density)
        median = float(np.median(values))
        label = f"{name} ({len(values):,}), median {median:.3f}"
        axes.stairs(density, edges, color=color, fill=True, alpha=0.22)
        axes.stairs(density, edges, color=color, linewidth=1.6, label=label)
        axes.axvline(median, color=color, linewidth=1.4, linestyle="--")
    found = np.concatenate(densities)
    if found.max() > 12:
        axes.set_yscale("log")  # where most are sure, their peak would press all others flat
        axes.set_ylim(found[found > 0].min() / 2, 2 * found.max())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(max(0.0, float(np.floor(20 * top.min()) / 20)), 1.005)
    axes.set_xlabel("confidence: the probability of the predicted class", color=INK)
    axes.set_ylabel("density", color=INK)
    axes.grid(axis="y", color=LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def reliability(calibration: Calibration, split: str) -> Figure:
    """Accuracy against confidence by bin, with the diagonal where both are equal; below, how many predictions."""
    count, shares = calibration.count, calibration.count / max(calibration.count.sum(), 1)
    filled = count > 0
    sure, right = calibration.confidence[filled], calibration.accuracy[filled]
    balance = float((shares[filled] * (sure - right)).sum())
    figure = blank(
        7.6,
        7.6,
        f"Reliability, {split} split",
        f"expected calibration error {calibration.error:.4f}: {_direction(balance, calibration.error)}.",
    )
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    edges = np.linspace(0, 1, len(count) + 1)
    width = 1 / len(count)
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--", label="as sure as right", zorder=2)
    upper.bar(
        edges[:-1][filled] + width / 2, right, 0.92 * width, color=TRAINING, alpha=0.22, label="accuracy", zorder=1
    )
    upper.vlines(sure, np.minimum(sure, right), np.maximum(sure, right), color=VALIDATION, linewidth=2.2, label="gap")
    upper.plot(sure, right, "o-", color=TRAINING, markersize=5, linewidth=1.4, zorder=3)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("accuracy", color=INK)
    upper.legend(loc="upper left", frameon=False, fontsize=9)
    lower.bar(edges[:-1] + width / 2, count, 0.92 * width, color="#9fb4cf")
    if filled.any() and count.max() > 50 * count[filled].min():
        lower.set_yscale("log")
        lower.set_ylim(0.6, 3 * count.max())
        lower.yaxis.set_minor_locator(NullLocator())
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.set_xlim(0, 1)
    lower.set_xlabel("confidence: the probability of the predicted class", color=INK)
    lower.set_ylabel("predictions", color=INK)
    for axes in (upper, lower):
        axes.grid(axis="y", color=LINES, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _direction(balance: float, error: float) -> str:
    """In words: balance is the mean confidence less the accuracy, error the mean distance of the two by bin."""
    if error < 0.0005:
        return "the model is as sure as it is right"
    if abs(balance) < 0.5 * error:
        return "the model is too sure in some bins, not sure enough in others"
    word = "overconfident" if balance > 0 else "underconfident"
    return f"the model is {word}, by {100 * abs(balance):.1f} percentage points on average"
