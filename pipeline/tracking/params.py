"""A configuration -> the few parameters that name a run in MLflow's columns."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def headline(cfg: DictConfig, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The choices that every run has, and each dotted key that the command line set besides."""
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
    named = {"optimizer.learning_rate", "dropout.rate", "regularizer.l1", "regularizer.l2", "dataset.name"}
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if "." in key and "~" not in key and key not in named and not key.startswith(("tracking.", "hydra.")):
            params[key] = OmegaConf.select(cfg, key)
    return {key: value for key, value in params.items() if value is not None}
