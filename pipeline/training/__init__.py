"""Fit a model to the training split, watching the validation split: -> History."""

from importlib import import_module
from types import ModuleType


def family(name: str) -> ModuleType:
    """The module of a family, imported only now. It has

    prepare(model, dataset, cfg) -> (the model that will be trained, what fit takes); refuses settings that can't work;
    fit(prepared, dataset, cfg, observers) -> History.
    """
    return import_module(f"pipeline.training.{name}")
