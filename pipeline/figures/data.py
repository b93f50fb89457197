"""What the images are: samples of each class, how many there are, one as its numbers, one through single kernels."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.ticker import StrMethodFormatter

from pipeline.figures.kernels import DIVERGING
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, bare, blank, plain, tile

MOST_CLASSES = 20
MOST_PIXELS = 112  # a side, of a picture among many
MOST_CELLS = 32  # a side, where each pixel's number is written
SPLITS = (TRAINING, VALIDATION, "#7d8791")
CHARACTER = 0.075  # inches: a letter of a tick label, at most


def samples(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], per_class: int = 10) -> Figure:
    """A row per class with its first images (n, height, width, channels), grey or RGB; labels (n,)."""
    names = short(class_names[:MOST_CLASSES])
    picks = [np.flatnonzero(labels == number)[:per_class] for number in range(len(names))]
    rows, columns = len(names), max(1, *map(len, picks))
    some = pictures(images[np.concatenate(picks)])
    sheet = np.full((rows * columns, *some.shape[1:]), np.nan, np.float32)
    sheet[np.concatenate([row * columns + np.arange(len(pick)) for row, pick in enumerate(picks)])] = some

    shape, (height, width) = images.shape[1:], some.shape[1:3]
    side = min(8.4 / columns, 13 / rows * width / height, 1.1)  # inches: the width of a picture
    which = "every class" if rows == len(class_names) else f"the first {rows} of {len(class_names)} classes"
    figure = blank(
        max(side * columns + max(map(len, names)) * CHARACTER + 0.7, 7),
        side * rows * height / width + 1.0,
        "Samples",
        f"the first {columns} images of {which}, in the order of the data; {shape[0]}x{shape[1]} pixels, "
        f"{'grey' if shape[2] == 1 else 'in color'}.",
    )
    figure.set_layout_engine("compressed", w_pad=0.1, h_pad=0.12)  # the pictures keep their shape
    axes = figure.subplots()
    gap = max(1, round(height / 16))
    tiled = np.stack([tile(sheet[..., color], rows, columns, gap) for color in range(3)], axis=-1)
    axes.imshow(np.nan_to_num(tiled, nan=1.0))
    bare(axes)
    axes.set_yticks([row * (height + gap) + (height - 1) / 2 for row in range(rows)], names)
    axes.tick_params(length=0, labelsize=10)
    return figure


def class_counts(counts: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """Split name -> (classes,) how many images each class has in it, as bars side by side."""
    names, classes = short(class_names, 18), len(class_names)
    (first, of_first), *_ = counts.items()
    shares = of_first / max(of_first.sum(), 1)
    least, most = int(shares.argmin()), int(shares.argmax())
    rare, common = short([class_names[least], class_names[most]], 14)
    spread = (
        f"the smallest class, {rare}, has {_percent(shares[least])} of the {first} images, the largest, {common}, has "
        f"{_percent(shares[most])}; dotted: where all would be equal, {_percent(1 / classes)}."
    )
    if shares[least] == shares[most]:
        spread = f"every class has the same share of the {first} images, {_percent(1 / classes)}."
    figure = blank(
        10,
        4.4,
        "Images of each class",
        spread,
    )
    axes = figure.subplots()
    width = 0.84 / len(counts)
    for number, (split, values) in enumerate(counts.items()):
        color = SPLITS[number % len(SPLITS)]
        places = np.arange(classes) + (number - (len(counts) - 1) / 2) * width
        bars = axes.bar(places, values, 0.94 * width, color=color, label=f"{split} ({int(values.sum()):,})")
        axes.axhline(values.mean(), color=color, linewidth=0.9, linestyle=":")
        room = 9 * width / classes  # inches
        texts = [f"{value:,.0f}" for value in values]
        if room > 0.11:
            style = {"rotation": 0 if max(map(len, texts)) * 0.065 < room else 90, "fontsize": 7, "color": INK}
            style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
            axes.bar_label(bars, texts, padding=2.5, **style)
            axes.margins(y=0.12)
    _name_x(axes, names, 9.0)
    axes.set_xlim(-0.6, classes - 0.4)
    axes.set_ylabel("images", color=INK)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(counts), frameon=False, fontsize=9)
    return figure


def pixel_matrix(image: np.ndarray, class_name: str) -> Figure:
    """One image (height, width, channels) as its matrix of numbers, each on its pixel's own grey."""
    full, channels = image.shape[:2], image.shape[2]
    top, left = (max(0, (side - MOST_CELLS) // 2) for side in full)
    values = image.mean(axis=-1)[top : top + MOST_CELLS, left : left + MOST_CELLS]
    low, high = min(float(values.min()), 0.0), float(values.max())
    decimals = 0 if high - low > 20 or (values == values.round()).all() else 2
    height, width = values.shape
    cut = "" if (height, width) == full else f", of which these are the central {height}x{width}"
    mean = "" if channels == 1 else f" (the mean of {channels} channels)"
    cell = min(9.2 / width, 0.6)  # inches
    figure = blank(
        max(cell * width + 0.6, 6),
        cell * height + 1.1,
        f"One image of class {short([class_name])[0]} as its numbers",
        f"{full[0]}x{full[1]} pixels{cut}. Each number is a pixel's value{mean}, "
        f"from {low:.{decimals}f} (black) to {high:.{decimals}f} (white).",
    )
    axes = figure.subplots()
    grey = Normalize(low, max(high, low + 1e-6))
    axes.imshow(values, cmap="gray", norm=grey, interpolation="nearest")
    texts = [[f"{value:.{decimals}f}" if value else "0" for value in row] for row in values]
    longest = max(len(text) for row in texts for text in row)
    size = min(72 * cell / (0.76 * max(longest, 3)), 12)  # points
    for (row, column), value in np.ndenumerate(values):
        # on black, the many zeros stand back
        color = INK if grey(value) > 0.5 else "white" if value else "#70777f"
        text = axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=color)
        text.set_in_layout(False)  # a thousand of them take seconds to measure
    bare(axes)
    axes.set_xticks(range(0, width, 4), [str(left + place) for place in range(0, width, 4)])
    axes.set_yticks(range(0, height, 4), [str(top + place) for place in range(0, height, 4)])
    axes.tick_params(length=0, labelsize=8, labelcolor=FAINT)
    return figure


def filtered(image: np.ndarray, kernels: np.ndarray, maps: np.ndarray, names: Sequence[str]) -> Figure:
    """One digit (height, width) and what each of the kernels (n, k, k) makes of it, maps (n, height, width).

    The last kernel, edge detection, is set apart from the others, random ones.
    """
    names, others = short(names), len(kernels) - 1
    rows = max(1, math.ceil(others / 5))
    columns = max(1, math.ceil(others / rows))
    figure = blank(
        10,
        max(3.2, 0.84 + 1.73 * rows),
        "What a kernel makes of an image",
        "random kernels blur the digit, edge detection finds its outline. Kernels: red positive, blue negative; "
        "below each its map, from black, the lowest value, to white.",
    )
    left, middle, right = figure.add_gridspec(1, 3, width_ratios=[1.7, columns, 1.7], wspace=0.06)
    only = figure.add_subplot(left)
    only.imshow(image, cmap="gray", interpolation="nearest")
    only.set_title("the image", fontsize=9, color=INK)
    bare(only)
    grid = GridSpecFromSubplotSpec(rows, columns, middle)
    for number, cell in zip(range(others), grid, strict=False):
        _answer(figure, cell, kernels[number], maps[number], names[number])
    _answer(figure, right, kernels[-1], maps[-1], names[-1], written=True)
    return figure


def _answer(
    figure: Figure, place: SubplotSpec, kernel: np.ndarray, answer: np.ndarray, name: str, written: bool = False
) -> None:
    """A small kernel, its numbers written where they are to be read, above its map."""
    above, below = (figure.add_subplot(part) for part in place.subgridspec(2, 1, height_ratios=[1, 2.4]))
    limit = float(np.abs(kernel).max()) or 1.0
    above.imshow(kernel, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
    below.imshow(answer, cmap="gray", interpolation="nearest")
    for axes, anchor in ((above, "S"), (below, "N")):
        axes.set_anchor(anchor)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(color="#c8ced6", linewidth=0.6)
    above.set_title(name, fontsize=9 if written else 7.5, color=INK, pad=3)
    if written:
        for (row, column), value in np.ndenumerate(kernel):
            color = "white" if abs(value) > 0.6 * limit else INK
            above.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8, color=color)


def pictures(images: np.ndarray) -> np.ndarray:
    """(n, height, width, channels), grey or RGB, any numbers -> RGB from 0 to 1, all on one scale.

    Large images are averaged down to what can be seen of them on a figure.
    """
    factor = math.ceil(max(images.shape[1:3]) / MOST_PIXELS)
    if factor > 1:
        images = np.pad(images, [(0, 0), *((0, -side % factor) for side in images.shape[1:3]), (0, 0)], mode="edge")
        count, height, width, channels = images.shape
        images = images.reshape(count, height // factor, factor, width // factor, factor, channels)
        images = images.mean(axis=(2, 4), dtype=np.float32)
    low, high = min(float(images.min()), 0.0), float(images.max())
    scaled = ((images - low) / max(high - low, 1e-6)).astype(np.float32)
    return scaled.repeat(3, axis=-1) if scaled.shape[-1] == 1 else scaled


def short(names: Sequence[str], longest: int = 22) -> list[str]:
    """Names for labels. A very long one is cut in the middle, as names often differ at their ends."""
    half = longest // 2
    return plain([name if len(name) <= longest else f"{name[: half - 1]}…{name[half - longest :]}" for name in names])


def _name_x(axes: Axes, names: Sequence[str], inches: float) -> None:
    """Names along an x axis of this length, turned where they would touch."""
    room, longest = inches / len(names), max(map(len, names)) * CHARACTER
    turned = 0 if longest < 0.9 * room else 40 if room > 0.3 else 90
    style = {"rotation": turned, "rotation_mode": "anchor", "ha": "right"} if turned else {}
    if turned == 90:
        style["va"] = "center"
    axes.set_xticks(range(len(names)), names, fontsize=10 if room > 0.3 else 8, **style)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.01 or not share else f"{100 * share:.1g} %"
