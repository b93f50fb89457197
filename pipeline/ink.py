"""What is drawn on paper: found in a photograph of it, whatever the light, and brought to another size."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy import ndimage

SAME = 0.05  # of the range of pixel values: what differs less from the background is background
LOWEST_CONTRAST = 0.08  # of black on white; pencil has 0.2, creases in the paper less than 0.05
TOO_THIN = 0.5  # of the usual stroke: hardly any training image has such thin ones


@dataclass(frozen=True)
class Ink:
    """strength: (height, width) from 0, paper, to 1. dark: on light, or not. at_border: its share of the edge."""

    strength: np.ndarray
    dark: bool
    faint: bool
    at_border: float
    uneven_light: bool = False


def find(rgb: np.ndarray) -> Ink | None:
    """What is drawn in a picture (height, width, 3) from 0 to 1, or None where nothing is."""
    border = outermost(rgb)
    brightness = ndimage.median_filter(border.mean(axis=-1), max(1, len(border) // 64))  # without the texture
    everywhere = np.full(len(border), True)
    if np.ptp(brightness) <= SAME:
        return _against(np.median(border, axis=0), rgb, everywhere)
    over = brightness > _otsu(brightness)
    most = over if over.mean() > 0.5 else ~over  # the rest is ink that reaches the border, or shadow
    flat = _against(np.median(border[most], axis=0), rgb, most)
    even = _against(_paper(rgb), rgb, everywhere)
    uneven_light = np.ptp(np.percentile(brightness[most], [5, 95])) > SAME
    shadow = even and flat and even.at_border < 0.005 < 0.1 < flat.at_border  # ink would not leave the border for it
    if uneven_light or shadow:
        return replace(even, uneven_light=True) if even else None
    return flat


def _against(paper: np.ndarray, rgb: np.ndarray, empty: np.ndarray) -> Ink | None:
    """What stands out from paper, one color (3,) or one for each pixel (height, width, 3).

    empty: which pixels of the border show what the paper is like; few of them have anything drawn on them.
    """
    difference = rgb - paper
    darker = (difference**3).sum() < 0
    # where there is less light on the paper, there is less between it and black ink
    signed = difference / np.maximum(paper if darker else 1 - paper, 0.25)
    floor = _texture(signed, empty)
    if floor > LOWEST_CONTRAST:
        signed = ndimage.gaussian_filter(signed, (1, 1, 0))
        floor = _texture(signed, empty)
    strength = np.abs(signed).max(axis=-1)
    above = strength > max(_otsu(strength), floor)
    if not above.any():
        return None
    strong = above
    if outermost(above).any():  # perhaps the lines of ruled paper, and what is written on them is darker
        written = strength > _otsu(strength[above])
        strong = written if written.any() and not outermost(written).any() else above
    strong = _without_specks(strong, strength)
    full, size = float(np.percentile(strength[strong], 75)), max(strong[box(strong)].shape)
    # the soft edges of what is drawn belong to it, the lines of the paper that cross it don't
    near = ndimage.distance_transform_edt(~strong) <= max(2, size / 20)
    rest = strength[~near & ~above]
    only_texture = len(rest) > 0 and np.percentile(rest, 99) > 0.6 * full
    if only_texture or full < LOWEST_CONTRAST or size < max(strong.shape) / 100:
        return None
    drawn = near & (strength > max(SAME * full, floor))
    return Ink(
        strength=np.where(drawn, (strength - floor) / (full - floor), 0).clip(0, 1),
        dark=bool(signed.mean(axis=-1)[strong].sum() < 0),
        faint=full < 0.5,
        at_border=float(outermost(drawn).mean()),
    )


def _texture(signed: np.ndarray, empty: np.ndarray) -> float:
    """How far the paper itself differs from its color: five standard deviations of the empty pixels of its border."""
    strength = np.abs(outermost(signed)).max(axis=-1)[empty]
    middle = np.median(strength)
    return float(middle + 5 * 1.4826 * np.median(np.abs(strength - middle)))


def _paper(rgb: np.ndarray) -> np.ndarray:
    """The picture (height, width, 3) as it would be without what is drawn: the light on the paper, shadows included."""
    small = resized(rgb, within(rgb.shape[:2], 400))
    window = max(2, max(small.shape) // 4)  # wider than any line
    padded = np.pad(small, [(window, window), (window, window), (0, 0)], mode="edge")  # shadows go on outside
    cleared = []
    for channel in np.moveaxis(padded, -1, 0):
        # dark lines go, or light ones; where it was the others that were drawn, they have become blots
        both = [remove(channel, window)[window:-window, window:-window] for remove in (_without_dark, _without_light)]
        cleared.append(min(both, key=lambda paper: sum(np.square(np.diff(paper, axis=axis)).sum() for axis in (0, 1))))
    return resized(np.stack(cleared, axis=-1), rgb.shape[:2])


def _without_dark(image: np.ndarray, window: int) -> np.ndarray:
    return ndimage.grey_closing(image, size=(window, window))


def _without_light(image: np.ndarray, window: int) -> np.ndarray:
    return ndimage.grey_opening(image, size=(window, window))


def _without_specks(strong: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """strong, less the spots with under a fiftieth of the largest one's ink, and what reaches in from outside."""
    spots, count = ndimage.label(strong, np.ones((3, 3)))
    amounts = ndimage.sum_labels(strength, spots, np.arange(count + 1))
    amounts[0] = 0  # the paper
    at_border = outermost(spots)
    along = np.bincount(at_border, minlength=count + 1) / len(at_border)
    inside = np.where(along == 0, amounts, 0)
    largest = int(inside.argmax())
    if inside[largest] > 0 and max(spots[box(spots == largest)].shape) > max(spots.shape) / 10:
        amounts[along > 0.1] = 0  # the edge of a table, a finger
    return (amounts > amounts.max() / 50)[spots]


def thickened(strength: np.ndarray, ink_size: float, stroke: float) -> np.ndarray:
    """Ink (height, width), with a margin and wider strokes where these would be too thin to be seen at ink_size."""
    longer, width = max(strength.shape), stroke_of(strength)
    wanted = stroke / ink_size  # of the longer side
    if width > TOO_THIN * wanted * longer:
        return strength
    radius = (wanted * longer - width) / (1 - wanted) / 2  # the longer side grows by as much as the strokes
    padded = np.pad(strength, int(np.ceil(radius)))
    distance = ndimage.distance_transform_edt(padded < 0.5)
    return np.maximum(padded, (radius + 1 - distance).clip(0, 1))


def stroke_of(strength: np.ndarray) -> float:
    """The width of the lines in ink (height, width): a line has half as much area for its outline as it is wide."""
    padded = np.pad(strength, 1)
    down, right = np.diff(padded, axis=0)[:, 1:], np.diff(padded, axis=1)[1:]
    return float(2 * strength.sum() / np.hypot(down, right).sum())


def _otsu(values: np.ndarray) -> float:
    """The threshold between the two groups of values that differ most from each other."""
    counts, edges = np.histogram(values, bins=256)
    if values.min() == values.max():
        return float(values.max())
    centers = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), np.cumsum(counts * centers)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[1:][np.nanargmax(between[:-1])])


def outermost(images: np.ndarray) -> np.ndarray:
    """(height, width, ...) -> (n, ...), the pixels at the four edges."""
    return np.concatenate([images[0], images[-1], images[1:-1, 0], images[1:-1, -1]])


def box(drawn: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns (height, width) from the first to the last that has anything."""
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def within(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Two sides made smaller where one is longer than that."""
    scale = min(1, longest / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(height, width) or (height, width, channels) as floats of another height and width; antialiased."""
    if image.ndim == 3:
        return np.stack([resized(image[..., channel], shape) for channel in range(image.shape[-1])], axis=-1)
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    shrinks = shape[0] < image.shape[0]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(picture.resize(shape[::-1], method))
