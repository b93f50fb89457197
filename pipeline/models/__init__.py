"""Shape and classes of the data + configuration -> a model."""

from importlib import import_module
from types import ModuleType


def family(name: str) -> ModuleType:
    """The module of a model's family, imported only now: network (Keras) or estimator (scikit-learn).

    It has build(cfg, dataset) -> model, predict(model, images) -> probabilities (n, classes), count_weights(model),
    layers(model) -> contracts.Layer of each.
    """
    return import_module(f"pipeline.models.{name}")
