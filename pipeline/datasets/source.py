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

    Raises PipelineError for arrays of the wrong shape or type, NaN or infinite pixels, labels that skip a class or
    exceed the classes, and class_names that give a class the source's name for another.
    """
    where = source.where
    names = tuple(str(name) for name in class_names) if class_names is not None else source.class_names
    own = source.class_names or ()
    for before, name in zip(own, names or (), strict=False):
        if name != before and name in own:
            raise PipelineError(
                f"dataset.class_names: {before} can't be named {name}, as another class of {where} is; "
                f"in their order, they are {', '.join(own)}"
            )
    images, labels = _checked(source.images, source.labels, where)
    known = np.unique(labels)
    classes = len(names) if names is not None else int(known[-1]) + 1
    if known[-1] >= classes:
        raise PipelineError(
            f"{where}: label {known[-1]} exceeds the {classes} classes; labels must be 0 to {classes - 1}"
        )
    if len(known) < classes:
        gap = int(np.argmax(known != np.arange(len(known)))) if (known != np.arange(len(known))).any() else len(known)
        raise PipelineError(f"{where}: no image has the label {gap}; labels must be 0 to {classes - 1} without a gap")
    if classes < 2:
        raise PipelineError(f"{where}: has one class; a classifier needs at least 2")
    if len(set(names or ())) < len(names or ()):
        raise PipelineError(f"{where}: two classes have one name in {', '.join(names)}")
    test = source.test
    if test is not None:
        test_images, test_labels = _checked(test.images, test.labels, f"{where}, test split")
        images, test_images = _of_one_type(images, test_images)
        kinds = [f"{array.dtype} {array.shape[1:]}" for array in (test_images, images)]
        if kinds[0] != kinds[1]:
            raise PipelineError(f"{where}: test images are {kinds[0]}, training images {kinds[1]}")
        if test_labels.max() >= classes:
            raise PipelineError(f"{where}: test label {test_labels.max()} exceeds the {classes} classes")
        test = Split(test_images, test_labels)
    return replace(
        source,
        images=images,
        labels=labels,
        test=test,
        class_names=names or tuple(str(label) for label in range(classes)),
    )


def _checked(images: np.ndarray, labels: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _images(images, where), _labels(labels, where)
    if len(images) != len(labels):
        raise PipelineError(f"{where}: {len(images)} images but {len(labels)} labels")
    return images, labels


def _of_one_type(images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of two arrays of whole numbers, the narrower one takes the other's type; floats stay what they are."""
    if all(np.issubdtype(array.dtype, np.integer) for array in (images, others)):
        wider = np.result_type(images, others)
        return images.astype(wider, copy=False), others.astype(wider, copy=False)
    return images, others


def _images(images: np.ndarray, where: str) -> np.ndarray:
    """(n, height, width, channels) in the narrowest of uint8, uint16 and float32 that holds them."""
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise PipelineError(
            f"{where}: images have the shape {images.shape}; must be (images, height, width), grey, or "
            "(images, height, width, channels) with 1 or 3 channels"
        )
    if 0 in images.shape:
        raise PipelineError(f"{where}: holds no images: the shape is {images.shape}")
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
    if images.dtype == np.uint8:
        return images
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
