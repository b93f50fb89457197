"""What each layer makes of an image."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pipeline.figures.data import pictures
from pipeline.figures.style import FAINT, axes_at, bare, blank, color_bar, plain, tile

MOST_MAPS = 16
MOST_CLASSES = 20
CELL = 0.62  # inches, of a row


def feature_maps(images: np.ndarray, maps: np.ndarray, class_names: Sequence[str], layer: str, split: str) -> Figure:
    """A row for each image (height, width, channels) of the split: the image, the layer's maps (n, h, w, maps) for it.

    Where a layer has more maps than fit, those with the highest mean activation are shown.
    """
    images, maps, class_names = images[:MOST_CLASSES], maps[:MOST_CLASSES], plain(class_names[:MOST_CLASSES])
    total = maps.shape[-1]
    shown = np.sort(np.argsort(maps.mean(axis=(0, 1, 2)))[::-1][:MOST_MAPS])
    rows, columns = len(images), len(shown)
    which = f"the {columns} most active of {total} maps" if columns < total else f"all {total} maps"
    height, width = maps.shape[1:3]
    gap = max(1, round(height / 12))
    sheet = tile(maps[..., shown].transpose(0, 3, 1, 2).reshape(-1, height, width), rows, columns, gap)
    small = pictures(images)
    channels = [tile(small[..., color], rows, 1, gap=2) for color in range(3)]
    digits = np.nan_to_num(np.stack(channels, axis=-1), nan=1.0)
    tall = CELL * rows  # inches
    before, wide = 0.3 + 0.075 * max(map(len, class_names)), tall * sheet.shape[1] / sheet.shape[0]
    between = before + tall * digits.shape[1] / digits.shape[0] + 0.12
    figure = blank(
        max(between + wide + 0.85, 6.6),
        1.05 + tall,
        f"Feature maps of {layer}",
        f"{which}, each {maps.shape[1]}x{maps.shape[2]}; {rows} images of the {split} split; one color scale.",
    )
    left = axes_at(figure, before, 0.9, between - before - 0.12, tall)
    left.imshow(digits, interpolation="nearest", aspect="auto")
    bare(left)
    side = small.shape[1]
    left.set_yticks([row * (side + 2) + side / 2 for row in range(rows)], class_names)
    left.tick_params(length=0, labelsize=9)

    lowest, highest = float(min(maps.min(), 0.0)), float(np.percentile(maps[..., shown], 99.8)) or 1.0
    colors = ScalarMappable(Normalize(lowest, max(highest, lowest + 1e-6)), "magma")
    right = axes_at(figure, between, 0.9, wide, tall)
    # colored before it is enlarged, not after: 50 MB at most for ten images in place of 88
    right.imshow(colors.to_rgba(sheet, bytes=True), interpolation="nearest", aspect="auto")
    bare(right)
    right.set_xticks([column * (width + gap) + width / 2 - 0.5 for column in range(columns)], [str(n) for n in shown])
    right.xaxis.tick_top()
    right.tick_params(length=0, labelsize=8, labelcolor=FAINT)
    color_bar(figure, colors, cax=axes_at(figure, between + wide + 0.15, 0.9 + 0.2 * tall, 0.13, 0.6 * tall))
    return figure
