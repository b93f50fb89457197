"""Fit a model to the training split, watching the validation split: -> History."""

from importlib import import_module
from types import ModuleType


def family(name: str) -> ModuleType:
    """The module of a family, imported only now. It has fit(model, dataset, cfg, observers) -> History."""
    return import_module(f"pipeline.training.{name}")
