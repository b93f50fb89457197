"""Cut a source into training, validation and test split."""

import math

import numpy as np
from omegaconf import DictConfig
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from pipeline.contracts import Split
from pipeline.datasets.source import Source
from pipeline.errors import PipelineError


def split(source: Source, cfg: DictConfig, limit: int | None) -> tuple[Split, Split, Split]:
    """(training, validation, test). With cfg.test a size, the source's own test split is pooled with the rest first.
    With 0 the test split is empty.

    Raises PipelineError where the sizes ask for more than there is.
    """
    images, labels, test = source.images, source.labels, source.test
    if cfg.test is None and test is None:
        raise PipelineError(
            f"dataset.split.test=null: {source.where} has no test split of its own; give a size such as 0.2"
        )
    if cfg.test is not None and test is not None:
        images, labels = np.concatenate([images, test.images]), np.concatenate([labels, test.labels])
    if limit is not None:
        if limit > len(labels):
            raise PipelineError(f"dataset.limit={limit}: {source.where} has {len(labels)} images")
        rows = _limited(labels, limit, cfg)
        images, labels = images[rows], labels[rows]

    rows = np.arange(len(labels))
    if cfg.test is not None:
        rows, test_rows = _cut(rows, _count(cfg.test, len(labels)), labels, cfg, "split.test")
        test = Split(images[test_rows], labels[test_rows])
    train_rows, val_rows = _cut(rows, _count(cfg.val, len(rows)), labels, cfg, "split.val")
    absent = np.setdiff1d(labels, labels[train_rows])
    if len(absent):
        raise PipelineError(
            f"dataset.split: no training image has the label {absent[0]}; take more images, or a dataset.split.seed"
        )
    return Split(images[train_rows], labels[train_rows]), Split(images[val_rows], labels[val_rows]), test


def _limited(labels: np.ndarray, limit: int, cfg: DictConfig) -> np.ndarray:
    """The rows to go on with. Those left out need not have one of each class, which a cut would ask of them."""
    rows, out = np.arange(len(labels)), len(labels) - limit
    if cfg.stratify and cfg.seed is not None and 0 < out < len(np.unique(labels)):
        return resample(rows, replace=False, n_samples=limit, random_state=cfg.seed, stratify=labels)
    return _cut(rows, out, labels, cfg, "limit")[0]


def _count(size: float, total: int) -> int:
    """Of a share, as many as scikit-learn's train_test_split takes."""
    return math.ceil(size * total) if isinstance(size, float) else size


def _cut(rows: np.ndarray, last: int, labels: np.ndarray, cfg: DictConfig, key: str) -> tuple[np.ndarray, np.ndarray]:
    """(the rest, `last` rows): drawn at random by cfg.seed, or the last in order where it is null."""
    if last == 0 and key != "split.val":
        return rows, rows[:0]
    if not 0 < last < len(rows):
        raise PipelineError(f"dataset.{key}: {last} of {len(rows)} images; must leave at least one on either side")
    if cfg.seed is None:
        return rows[:-last], rows[-last:]
    try:
        return train_test_split(
            rows, test_size=last, random_state=cfg.seed, stratify=labels[rows] if cfg.stratify else None
        )
    except ValueError:
        classes, counts = np.unique(labels[rows], return_counts=True)
        raise PipelineError(
            f"dataset.{key}: cannot put each of {len(classes)} classes (the smallest has {counts.min()} images) on "
            f"both sides of a cut of {len(rows)} images at {last}; take more images or dataset.split.stratify=false"
        ) from None
