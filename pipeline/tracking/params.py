"""A configuration -> the few parameters that name a run in MLflow's columns."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline.config import CONF

HEADLINE = ("model", "dataset", "optimizer", "lr", "schedule", "batch_size", "dropout", "regularizer", "augmentation")
HEADLINE += ("epochs", "precision", "seed")
# dotted keys that columns of the headline hold
COLUMNS = {
    "optimizer.learning_rate": "lr",
    "dropout.rate": "dropout",
    "regularizer.l1": "regularizer",
    "regularizer.l2": "regularizer",
    "dataset.name": "dataset",
}


def headline(cfg: DictConfig, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The choices that every run has, each key that the command line set besides, and tracking.params."""
    params = {
        "model": cfg.model.name,
        "dataset": cfg.dataset.name,
        "optimizer": cfg.optimizer.name,
        "lr": cfg.optimizer.get("learning_rate"),
        "schedule": cfg.schedule.name,
        "batch_size": cfg.batch_size,
        "dropout": cfg.dropout.rate,
        "regularizer": " ".join(f"{kind}={value:g}" for kind, value in cfg.regularizer.items() if value) or "none",
        "augmentation": cfg.augmentation.name,
        "epochs": cfg.epochs,
        "precision": cfg.precision,
        "fit_limit": cfg.model.get("fit_limit"),
        "seed": cfg.seed,
    }
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        is_group = (CONF / key).is_dir()
        if not is_group and "~" not in key and key not in COLUMNS and not key.startswith(("tracking.", "hydra.")):
            params[key] = OmegaConf.select(cfg, key)
    params |= cfg.tracking.get("params") or {}
    return {key: value for key, value in params.items() if value is not None}


def column(key: str, *, log: bool = False) -> str:
    """The parameter that a swept key is logged as: its logarithm, where MLflow's charts would need such an axis."""
    if log:
        return f"log10 {key if key.startswith('regularizer.') else COLUMNS.get(key, key)}"
    return COLUMNS.get(key, key)
