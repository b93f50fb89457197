"""Convolution kernels and weight maps as images: red positive, blue negative, white zero."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from pipeline.figures.style import INK, axes_at, bare, blank, color_bar, grid_shape, label_tiles, plain, tile

DIVERGING = "RdBu_r"
MOST_SHOWN = 256
WHITE = 255  # in a palette, between the kernels
MOST_PAIRS = 100
BESIDE = {"shrink": 0.6, "pad": 0.02}  # where a color bar stands


def kernel_images(kernels: np.ndarray, layer: str) -> Figure:
    """Every kernel of a layer (height, width, channels in, kernels) in one square mosaic, numbered from 0."""
    images = flat_kernels(kernels)
    height, width, inputs, count = kernels.shape
    what = (
        f"{height}x{width}"
        if inputs == 1
        else f"{height}x{width}; of the {inputs} input channels, each kernel's strongest"
    )
    limit = float(np.abs(images).max())
    labels = [str(number) for number in range(count)]
    return _sheet(images, labels, grid_shape(count), limit, f"Kernels of {layer}", f"{count} kernels of {what}")


def weight_maps(maps: np.ndarray, layer: str, names: Sequence[str] | None = None) -> Figure:
    """(units, height, width, channels): the weight of each pixel for each unit; channels are averaged."""
    labels = plain(names) if names is not None else [str(number) for number in range(len(maps))]
    images = maps.mean(axis=-1)
    limit = float(np.percentile(np.abs(images), 99.8))  # single pixels may stand far out
    rows, columns = (2, 5) if len(images) == 10 else grid_shape(len(images))
    subtitle = "what speaks for a unit is red, what speaks against it blue"
    return _sheet(images, labels, (rows, columns), limit, f"Weight maps of {layer}", subtitle)


def kernels_before_after(before: np.ndarray, after: np.ndarray, layer: str) -> Figure:
    """Each kernel as it was before training and as it is after; both (height, width, channels in, kernels)."""
    height, width, inputs, total = after.shape
    start, moved = (np.sqrt(np.square(array).sum(axis=(0, 1, 2))) for array in (before, after - before))
    changes = np.divide(moved, start, out=np.full(total, np.nan), where=start > 0)
    count = min(total, MOST_PAIRS)
    which = f"{total} kernels" if count == total else f"the first {count} of {total} kernels"
    deep = "" if inputs == 1 else f", of {inputs} input channels each one's strongest after training"
    words = ""
    if np.isfinite(changes).any():
        words = f". A kernel changed by {100 * np.nanmean(changes):.0f} % of its norm on average"
    rows, columns = grid_shape(count)
    side = max(4.5, 0.52 * columns)
    gap = max(1, round(0.3 * height))
    figure = blank(
        2 * side + 1.0,
        side * rows * (height + gap) / (columns * (width + gap)) + 1.2,
        f"Kernels of {layer} before and after training",
        f"{which} of {height}x{width}{deep}{words}; one color scale.",
    )
    pair = [images[:count] for images in (flat_kernels(before, like=after), flat_kernels(after))]
    limit = max(float(np.abs(images).max()) for images in pair) or 1.0
    numbers = [str(number) for number in range(count)]
    roomy = columns <= 8 and np.isfinite(changes).all()
    changed = [f"{number}: {100 * change:.0f} %" for number, change in zip(numbers, changes, strict=False)]
    figure.get_layout_engine().set(wspace=0.12)
    both = figure.subplots(1, 2)
    titles = ("before", f"after{', with the change of each' if roomy else ''}")
    for axes, images, labels, title in zip(both, pair, (numbers, changed if roomy else numbers), titles, strict=True):
        sheet = tile(images, rows, columns, gap)
        image = axes.imshow(sheet, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
        label_tiles(axes, labels, columns, height, width, gap)
        axes.set_title(title, fontsize=10, color=INK, pad=16)
        bare(axes)
    color_bar(figure, image, ax=list(both), **BESIDE)
    return figure


def weight_matrix(weights: np.ndarray, layer: str, names: Sequence[str] | None = None) -> Figure:
    """A dense layer's weights (inputs, units): a row for each unit, with its name if it has one."""
    inputs, units = weights.shape
    limit = float(np.percentile(np.abs(weights), 99.8)) or 1.0  # single weights may stand far out
    figure = blank(
        10,
        min(max(1.5 + 0.3 * units, 3.0), 7.0 if names is None else 10.0),
        f"Weights of {layer}",
        f"{inputs} inputs to {units} units: red speaks for a unit, blue against it; "
        f"the largest weight has the size {np.abs(weights).max():.3g}.",
    )
    axes = figure.subplots()
    image = axes.imshow(weights.T, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    if names is not None:
        axes.set_yticks(range(units), plain(names), fontsize=9 if units <= 26 else 8)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(20, integer=True))
    axes.set_xlabel("input", color=INK)
    axes.set_ylabel("unit", color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelsize=9)
    color_bar(figure, image, ax=axes, **BESIDE)
    return figure


def flat_kernels(kernels: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """(height, width, channels in, kernels) -> (kernels, height, width): each kernel's channel of the largest norm.

    With `like`, the channels are those that would be taken of it.
    """
    strongest = np.square(kernels if like is None else like).sum(axis=(0, 1)).argmax(axis=0)
    return kernels[:, :, strongest, np.arange(kernels.shape[-1])].transpose(2, 0, 1)


def kernel_mosaic(kernels: np.ndarray, side: int = 512) -> Image.Image:
    """The same mosaic as a square of at least `side` pixels, in a palette: quickly made and saved, for every epoch."""
    images = flat_kernels(kernels)
    limit = float(np.abs(images).max()) or 1.0
    sheet = tile(images, *grid_shape(len(images)))
    shades = np.nan_to_num((sheet + limit) / (2 * limit) * (WHITE - 1), nan=WHITE).round().astype(np.uint8)
    mosaic = Image.fromarray(shades)
    zoom = max(1, side // max(mosaic.size))
    mosaic = mosaic.resize((zoom * mosaic.width, zoom * mosaic.height), Image.Resampling.NEAREST)
    canvas = Image.new("L", (max(side, *mosaic.size),) * 2, WHITE)
    canvas.paste(mosaic, ((canvas.width - mosaic.width) // 2, (canvas.height - mosaic.height) // 2))
    canvas.putpalette(_palette())
    return canvas


@cache
def _palette() -> bytes:
    """A color for each shade below WHITE."""
    return colormaps[DIVERGING](np.linspace(0, 1, WHITE), bytes=True)[:, :3].tobytes() + bytes([255, 255, 255])


def _sheet(
    images: np.ndarray, labels: Sequence[str], grid: tuple[int, int], limit: float, title: str, subtitle: str
) -> Figure:
    """Many (n, height, width) images with one symmetric color scale around 0, from -limit to limit."""
    if len(images) > MOST_SHOWN:
        subtitle += f"; the first {MOST_SHOWN} of {len(images)}"
        images, labels, grid = images[:MOST_SHOWN], labels[:MOST_SHOWN], grid_shape(MOST_SHOWN)
    rows, columns = grid
    height, width = images.shape[1:]
    gap = max(1, round(0.3 * height))  # room for the numbers
    limit = limit or 1.0
    side = min(max(6.0, 0.75 * columns), 14.0)
    sheet = tile(images, rows, columns, gap)
    tall = side * sheet.shape[0] / sheet.shape[1]  # inches
    figure = blank(side + 1.0, tall + 1.05, title, f"{subtitle}.")
    axes = axes_at(figure, 0.15, 0.9, side, tall)
    image = axes.imshow(sheet, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto")
    label_tiles(axes, labels, columns, height, width, gap)
    bare(axes)
    color_bar(figure, image, cax=axes_at(figure, 0.3 + side, 0.9 + 0.2 * tall, 0.15, 0.6 * tall))
    return figure
