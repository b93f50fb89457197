"""What each layer makes of an image."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, bare, blank, plain, tile

MOST_MAPS = 16
MOST_CLASSES = 20


def feature_maps(images: np.ndarray, maps: np.ndarray, class_names: Sequence[str], layer: str, split: str) -> Figure:
    """A row for each image (height, width, channels) of the split: the image, the layer's maps (n, h, w, maps) for it.

    Where a layer has more maps than fit, those with the highest mean activation are shown.
    """
    images, maps, class_names = images[:MOST_CLASSES], maps[:MOST_CLASSES], plain(class_names[:MOST_CLASSES])
    total = maps.shape[-1]
    shown = np.sort(np.argsort(maps.mean(axis=(0, 1, 2)))[::-1][:MOST_MAPS])
    rows, columns = len(images), len(shown)
    which = f"the {columns} most active of {total} maps" if columns < total else f"all {total} maps"
    figure = blank(
        1.6 + 0.62 * (columns + 1),
        0.9 + 0.62 * rows,
        f"Feature maps of {layer}",
        f"{which}, each {maps.shape[1]}x{maps.shape[2]}; {rows} images of the {split} split; one color scale.",
    )
    figure.set_layout_engine("compressed", w_pad=0.04, h_pad=0.08, wspace=0)  # images keep their shape, side by side
    left, right = figure.subplots(1, 2, width_ratios=[1, columns])
    if images.shape[-1] == 1:
        left.imshow(tile(images[..., 0], rows, 1, gap=2), cmap="gray", interpolation="nearest")
    else:
        left.imshow(_tile_color(images), interpolation="nearest")
    pitch = images.shape[1] + 2
    bare(left)
    left.set_yticks([row * pitch + images.shape[1] / 2 for row in range(rows)], class_names)
    left.tick_params(length=0, labelsize=9)

    height, width = maps.shape[1:3]
    gap = max(1, round(height / 12))
    sheet = tile(maps[..., shown].transpose(0, 3, 1, 2).reshape(-1, height, width), rows, columns, gap)
    lowest, highest = float(min(maps.min(), 0.0)), float(np.percentile(maps[..., shown], 99.8)) or 1.0
    image = right.imshow(sheet, cmap="magma", vmin=lowest, vmax=max(highest, lowest + 1e-6), interpolation="nearest")
    bare(right)
    right.set_xticks([column * (width + gap) + width / 2 - 0.5 for column in range(columns)], [str(n) for n in shown])
    right.xaxis.tick_top()
    right.tick_params(length=0, labelsize=8, labelcolor=FAINT)
    bar = figure.colorbar(image, ax=right, shrink=0.6, pad=0.01)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    return figure


def _tile_color(images: np.ndarray) -> np.ndarray:
    """RGB images below each other as floats in [0, 1], white between them."""
    top = 255.0 if np.issubdtype(images.dtype, np.integer) else max(float(images.max()), 1e-6)
    sheets = [tile(images[..., channel] / top, len(images), 1, gap=2) for channel in range(3)]
    return np.clip(np.nan_to_num(np.stack(sheets, axis=-1), nan=1.0), 0, 1)
