"""The confusion matrix for the charts of MLflow, where runs stand side by side. matplotlib would take 0.2 s a run."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from pipeline.figures import fonts
from pipeline.figures.confusion import MOST_LABELLED, STRETCH
from pipeline.figures.style import INK

SIDE = 512
TEXT = 18  # pixels: read at half the size too
LONGEST_NAME = 14


def confusion_image(counts: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """Counts as text, each row's shares as color: 512 pixels wide and high."""
    classes = len(class_names)
    labels = _labels(class_names)
    is_crowded = 12 < classes <= MOST_LABELLED
    upright = classes > MOST_LABELLED or max(map(len, labels.values())) <= (1 if is_crowded else 3)
    font = ImageFont.truetype(fonts.file("".join(labels.values())), 11 if is_crowded else TEXT)
    widest = round(max(map(font.getlength, labels.values())))
    left, below = widest + TEXT + 14, (font.size if upright else round(0.72 * widest) + 6) + TEXT + 14
    side = SIDE - max(left, below) - 4
    left, top = SIDE - side - 4, 4

    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(canvas)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    canvas.paste(_colors(shares, side), (left, top))
    edges = np.linspace(0, side, classes + 1).round().astype(int)
    centers = (edges[:-1] + edges[1:]) // 2
    if classes <= MOST_LABELLED:
        _write_counts(draw, counts, shares, centers + left, centers + top)
        for edge in edges[1:-1]:
            draw.line([(left + edge, top), (left + edge, top + side)], "white")
            draw.line([(left, top + edge), (left + side, top + edge)], "white")
    for number, label in labels.items():
        draw.text((left - 6, top + centers[number]), label, INK, font, anchor="rm")
        if upright:
            draw.text((left + centers[number], top + side + 6), label, INK, font, anchor="mt")
        else:
            _write_slanted(canvas, label, font, left + centers[number] + 4, top + side + 4)
    draw.text((left + side // 2, SIDE - 3), "predicted", INK, _font(TEXT), anchor="mb")
    _write_sideways(canvas, "true", top + side // 2)
    return canvas


def _labels(class_names: Sequence[str]) -> dict[int, str]:
    """Of the classes that bear one: all, or where there are too many, some by their numbers."""
    classes = len(class_names)
    if classes > MOST_LABELLED:
        step = 10 ** (len(str(classes - 1)) - 1)
        return {number: str(number) for number in range(0, classes, step)}
    short = (name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in class_names)
    return dict(enumerate(short))


def _colors(shares: np.ndarray, side: int) -> Image.Image:
    small = Image.fromarray(colormaps["Blues"](shares**STRETCH, bytes=True)[..., :3])
    return small.resize((side, side), Image.Resampling.NEAREST if len(shares) <= side else Image.Resampling.BOX)


def _write_counts(
    draw: ImageDraw.ImageDraw, counts: np.ndarray, shares: np.ndarray, across: np.ndarray, down: np.ndarray
) -> None:
    room = across[1] - across[0] if len(across) > 1 else SIDE
    size = max(6, min(TEXT, int(room / (0.7 * len(str(counts.max()))))))  # bold digits are 0.7 wide
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.25 else INK
        font = _font(size, bold=bool(row == column))
        draw.text((across[column], down[row]), str(counts[row, column]), color, font, anchor="mm")


def _write_slanted(canvas: Image.Image, text: str, font: ImageFont.FreeTypeFont, right: int, top: int) -> None:
    """Upwards to its end."""
    mask = _mask(text, font).rotate(45, Image.Resampling.BICUBIC, expand=True)
    canvas.paste(INK, (right - mask.width, top), mask)


def _write_sideways(canvas: Image.Image, text: str, middle: int) -> None:
    mask = _mask(text, _font(TEXT)).transpose(Image.Transpose.ROTATE_90)
    canvas.paste(INK, (2, middle - mask.height // 2), mask)


def _mask(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    mask = Image.new("L", (round(font.getlength(text)) + 2, round(1.2 * font.size)))
    ImageDraw.Draw(mask).text((1, mask.height // 2), text, 255, font, anchor="lm")
    return mask


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """That of the figures, which matplotlib brings."""
    return ImageFont.truetype(fonts.OWN.replace(".ttf", "-Bold.ttf") if bold else fonts.OWN, size)
