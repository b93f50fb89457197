"""How good the predictions are: by class, where they are wrong, and for one image."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from pipeline.figures.data import pictures, short
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, bare, blank

MOST_BARS, TOP = 20, 10  # with more classes, the most probable ones
PICTURE, BAR, TOP_OF_PAGE = 64.0, 9.4, 56.0  # points: a mistake's image, the bar of a class, what is above them all
# name, marker, color, rows above (-) or below the class's line: all three are seen where they agree
MEASURES = (
    ("precision", "v", "#7fa6d6", -0.19),
    ("recall", "^", "#e0a26f", 0.19),
    ("F1", "o", INK, 0.0),
)


def class_report(confusion: np.ndarray, class_names: Sequence[str], split: str) -> Figure:
    """Precision, recall and F1 of each class that the split has images of, from its confusion matrix."""
    there = np.flatnonzero(confusion.sum(axis=1))
    names, right = short([class_names[place] for place in there], 18), confusion.diagonal()[there]
    support, taken = confusion.sum(axis=1)[there], confusion.sum(axis=0)[there]
    scores = 2 * right / (support + taken)
    values = np.stack([right / np.maximum(taken, 1), right / support, scores], axis=1)  # in the order of MEASURES
    worst, best = int(np.argmin(scores)), int(np.argmax(scores))
    weak, strong = short([class_names[there[worst]], class_names[there[best]]], 14)
    absent = len(class_names) - len(there)
    classes = len(there)
    figure = blank(
        10,
        max(1.5 + classes * (0.34 if classes <= 20 else 0.2), 2.8),
        f"Precision, recall and F1 by class, {split} split",
        f"F1 from {scores[worst]:.3f} ({weak}) to {scores[best]:.3f} ({strong}), mean {np.mean(scores):.3f}, dotted. "
        "Precision: share of the class in what is taken for it; recall: share of it found."
        + (f" {absent} of {len(class_names)} classes have no image here." if absent else ""),
    )
    axes = figure.subplots()
    places = np.arange(classes)
    axes.hlines(places, values.min(axis=1), values.max(axis=1), color="#d5dae0", linewidth=2.5, zorder=1)
    for (label, marker, color, shift), column in zip(MEASURES, values.T, strict=True):
        axes.scatter(column, places + shift, 36, color=color, marker=marker, label=label, zorder=3, clip_on=False)
    axes.axvline(np.mean(scores), color=FAINT, linewidth=0.9, linestyle=":", zorder=0)
    lowest = float(values.min())
    room = max(1 - lowest, 0.01)
    axes.set_xlim(max(0.0, lowest - 0.06 * room), 1 + 0.01 * room)
    axes.set_ylim(classes - 0.4, -0.6)
    size = 9.5 if classes <= 20 else 8
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.grid(color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for x, header in ((1.04, "F1"), (1.12, "images")):
        axes.text(x, 1, header, transform=axes.transAxes, ha="center", va="bottom", fontsize=size, color=FAINT)
    for place, (score, count) in enumerate(zip(scores, support, strict=True)):
        across = axes.get_yaxis_transform()
        style = {"transform": across, "ha": "center", "va": "center", "fontsize": size}
        axes.text(1.04, place, f"{score:.3f}", color=INK, **style)
        axes.text(1.12, place, f"{count:,.0f}", color=FAINT, **style)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    split: str,
    count: int = 12,
) -> Figure:
    """The surest of the wrong predictions. A whole split: images (n, height, width, channels), labels (n,)."""
    predicted, names = probabilities.argmax(axis=1), short(class_names, 16)
    wrong = np.flatnonzero(predicted != labels)
    shown = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:count]]
    title = f"The surest mistakes, {split} split"
    if not len(shown):
        return _nothing(
            title,
            f"0 of {len(labels):,} images are misclassified",
            "No mistakes: every prediction is right.",
        )
    columns = 4 if max(map(len, names)) <= 4 else 3
    rows, bars = math.ceil(len(shown) / columns), len(_chosen(probabilities[0], 0))
    row = max(126.0, BAR * bars + 32)  # points, as all lengths on this page
    which = f", the {len(shown)} surest of them here" if len(shown) < len(wrong) else ""
    figure = blank(
        10,
        (TOP_OF_PAGE + rows * row) / 72,
        title,
        f"{len(wrong):,} of {len(labels):,} images are misclassified{which}. "
        f"Bars: the probability of {'each class' if bars == len(names) else f'{bars} classes'}; "
        "blue: the true one, orange: the predicted one.",
    )
    page = _page(figure)
    left = PICTURE + 14 + 4.3 * max(map(len, names))
    for number, (index, picture) in enumerate(zip(shown, pictures(images[shown]), strict=True)):
        x, y = 11 + number % columns * 702 / columns, TOP_OF_PAGE + number // columns * row + 20
        page.imshow(picture, extent=(x, x + PICTURE, y + PICTURE, y), aspect="auto")
        style = {"fontsize": 7.5, "fontweight": "bold", "va": "bottom"}
        page.text(x, y - 12, names[labels[index]], color=TRAINING, **style)
        page.text(x, y - 2, f"→ {names[predicted[index]]}", color=VALIDATION, **style)
        style = {"fontsize": 6.5, "ha": "center", "va": "top"}
        page.text(x + PICTURE / 2, y + PICTURE + 4, f"image {index}", color=FAINT, **style)
        width = 702 / columns - left - 32
        _bars(page, (x + left, y, width, BAR), probabilities[index], names, int(labels[index]), 6.5)
    page.set(xlim=(0, 720), ylim=(TOP_OF_PAGE + rows * row, 0))
    return figure


def _page(figure: Figure) -> Axes:
    """All of a figure as one drawing: many small axes would take several times as long."""
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return axes


def sample_probabilities(
    image: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], label: int
) -> Figure:
    """One image (height, width, channels) and the probability of each class (classes,)."""
    names, predicted = short(class_names), int(probabilities.argmax())
    bars = len(_chosen(probabilities, label))
    which = "each class" if bars == len(names) else f"the {bars} most probable of {len(names)} classes"
    verdict, colors = f"{names[label]}, taken for {names[predicted]}", "blue: the true one, orange: the predicted one"
    if predicted == label:
        verdict, colors = f"{names[label]}, recognized", "blue: the true one, which is predicted"
    figure = blank(10, max(1.2 + 0.28 * bars, 3.4), f"One image: {verdict}", f"the probability of {which}; {colors}.")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.7])
    left.imshow(pictures(image[None])[0])
    bare(left)
    _bars(right, (0, -0.5, 1, 1), probabilities, names, label, 9.5, digits=3)
    right.set(xlim=(0, 1.08), ylim=(bars - 0.4, -0.6), yticks=[])
    right.spines[["top", "right", "bottom", "left"]].set_visible(False)
    right.set_xticks([0, 0.25, 0.5, 0.75, 1])
    right.tick_params(axis="x", length=0, labelsize=8.5, labelcolor=FAINT)
    right.grid(axis="x", color="#eceff2", linewidth=0.8)
    right.set_axisbelow(True)
    return figure


def _bars(
    axes: Axes,
    box: tuple[float, float, float, float],
    probabilities: np.ndarray,
    names: Sequence[str],
    label: int,
    size: float,
    digits: int = 2,
) -> None:
    """Probabilities by class, from above; the true class and the predicted one in colors and numbers.

    box: the left upper corner, the length of 1, and the height of a class, in the units of axes.
    """
    left, top, width, height = box
    chosen, predicted = _chosen(probabilities, label), int(probabilities.argmax())
    colors = {predicted: VALIDATION, label: TRAINING}  # a right one is blue
    places = top + height * (np.arange(len(chosen)) + 0.5)
    lengths = width * probabilities[chosen]
    across, half = np.stack([np.full_like(lengths, left), left + lengths]), 0.39 * height
    corners = np.stack([across[[0, 1, 1, 0]], places + half * np.array([[-1], [-1], [1], [1]])], axis=-1)
    shades = [colors.get(number, "#b9c0c8") for number in chosen]
    axes.add_collection(PolyCollection(corners.transpose(1, 0, 2), facecolors=shades), autolim=False)
    axes.vlines(left, top, top + height * len(chosen), color="#c8ced6", linewidth=0.8)
    for place, length, number in zip(places, lengths, chosen, strict=True):
        style = {"va": "center", "fontsize": size, "color": colors.get(number, FAINT)}
        weight = "bold" if number in colors else "normal"
        axes.text(left - 0.015 * width, place, names[number], ha="right", fontweight=weight, **style)
        if digits > 2 or number in colors:
            axes.text(left + length, place, f" {probabilities[number]:.{digits}f}", **style)


def _chosen(probabilities: np.ndarray, label: int) -> list[int]:
    """Which classes get a bar: all, in order; of more than 20 the ten most probable ones, and the true one."""
    if len(probabilities) <= MOST_BARS:
        return list(range(len(probabilities)))
    order = [int(number) for number in np.argsort(-probabilities, kind="stable")[:TOP]]
    return order if label in order else [*order[:-1], label]


def _nothing(title: str, subtitle: str, reason: str) -> Figure:
    figure = blank(10, 2.2, title, f"{subtitle}.")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, ha="center", va="center", fontsize=11, color=FAINT)
    return figure
