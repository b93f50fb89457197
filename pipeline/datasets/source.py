"""What a source of images hands over, and the checks that every one of them passes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.contracts import Split
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Source:
    """Images and labels as read; test is the source's own test split, where it has one."""

    where: str  # the file, folder or package, for error lines
    images: np.ndarray
    labels: np.ndarray
    test: Split | None = None
    class_names: tuple[str, ...] | None = None


def verify(source: Source, class_names: Sequence[str] | None) -> Source:
    """The source with images as (n, height, width, channels), labels as int64 and a name for every class.

    Raises PipelineError for arrays of the wrong shape or type, NaN or infinite pixels, and labels that skip a class or
    exceed the classes.
    """
    names = tuple(str(name) for name in class_names) if class_names is not None else source.class_names
    images, labels = _images(source.images, source.where), _labels(source.labels, source.where)
    _same_length(images, labels, source.where)
    if len(labels) == 0:
        raise PipelineError(f"{source.where}: holds no images")
    classes = len(names) if names is not None else int(labels.max()) + 1
    if len(set(names or ())) < len(names or ()):
        raise PipelineError(f"{source.where}: two classes have one name in {', '.join(names)}")
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if labels.max() >= classes:
        raise PipelineError(
            f"{source.where}: label {labels.max()} exceeds the {classes} classes; labels must be 0 to {classes - 1}"
        )
    if missing:
        raise PipelineError(
            f"{source.where}: no image has the label {missing[0]}; labels must be 0 to {classes - 1} without a gap"
        )
    if classes < 2:
        raise PipelineError(f"{source.where}: has one class; a classifier needs at least 2")
    test = source.test
    if test is not None:
        test = Split(_images(test.images, source.where), _labels(test.labels, source.where))
        _same_length(test.images, test.labels, source.where)
        kinds = [f"{array.dtype} {array.shape[1:]}" for array in (test.images, images)]
        if kinds[0] != kinds[1]:
            raise PipelineError(f"{source.where}: test images are {kinds[0]}, training images {kinds[1]}")
        if len(test) and test.labels.max() >= classes:
            raise PipelineError(f"{source.where}: test label {test.labels.max()} exceeds the {classes} classes")
    return replace(
        source,
        images=images,
        labels=labels,
        test=test,
        class_names=names or tuple(str(label) for label in range(classes)),
    )


def _images(images: np.ndarray, where: str) -> np.ndarray:
    """(n, height, width, channels) in the narrowest of uint8, uint16 and float32 that holds them."""
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise PipelineError(
            f"{where}: images have the shape {images.shape}; must be (images, height, width), grey, or "
            "(images, height, width, channels) with 1 or 3 channels"
        )
    if images.dtype == np.bool_:
        return images.astype(np.float32)
    if np.issubdtype(images.dtype, np.integer):
        return _narrow(images, where)
    if not np.issubdtype(images.dtype, np.floating):
        raise PipelineError(f"{where}: pixels have the type {images.dtype}; must be numbers")
    images = images.astype(np.float32, copy=False)
    bad = ~np.isfinite(images)
    if bad.any():
        first = int(np.argmax(bad.reshape(len(images), -1).any(axis=1)))
        raise PipelineError(f"{where}: {int(bad.sum())} pixels are NaN or infinite, the first in image {first}")
    return images


def _narrow(images: np.ndarray, where: str) -> np.ndarray:
    """NumPy's default integer is eight bytes wide, whatever it holds; `scaling: auto` goes by the type."""
    if images.dtype == np.uint8 or images.size == 0:
        return images.astype(np.uint8)
    lowest, highest = int(images.min()), int(images.max())
    if lowest < 0 or highest > np.iinfo(np.uint16).max:
        raise PipelineError(f"{where}: whole-number pixels from {lowest} to {highest}; must be 0 to 255, or to 65535")
    return images.astype(np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16)


def _labels(labels: np.ndarray, where: str) -> np.ndarray:
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1:
        raise PipelineError(f"{where}: labels have the shape {labels.shape}; must be (images,), one number each")
    if not (np.issubdtype(labels.dtype, np.number) or labels.dtype == np.bool_):
        raise PipelineError(f"{where}: labels have the type {labels.dtype}; must be whole numbers from 0")
    wrong = np.flatnonzero(~((labels >= 0) & (labels == np.floor(labels))))  # NaN is neither
    if len(wrong):
        raise PipelineError(f"{where}: label {labels[wrong[0]]} of image {wrong[0]}; must be a whole number from 0")
    return labels.astype(np.int64)


def _same_length(images: np.ndarray, labels: np.ndarray, where: str) -> None:
    if len(images) != len(labels):
        raise PipelineError(f"{where}: {len(images)} images but {len(labels)} labels")
