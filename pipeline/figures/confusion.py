"""The confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from pipeline.contracts import Evaluation
from pipeline.figures.style import INK, blank, plain

STRETCH = 0.35  # the power of a share that its color stands for
MOST_LABELLED = 26  # classes; beyond that the counts could not be read


def confusion_matrix(evaluation: Evaluation, class_names: Sequence[str], split: str) -> Figure:
    """Counts as text, each row's shares as color: what the images of one class were taken for."""
    counts, class_names = evaluation.confusion, plain(class_names)
    classes = len(class_names)
    side = min(4.2 + 0.4 * classes, 14)
    figure = blank(
        side + 0.6,
        side,
        f"Confusion matrix, {split} split",
        f"{counts.sum():,} images, accuracy {evaluation.accuracy:.4f}. Color: share of the row, stretched so that rare "
        "mistakes show.",
    )
    axes = figure.subplots()
    image = _draw(axes, counts, class_names, 11 if classes <= 12 else 7)
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class", color=INK)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    return figure


def _draw(axes: Axes, counts: np.ndarray, class_names: Sequence[str], size: int) -> AxesImage:
    """Counts as text of a size, shares of each row as color."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes = len(class_names)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(STRETCH, 0, 1))
    if classes <= MOST_LABELLED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.25 else INK
                weight = "bold" if row == column else "normal"
                axes.text(
                    column, row, f"{count}", ha="center", va="center", fontsize=size, color=color, fontweight=weight
                )
        long_names = max(map(len, class_names)) > 3
        axes.set_xticks(
            range(classes), class_names, rotation=45 if long_names else 0, ha="right" if long_names else "center"
        )
        axes.set_yticks(range(classes), class_names)
        axes.set_xticks(np.arange(-0.5, classes), minor=True)
        axes.set_yticks(np.arange(-0.5, classes), minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
