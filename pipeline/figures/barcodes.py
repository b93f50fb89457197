"""Barcodes: each image as the row of values that global average pooling leaves of it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.figures.data import short
from pipeline.figures.kernels import DIVERGING
from pipeline.figures.style import FAINT, INK, bare, blank

MOST_CLASSES = 20


def barcodes(
    codes: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    within: float,
    between: float,
    per_class: int = 10,
) -> Figure:
    """codes (n, maps) with labels (n,): the average on top; below, by class, how single images differ from it.

    within and between: the mean distance of two barcodes of one class, and of two classes.
    """
    average = codes.mean(axis=0)
    names = short(class_names[:MOST_CLASSES])
    blocks = [codes[labels == number][:per_class] - average for number in range(len(names))]
    present = [(name, block) for name, block in zip(names, blocks, strict=True) if len(block)]
    gap = np.full((max(1, per_class // 6), codes.shape[1]), np.nan)
    sheet = np.concatenate([part for _, block in present for part in (block, gap)][:-1])
    starts = np.cumsum([0] + [len(block) + len(gap) for _, block in present[:-1]])

    which = "" if len(names) == len(class_names) else f" the first {len(names)} of {len(class_names)} classes;"
    height = min(max(0.055 * len(sheet), 2.0), 11.0)
    figure = blank(
        10,
        height + 1.9,
        f"Barcodes: {codes.shape[1]} values for each image",
        f"{_distances(within, between)} ({len(codes):,} images);{which} {per_class} of each class below.",
    )
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[0.45, height])
    low = min(0.0, float(average.min()))
    top.imshow(average[None], cmap="gray_r", aspect="auto", interpolation="nearest", vmin=low)
    bare(top)
    top.set_yticks([0], ["average of all"])
    limit = float(np.nanpercentile(np.abs(sheet), 99.5)) or 1.0  # single values may stand far out
    image = below.imshow(sheet, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    bare(below)
    middles = [start + (len(block) - 1) / 2 for start, (_, block) in zip(starts, present, strict=True)]
    below.set_yticks(middles, [name for name, _ in present])
    every = max(1, round(codes.shape[1] / 100) * 10 or 5)
    below.set_xticks(range(0, codes.shape[1], every))
    below.set_xlabel("feature map", color=INK)
    for axes in (top, below):
        axes.tick_params(length=0, labelsize=9)
    below.tick_params(axis="x", labelcolor=FAINT, labelbottom=True)
    bar = figure.colorbar(image, ax=[top, below], shrink=0.6, pad=0.015, aspect=35, extend="both")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label("difference from the average", color=INK, fontsize=9)
    return figure


def _distances(within: float, between: float) -> str:
    """How far barcodes are apart, in words; NaN where there are no two of one class, or of two."""
    known = [(distance, name) for distance, name in ((within, "within a class"), (between, "between classes"))]
    words = ", ".join(f"{distance:.3g} {name}" for distance, name in known if np.isfinite(distance))
    ratio = f", {between / within:.1f} times as far apart" if within > 0 and np.isfinite(between) else ""
    return f"mean Euclidean distance of two barcodes: {words or 'unknown'}{ratio}"
