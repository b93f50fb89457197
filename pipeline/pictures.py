"""A person's own picture, brought to what a model was trained on: its paper, its ink, its size and place."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from pipeline import ink
from pipeline.contracts import Dataset
from pipeline.errors import PipelineError
from pipeline.ink import LOWEST_CONTRAST, SAME

MOST_DESCRIBED, MOST_VALUES = 2_000, 50_000_000  # of the training images are looked at, and of their pixels
MOSTLY = 2 / 3  # of the pixels at the border are background; in MNIST all, in the 8x8 digits, which fill it, 72 %
USUAL_RANGES = ((0, 1), (-1, 1), (0, 255), (0, 65535))
LONGEST_SIDE = 800  # of a picture while its ink is looked for
LONGEST_SHOWN = 400
UNSHARP = 0.25  # of full ink: less is the blur of its edge


@dataclass(frozen=True)
class Prepared:
    """original: (height, width, 3) bytes to be shown; pixels: (h, w, c) as the model knows them; steps: in words."""

    original: np.ndarray
    pixels: np.ndarray
    steps: tuple[str, ...]


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
    border = ink.outermost(np.moveaxis(grey, 0, -1))
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
        "ink_size": float(np.median([max(image[ink.box(image > 0)].shape) for image in strength])),
        "stroke": round(float(np.median([ink.stroke_of(image) for image in strength])), 2),
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
    border, background = ink.outermost(fractions[..., 0]), _fraction(seen["background"], seen)
    if np.mean(np.abs(border - background) <= SAME) < 0.9 or np.ptp(fractions) < LOWEST_CONTRAST:
        return None
    return _in_range(fractions, seen)


def _redrawn(picture: Image.Image, seen: Mapping[str, Any], path: str | Path) -> tuple[np.ndarray, list[str]]:
    """The picture's ink alone, in the size, the place and the polarity of the training images."""
    shrunk = picture.resize(ink.within(picture.size, LONGEST_SIDE), Image.Resampling.BOX)
    found = ink.find(np.asarray(shrunk, np.float32) / 255)
    if found is None:
        raise PipelineError(f"{path}: is blank; nothing in it stands out from its background")
    steps = []
    if found.uneven_light:
        steps.append("uneven light evened out")
    if found.dark != (seen["ink"] == "darker"):
        steps.append("inverted: " + ("dark on light" if found.dark else "light on dark"))
    if found.faint:
        steps.append("faint ink strengthened")
    strength = found.strength[ink.box(found.strength > UNSHARP)]
    rows, columns = (round(side * max(picture.size) / max(shrunk.size)) for side in strength.shape)
    steps.append(f"cropped to the ink, {columns}x{rows}")
    thickened = ink.thickened(strength, seen["ink_size"], seen["stroke"])
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
    scaled = ink.resized(strength, tuple(max(1, round(side * scale)) for side in strength.shape)).clip(0, 1)
    top, left = (
        int(np.clip(round(wanted - center), 0, whole - part))
        for wanted, center, whole, part in zip(
            seen["center"], ndimage.center_of_mass(scaled), frame.shape, scaled.shape, strict=True
        )
    )
    frame[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    longer = int(np.argmax(scaled.shape))
    return frame, [f"scaled to {scaled.shape[longer]} of {frame.shape[longer]} pixels", "centered by mass"]


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
