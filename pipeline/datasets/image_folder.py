"""A person's own pictures: one sub-folder per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.source import Source
from pipeline.errors import PipelineError
from pipeline.pictures import opened, read

OF_WINDOWS = ("thumbs.db", "desktop.ini")  # it puts them where there are pictures


def image_folder(path: str, size: Sequence[int] | None = None, channels: int | None = None) -> Source:
    """Pictures of any kind that Pillow reads, as uint8. Classes are the sub-folders in the order of their names.

    They are turned upright, and what is transparent falls on white, or on black under white ink, as in prediction.

    size: (height, width) to resize to; without it all pictures must have one size. channels: 1, 3, or None for 3 if
    any picture is colored.
    """
    if channels not in (None, 1, 3):
        raise PipelineError(f"dataset.channels={channels}: must be 1, 3 or null")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise PipelineError(f"{path}: must be a folder with one sub-folder per class")
    files = {folder.name: _visible(folder) for folder in _visible(root) if folder.is_dir()}
    if len(files) < 2:
        raise PipelineError(f"{path}: has {len(files)} sub-folders; needs one per class, at least 2")
    for name, pictures in files.items():
        if not pictures:
            raise PipelineError(f"{root / name}: holds no picture")
    every = [file for pictures in files.values() for file in pictures]
    colored = [_is_colored(file) for file in every]
    if channels is None:
        channels = 3 if any(colored) else 1
    arrays = [_array(file, size, channels) for file in every]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise PipelineError(
            f"{path}: pictures have {len(shapes)} sizes, from {shapes[0][:2]} to {shapes[-1][:2]}; "
            "give dataset.size=[height,width]"
        )
    labels = np.repeat(np.arange(len(files)), [len(pictures) for pictures in files.values()])
    return Source(path, np.stack(arrays), labels, class_names=tuple(files))


def _visible(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.iterdir() if not each.name.startswith(".") and each.name.lower() not in OF_WINDOWS
    )


def _is_colored(file: Path) -> bool:
    """By its header."""
    if file.is_dir():
        raise PipelineError(f"{file}: is a folder; a class's pictures lie in its folder itself")
    with opened(file) as picture:
        if picture.mode.startswith(("I", "F")):
            raise PipelineError(f"{file}: has more than 8 bits a channel; save it with 8, or bring an npz of uint16")
        return picture.mode not in ("1", "L", "LA")


def _array(file: Path, size: Sequence[int] | None, channels: int) -> np.ndarray:
    """One at a time: a folder of photographs is too large for memory before they are resized."""
    picture = read(file)[0].convert("L" if channels == 1 else "RGB")
    if size is not None:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, channels)
