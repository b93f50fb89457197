"""What a model makes of a person's own pictures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.data import short
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, bare, blank

MOST_PICTURES = 20
MOST_BARS = 5
UNSURE = 0.5


def predicted(
    originals: Sequence[np.ndarray],
    pixels: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    class_names: Sequence[str],
) -> Figure:
    """A row per picture: as it came (height, width, 3), as the model sees it, its class, the likeliest classes.

    pixels: (n, height, width, channels); probabilities: (n, classes). Of many pictures, the first are shown.
    """
    rows = min(len(originals), MOST_PICTURES)
    names, class_names = short(names, 26), short(class_names, 16)
    bars = min(len(class_names), MOST_BARS)
    which = f"the first {rows} of {len(originals)}" if rows < len(originals) else "each"
    what = "of all classes" if bars == len(class_names) else f"of the {bars} likeliest of {len(class_names)} classes"
    figure = blank(
        8.6,
        0.95 + 1.5 * rows,
        "Predictions",
        f"{which} as it came and as the model sees it, the class it is taken for, and the probabilities {what}.",
    )
    grid = figure.subplots(rows, 4, width_ratios=[1.25, 1, 0.9, 2], squeeze=False)
    lowest, highest = min(0.0, float(pixels.min())), float(pixels.max())
    for number, (left, middle, word, right) in enumerate(grid):
        left.imshow(originals[number], interpolation="antialiased")
        _seen(middle, pixels[number], lowest, highest)
        for axes, below in ((left, names[number]), (middle, "{}x{}".format(*pixels.shape[1:3]))):
            bare(axes)
            axes.spines[:].set(visible=True, color=FAINT, linewidth=0.5)  # white pictures end somewhere too
            axes.set_xlabel(below, fontsize=8, color=FAINT)
        order = np.argsort(probabilities[number])[::-1][:bars]
        _word(word, class_names[order[0]], float(probabilities[number, order[0]]))
        _bars(right, probabilities[number, order], [class_names[index] for index in order])
    return figure


def _seen(axes: Axes, image: np.ndarray, lowest: float, highest: float) -> None:
    """One image (height, width, channels) in grey or color, with a line around it."""
    if image.shape[-1] == 1:
        axes.imshow(image[..., 0], cmap="gray", vmin=lowest, vmax=highest, interpolation="nearest")
    else:
        axes.imshow((image - lowest) / ((highest - lowest) or 1), interpolation="nearest")


def _word(axes: Axes, name: str, probability: float) -> None:
    """The predicted class, large, with its probability below."""
    bare(axes)
    sure = probability >= UNSURE
    color, size = INK if sure else VALIDATION, 26 if len(name) <= 2 else 15 if len(name) <= 8 else 10
    axes.text(0.5, 0.58, name, ha="center", va="center", fontsize=size, fontweight="bold", color=color)
    below = _percent(probability) + ("" if sure else ", unsure")
    axes.text(0.5, 0.2, below, ha="center", va="center", fontsize=9, color=FAINT if sure else VALIDATION)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _bars(axes: Axes, probabilities: np.ndarray, names: Sequence[str]) -> None:
    """Probabilities (n,), the likeliest on top, each with its class on the left and its number on the right."""
    bare(axes)
    places = np.arange(len(names))
    colors = [TRAINING if probabilities[0] >= UNSURE else VALIDATION] + [FAINT] * (len(names) - 1)
    axes.barh(places, probabilities, color=colors, height=0.66)
    for place, probability in zip(places, probabilities, strict=True):
        color = FAINT if probability < 0.001 else INK
        axes.text(probability + 0.02, place, _percent(probability), va="center", fontsize=8, color=color)
    axes.set_yticks(places, names)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    axes.set(xlim=(0, 1.22), ylim=(len(names) - 0.5, -0.5))


def _percent(probability: float) -> str:
    """Never more certain than it is."""
    if probability < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if probability > 0.999 else f"{100 * probability:.1f} %"
