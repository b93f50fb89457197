"""Where a run is recorded: MLflow, or nowhere. The only room that imports mlflow."""

from contextlib import AbstractContextManager
from importlib import import_module

from omegaconf import DictConfig

from pipeline.contracts import Dataset, Tracker


def start(cfg: DictConfig, dataset: Dataset) -> AbstractContextManager[Tracker]:
    """A tracker for the length of a run. Its module is imported only now: MLflow where cfg.tracking asks for it."""
    return import_module(f"pipeline.tracking.{cfg.tracking.name}").start(cfg, dataset)
