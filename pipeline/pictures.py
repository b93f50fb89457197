"""A person's own picture, brought to what a model was trained on: its paper, its ink, its size and place."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from pipeline.contracts import Dataset
from pipeline.errors import PipelineError

MOST_DESCRIBED, MOST_VALUES = 2_000, 50_000_000  # of the training images are looked at, and of their pixels
SAME = 0.05  # of the range of pixel values: what differs less from the background is background
MOSTLY = 2 / 3  # of the pixels at the border are background; in MNIST all, in the 8x8 digits, which fill it, 72 %
USUAL_RANGES = ((0, 1), (-1, 1), (0, 255), (0, 65535))
LONGEST_SIDE = 800  # of a picture while its ink is looked for
LONGEST_SHOWN = 400
LOWEST_CONTRAST = 0.08  # of black on white; pencil has 0.2, creases in the paper less than 0.05
TOO_THIN = 0.5  # of the usual stroke: hardly any training image has such thin ones
UNSHARP = 0.25  # of full ink: less is the blur of its edge


@dataclass(frozen=True)
class Prepared:
    """original: (height, width, 3) bytes to be shown; pixels: (h, w, c) as the model knows them; steps: in words."""

    original: np.ndarray
    pixels: np.ndarray
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Ink:
    """strength: (height, width) from 0, paper, to 1. dark: on light, or not. at_border: its share of the edge."""

    strength: np.ndarray
    dark: bool
    faint: bool
    at_border: float
    uneven_light: bool = False


@lru_cache(maxsize=2)  # as many as datasets.load keeps
def describe(dataset: Dataset) -> dict[str, Any]:
    """What a model of this data has been trained to see, in plain JSON values: what `prepare` takes as `seen`.

    background is the value of most pixels at the border, null where there is none, as in photographs. Where there
    is one, ink is `lighter` or `darker`; the rest is in pixels, medians all: ink_size is the longer side of what is
    drawn, stroke the width of its lines, center the row and the column where its mass is, to half a pixel.
    """
    images = dataset.train.images
    count = min(len(images), MOST_DESCRIBED, max(1, MOST_VALUES // images[0].size))
    images = images[np.linspace(0, len(images) - 1, count).astype(int)]
    lowest, highest = float(images.min()), float(images.max())
    return {
        "shape": [int(size) for size in dataset.image_shape],
        "dtype": images.dtype.name,
        "lowest": lowest,
        "highest": highest,
        "class_names": list(dataset.class_names),
        **_drawn_on(images, highest - lowest),
    }


def _drawn_on(images: np.ndarray, reach: float) -> dict[str, Any]:
    """background, ink, ink_size, stroke and center of images (n, height, width, channels); all None for photographs."""
    nothing = dict.fromkeys(("background", "ink", "ink_size", "stroke", "center"))
    if reach == 0 or (images != images[..., :1]).any():  # of colored pictures, the colors would not survive
        return nothing
    grey = images[..., 0].astype(np.float32)
    border = _border(np.moveaxis(grey, 0, -1))
    background = float(np.median(border))
    if np.mean(np.abs(border - background) <= SAME * reach) < MOSTLY:
        return nothing
    signed = (grey - background) / reach
    strength = np.where(np.abs(signed) > SAME, np.abs(signed), 0)
    strength = strength[strength.any(axis=(1, 2))]
    if len(strength) == 0:
        return nothing
    centers = np.median([ndimage.center_of_mass(image) for image in strength], axis=0)
    return {
        "background": background,
        "ink": "lighter" if signed.sum() > 0 else "darker",
        "ink_size": float(np.median([max(image[_box(image > 0)].shape) for image in strength])),
        "stroke": round(float(np.median([_stroke(image) for image in strength])), 2),
        "center": [round(2 * float(middle)) / 2 for middle in centers],
    }


def check(path: str | Path) -> None:
    """Raises PipelineError where the file isn't a picture that can be read to its end."""
    read(Path(path))


def prepare(path: str | Path, seen: Mapping[str, Any]) -> Prepared:
    """The picture as the model that `seen` describes wants it. Raises PipelineError where there is no ink in it."""
    picture, steps = read(Path(path))
    shown = picture.copy()
    shown.thumbnail((LONGEST_SHOWN, LONGEST_SHOWN))
    if seen["background"] is None:
        values, more = _resized_whole(picture, seen)
    elif (values := _as_it_is(picture, seen)) is not None:
        more = ["as it is"]
    else:
        values, more = _redrawn(picture, seen, path)
    return Prepared(np.asarray(shown), values, (*steps, *more))


def read(path: Path) -> tuple[Image.Image, list[str]]:
    """The picture upright, as 8-bit RGB, and what that took. Raises PipelineError where it can't be."""
    with opened(path) as picture:
        picture.load()
        turned = picture.getexif().get(0x0112, 1) != 1  # orientation
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 bits a pixel, or room for them
            values = np.asarray(picture)
            values = values // 257 if values.max() > 255 else values
            picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        if picture.mode == "F":
            raise PipelineError(f"{path}: has fractions for pixels; save it with 8 bits a channel")
        opaque, steps = _opaque(picture)
    return opaque, ["turned upright"] * turned + steps


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture, of which no more than the header is read. Raises PipelineError where it isn't a whole one."""
    if path.is_dir():
        raise PipelineError(f"{path}: is a folder; name the pictures themselves")
    if not path.exists():
        raise PipelineError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise PipelineError(f"{path}: is empty")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            yield picture
    except UnidentifiedImageError:
        raise PipelineError(f"{path}: is not a picture of a known kind; save it as PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise PipelineError(f"{path}: has too many pixels; save it smaller") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: is not a whole picture ({error})") from error


def _opaque(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """RGB, what is transparent on white; on black where the drawing itself is white."""
    if not ("A" in picture.getbands() or "transparency" in picture.info):
        return picture.convert("RGB"), []
    picture = picture.convert("RGBA")
    alpha = np.asarray(picture.getchannel("A"))
    if alpha.min() == 255:
        return picture.convert("RGB"), []
    visible = np.asarray(picture.convert("L"))[alpha > 127]
    paper = "black" if len(visible) and visible.min() > 200 else "white"
    canvas = Image.new("RGBA", picture.size, paper)
    canvas.alpha_composite(picture)
    return canvas.convert("RGB"), [f"transparency on {paper}"]


def _resized_whole(picture: Image.Image, seen: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """All of the picture, for models of photographs."""
    height, width, channels = seen["shape"]
    steps = []
    if channels == 1:
        if _is_colored(picture):
            steps.append("colors to grey")
        picture = picture.convert("L")
    if picture.size != (width, height):
        steps.append(f"resized from {picture.width}x{picture.height} to {width}x{height}")
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    fractions = np.asarray(picture, np.float32).reshape(height, width, channels) / 255
    return _in_range(fractions, seen), steps or ["as it is"]


def _as_it_is(picture: Image.Image, seen: Mapping[str, Any]) -> np.ndarray | None:
    """(h, w, c) of a picture that has the size of the training images and their background already, else None."""
    height, width, channels = seen["shape"]
    if picture.size != (width, height) or _is_colored(picture):
        return None
    fractions = np.asarray(picture, np.float32)[..., :channels] / 255
    border, background = _border(fractions[..., 0]), _fraction(seen["background"], seen)
    if np.mean(np.abs(border - background) <= SAME) < 0.9 or np.ptp(fractions) < LOWEST_CONTRAST:
        return None
    return _in_range(fractions, seen)


def _redrawn(picture: Image.Image, seen: Mapping[str, Any], path: str | Path) -> tuple[np.ndarray, list[str]]:
    """The picture's ink alone, in the size, the place and the polarity of the training images."""
    shrunk = picture.resize(_within(picture.size, LONGEST_SIDE), Image.Resampling.BOX)
    ink = _ink(np.asarray(shrunk, np.float32) / 255)
    if ink is None:
        raise PipelineError(f"{path}: is blank; nothing in it stands out from its background")
    steps = []
    if ink.uneven_light:
        steps.append("uneven light evened out")
    if ink.dark != (seen["ink"] == "darker"):
        steps.append("inverted: " + ("dark on light" if ink.dark else "light on dark"))
    if ink.faint:
        steps.append("faint ink strengthened")
    strength = ink.strength[_box(ink.strength > UNSHARP)]
    rows, columns = (round(side * max(picture.size) / max(shrunk.size)) for side in strength.shape)
    steps.append(f"cropped to the ink, {columns}x{rows}")
    thickened = _thickened(strength, seen["ink_size"], seen["stroke"])
    if thickened is not strength:
        steps.append("strokes thickened")
    frame, place = _framed(thickened, seen)
    background, full = _fraction(seen["background"], seen), 0.0 if seen["ink"] == "darker" else 1.0
    fractions = background + frame * (full - background)
    return _in_range(np.repeat(fractions[..., np.newaxis], seen["shape"][-1], axis=-1), seen), [*steps, *place]


def _framed(strength: np.ndarray, seen: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Ink (height, width) at ink_size, its mass where that of the training images is, in a frame of their size."""
    frame = np.zeros(seen["shape"][:2], np.float32)
    scale = min(seen["ink_size"] / max(strength.shape), *(np.array(frame.shape) / strength.shape))
    scaled = _resized(strength, tuple(max(1, round(side * scale)) for side in strength.shape)).clip(0, 1)
    top, left = (
        int(np.clip(round(wanted - center), 0, whole - part))
        for wanted, center, whole, part in zip(
            seen["center"], ndimage.center_of_mass(scaled), frame.shape, scaled.shape, strict=True
        )
    )
    frame[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    longer = int(np.argmax(scaled.shape))
    return frame, [f"scaled to {scaled.shape[longer]} of {frame.shape[longer]} pixels", "centered by mass"]


def _ink(rgb: np.ndarray) -> Ink | None:
    """What is drawn in a picture (height, width, 3) from 0 to 1, or None where nothing is."""
    border = _border(rgb)
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
    if _border(above).any():  # perhaps the lines of ruled paper, and what is written on them is darker
        written = strength > _otsu(strength[above])
        strong = written if written.any() and not _border(written).any() else above
    strong = _without_specks(strong, strength)
    full, size = float(np.percentile(strength[strong], 75)), max(strong[_box(strong)].shape)
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
        at_border=float(_border(drawn).mean()),
    )


def _texture(signed: np.ndarray, empty: np.ndarray) -> float:
    """How far the paper itself differs from its color: five standard deviations of the empty pixels of its border."""
    strength = np.abs(_border(signed)).max(axis=-1)[empty]
    middle = np.median(strength)
    return float(middle + 5 * 1.4826 * np.median(np.abs(strength - middle)))


def _paper(rgb: np.ndarray) -> np.ndarray:
    """The picture (height, width, 3) as it would be without what is drawn: the light on the paper, shadows included."""
    small = _resized(rgb, _within(rgb.shape[:2], 400))
    window = max(2, max(small.shape) // 4)  # wider than any line
    padded = np.pad(small, [(window, window), (window, window), (0, 0)], mode="edge")  # shadows go on outside
    cleared = []
    for channel in np.moveaxis(padded, -1, 0):
        # dark lines go, or light ones; where it was the others that were drawn, they have become blots
        both = [remove(channel, window)[window:-window, window:-window] for remove in (_without_dark, _without_light)]
        cleared.append(min(both, key=lambda paper: sum(np.square(np.diff(paper, axis=axis)).sum() for axis in (0, 1))))
    return _resized(np.stack(cleared, axis=-1), rgb.shape[:2])


def _without_dark(image: np.ndarray, window: int) -> np.ndarray:
    return ndimage.grey_closing(image, size=(window, window))


def _without_light(image: np.ndarray, window: int) -> np.ndarray:
    return ndimage.grey_opening(image, size=(window, window))


def _without_specks(strong: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """strong, less the spots with under a fiftieth of the largest one's ink, and what reaches in from outside."""
    spots, count = ndimage.label(strong, np.ones((3, 3)))
    amounts = ndimage.sum_labels(strength, spots, np.arange(count + 1))
    amounts[0] = 0  # the paper
    at_border = _border(spots)
    along = np.bincount(at_border, minlength=count + 1) / len(at_border)
    within = np.where(along == 0, amounts, 0)
    largest = int(within.argmax())
    if within[largest] > 0 and max(spots[_box(spots == largest)].shape) > max(spots.shape) / 10:
        amounts[along > 0.1] = 0  # the edge of a table, a finger
    return (amounts > amounts.max() / 50)[spots]


def _thickened(strength: np.ndarray, ink_size: float, stroke: float) -> np.ndarray:
    """Ink (height, width), with a margin and wider strokes where these would be too thin to be seen at ink_size."""
    longer, width = max(strength.shape), _stroke(strength)
    wanted = stroke / ink_size  # of the longer side
    if width > TOO_THIN * wanted * longer:
        return strength
    radius = (wanted * longer - width) / (1 - wanted) / 2  # the longer side grows by as much as the strokes
    padded = np.pad(strength, int(np.ceil(radius)))
    distance = ndimage.distance_transform_edt(padded < 0.5)
    return np.maximum(padded, (radius + 1 - distance).clip(0, 1))


def _stroke(strength: np.ndarray) -> float:
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


def _border(images: np.ndarray) -> np.ndarray:
    """(height, width, ...) -> (n, ...), the pixels at the four edges."""
    return np.concatenate([images[0], images[-1], images[1:-1, 0], images[1:-1, -1]])


def _box(drawn: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns (height, width) from the first to the last that has anything."""
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _within(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Two sides made smaller where one is longer than that."""
    scale = min(1, longest / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(height, width) or (height, width, channels) as floats of another height and width; antialiased."""
    if image.ndim == 3:
        return np.stack([_resized(image[..., channel], shape) for channel in range(image.shape[-1])], axis=-1)
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    shrinks = shape[0] < image.shape[0]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(picture.resize(shape[::-1], method))


def _is_colored(picture: Image.Image) -> bool:
    pixels = np.asarray(picture)
    return bool((pixels != pixels[..., :1]).any())


def _range(seen: Mapping[str, Any]) -> tuple[float, float]:
    """(black, white) of the training images: a usual range that they nearly fill, else what they have."""
    lowest, highest = seen["lowest"], seen["highest"]
    for black, white in USUAL_RANGES:
        if black <= lowest and highest <= white and highest - lowest > 0.8 * (white - black):
            return black, white
    return lowest, highest


def _fraction(value: float, seen: Mapping[str, Any]) -> float:
    """A pixel value of the training images, from 0 for black to 1 for white."""
    black, white = _range(seen)
    return (value - black) / (white - black)


def _in_range(fractions: np.ndarray, seen: Mapping[str, Any]) -> np.ndarray:
    """Pixels from 0 to 1 in the training images' range and type."""
    black, white = _range(seen)
    values = black + fractions * (white - black)
    dtype = np.dtype(seen["dtype"])
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)
