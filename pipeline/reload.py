"""A stored run, with its data and its model, as it was when it finished."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pipeline.config import PATHS
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.gallery import Finished
    from pipeline.tracking.stored import StoredRun


def reload(stored: "StoredRun", here: Path, paths: Mapping[str, str]) -> "Finished":
    """What figures are drawn of. paths: where the data is now, by key; relative ones are below here.

    Raises PipelineError where the data is not what the run was trained on.
    """
    from pipeline import datasets, device, models
    from pipeline.evaluation import evaluate
    from pipeline.gallery import Finished

    cfg, found = stored.config, stored.config  # as it was logged, and with the files where they are now
    find_files(found, here, paths)
    dataset = datasets.load(found.dataset)
    if dataset.sha256 != stored.run.data.tags["dataset_sha256"]:
        raise PipelineError(
            f"{dataset.name}: the data is not what run {stored.run_id} was trained on; its hash differs"
        )
    if cfg.train_on == "train_val":
        dataset = dataset.with_validation_in_training()
    if cfg.model.family == "network":
        device.prepare("auto", "float32", cfg.seed)
    model, split = stored.model(), getattr(dataset, cfg.evaluate)
    kept = stored.arrays(f"predictions_{cfg.evaluate}.npz")
    probabilities = kept["probabilities"] if kept else models.family(cfg.model.family).predict(model, split.images)
    return Finished(
        cfg=cfg,
        model=model,
        dataset=dataset,
        history=stored.history(),
        evaluation=evaluate(split.labels, probabilities, dataset.class_names),
        kernels_before=stored.arrays("kernels_before.npz") or {},
    )


def find_files(cfg: DictConfig, here: Path, paths: Mapping[str, str]) -> None:
    """Put into a stored configuration where the data is now. Raises PipelineError where it isn't there."""
    for key in PATHS:
        if key not in cfg.dataset and f"dataset.{key}" in paths:
            given = f"dataset.{key}={paths[f'dataset.{key}']}"
            raise PipelineError(f"{given}: must be left out: the run's dataset, {cfg.dataset.name}, has no such key")
        if (path := paths.get(f"dataset.{key}", cfg.dataset.get(key))) is not None:
            if not (here / Path(path).expanduser()).exists():
                raise PipelineError(f"dataset.{key}={path}: no such file or folder now; give dataset.{key}=...")
            cfg.dataset[key] = cfg.dataset.source[key] = str(here / Path(path).expanduser())
