"""What the figures share: colors, a blank figure, and many small images laid out as one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from pipeline.figures import fonts

INK, FAINT = "#22262b", "#8a929c"
TRAINING, VALIDATION = "#2f6fbb", "#d2691e"
DPI = 120


def blank(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """An empty figure of width x height inches with a bold title and a fainter line below it."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08, wspace=0, hspace=0)
    # the line break keeps a row free for the subtitle
    heading = f"{title}\n" if subtitle else title
    figure.suptitle(heading, x=0.015, ha="left", fontsize=12, fontweight="bold", color=INK)
    if subtitle:
        figure.text(0.015, 1 - 0.40 / height, subtitle, ha="left", va="top", fontsize=8.5, color=FAINT)
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes in inches from the upper left corner: where all sizes are known, nothing has to be measured."""
    figure.set_layout_engine("none")
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def color_bar(figure: Figure, colors: ScalarMappable, **place: Any) -> None:
    """place: as Figure.colorbar takes it, axes of its own or beside others."""
    bar = figure.colorbar(colors, **place)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)


def grid_shape(count: int) -> tuple[int, int]:
    """(rows, columns) of the squarest grid for `count` images."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def tile(images: np.ndarray, rows: int, columns: int, gap: int = 1) -> np.ndarray:
    """(n, height, width) -> one image, row by row, with NaN between the tiles and where there are none."""
    height, width = images.shape[1:]
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, np.float32)
    for number, image in enumerate(images[: rows * columns]):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def plain(names: Sequence[str]) -> list[str]:
    """A person's names as they are: between two dollar signs, matplotlib would read a formula."""
    fonts.cover("".join(names))
    return [name.replace("$", r"\$") for name in names]


def bare(axes: Axes) -> None:
    """No frame, no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def label_tiles(axes: Axes, labels: Sequence[str], columns: int, height: int, width: int, gap: int) -> None:
    """A label above each tile of a sheet that is shown on axes."""
    for number, label in enumerate(labels):
        x = (number % columns) * (width + gap) + (width - 1) / 2
        y = (number // columns) * (height + gap) - 0.5 - gap * 0.15
        axes.text(x, y, label, ha="center", va="bottom", fontsize=7, color=INK)
