"""A person's own pictures: one sub-folder per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.datasets.source import Source
from pipeline.errors import PipelineError

SUFFIXES = {".png", ".jpg", ".jpeg"}


def image_folder(path: str, size: Sequence[int] | None = None, channels: int | None = None) -> Source:
    """PNG and JPEG pictures, grey or RGB, as uint8. Classes are the sub-folders in the order of their names.

    size: (height, width) to resize to; without it all pictures must have one size. channels: 1, 3, or None for 3 if
    any picture is colored.
    """
    if channels not in (None, 1, 3):
        raise PipelineError(f"dataset.channels={channels}: must be 1, 3 or null")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise PipelineError(f"{path}: must be a folder with one sub-folder per class")
    files = {
        folder.name: sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    if len(files) < 2:
        raise PipelineError(f"{path}: has {len(files)} sub-folders; needs one per class, at least 2")
    for name, pictures in files.items():
        if not pictures:
            raise PipelineError(f"{root / name}: holds no PNG or JPEG picture")
    opened = [_open(file) for pictures in files.values() for file in pictures]
    if channels is None:
        channels = 3 if any(picture.mode == "RGB" for picture in opened) else 1
    arrays = [_array(picture, size, channels) for picture in opened]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise PipelineError(
            f"{path}: pictures have {len(shapes)} sizes, from {shapes[0][:2]} to {shapes[-1][:2]}; "
            "give dataset.size=[height,width]"
        )
    labels = np.repeat(np.arange(len(files)), [len(pictures) for pictures in files.values()])
    return Source(path, np.stack(arrays), labels, class_names=tuple(files))


def _open(file: Path) -> Image.Image:
    """The picture in memory, as 8-bit grey or RGB; transparency falls on black."""
    try:
        with Image.open(file) as picture:
            picture.load()
            if picture.mode.startswith(("I", "F")):
                raise PipelineError(
                    f"{file}: has more than 8 bits a channel; save it with 8, or bring an npz of uint16"
                )
            grey = picture.mode in ("1", "L", "LA")
            return picture.convert("L" if grey else "RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{file}: is not a whole picture ({error})") from error


def _array(picture: Image.Image, size: Sequence[int] | None, channels: int) -> np.ndarray:
    picture = picture.convert("L" if channels == 1 else "RGB")
    if size is not None:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, channels)
