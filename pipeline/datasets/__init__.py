"""Load, verify, split: a dataset's configuration -> Dataset. NumPy arrays in, NumPy arrays out."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pipeline.config import PATHS
from pipeline.contracts import Dataset
from pipeline.datasets.scaling import scale_and_offset
from pipeline.datasets.source import verify
from pipeline.datasets.split import split

__all__ = ["load"]


KEPT = 2  # datasets


def load(cfg: DictConfig) -> Dataset:
    """The dataset that the group `dataset` describes. Raises PipelineError where the data is not what it should be.

    A process that asks for it again gets the same one, unless a file of it has changed.
    """
    return _load(OmegaConf.to_yaml(cfg, resolve=True), _state(cfg))


def _state(cfg: DictConfig) -> tuple[tuple[Path, int, int], ...]:
    """(file, size, time of its last change) of all that is read."""
    places = [Path(cfg[key]).expanduser().resolve() for key in PATHS if cfg.get(key) is not None]
    files = [file for place in places for file in ((place, *sorted(place.rglob("*"))) if place.is_dir() else (place,))]
    return tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists())


@lru_cache(maxsize=KEPT)
def _load(text: str, state: tuple[tuple[Path, int, int], ...]) -> Dataset:
    cfg = OmegaConf.create(text)
    read = instantiate(cfg.source, _partial_=True)  # called here, or Hydra would wrap what it raises
    source = verify(read(), cfg.class_names)
    train, val, test = split(source, cfg.split, cfg.limit)
    scale, offset = scale_and_offset(train.images, cfg.scaling, cfg.standardize)
    return Dataset(
        name=cfg.name,
        train=train,
        val=val,
        test=test,
        class_names=source.class_names,
        scale=scale,
        offset=offset,
        sha256=_sha256(*(array for part in (train, val, test) for array in (part.images, part.labels))),
    )


def _sha256(*arrays: np.ndarray) -> str:
    """Of types, shapes and bytes, in order: the same data in other splits is another dataset."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
