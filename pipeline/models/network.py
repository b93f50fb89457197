"""Keras networks. The architecture is data in conf/model/; this is its one builder."""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from pipeline.contracts import Dataset, Layer
from pipeline.errors import PipelineError, first_line

# where Keras's layers take a penalty on their kernels: one name for most, two for depthwise and separable convolutions
PENALTIES = ("kernel_regularizer", "depthwise_regularizer", "pointwise_regularizer")
IMAGES_AT_ONCE = 256  # where nothing is learned from them: a slot holds every layer's outputs for so many


def build(cfg: DictConfig, dataset: Dataset) -> keras.Model:
    """raw pixels (n, height, width, channels) -> augmentation, scaling, cfg.model.layers, output -> (n, classes).

    A layer that is null in the configuration is left out. Layers with a kernel get the chosen regularizer, unless they
    name one themselves. Raises PipelineError, with the layer's key, where one cannot be built or does not fit.
    """
    pixels = keras.Input(dataset.image_shape, dtype=dataset.train.images.dtype.name, name="pixels")
    x = pixels
    for name, node in cfg.augmentation.layers.items():
        if node is not None:
            x = _layer(f"augmentation.layers.{name}", name, node, x)
    x = keras.layers.Rescaling(dataset.scale, dataset.offset, dtype="float32", name="scaling")(x)
    penalty = keras.regularizers.L1L2(cfg.regularizer.l1, cfg.regularizer.l2) if any(cfg.regularizer.values()) else None
    for name, node in cfg.model.layers.items():
        if node is not None:
            x = _layer(f"model.layers.{name}", name, node, x, dict.fromkeys(PENALTIES, penalty))
    classes = len(dataset.class_names)
    # the softmax stays in float32 under mixed precision
    settings = {**dict.fromkeys(PENALTIES, penalty), "units": classes, "dtype": "float32"}
    x = _layer("model.output", "output", cfg.model.output, x, settings)
    if x.shape != (None, classes):
        raise PipelineError(
            f"model.output: has the shape {x.shape[1:]} an image; must be ({classes},), one for each class"
        )
    model = keras.Model(pixels, x, name=cfg.model.name)
    _adapt(model, dataset)
    return model


def _adapt(model: keras.Model, dataset: Dataset) -> None:
    """A Normalization layer with no mean of its own takes mean and variance from the training images that reach it."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            head, images = keras.Model(model.input, layer.input), dataset.train.images
            starts = range(0, len(images), IMAGES_AT_ONCE)
            parts = [head(images[start : start + IMAGES_AT_ONCE], training=False) for start in starts]
            layer.adapt(np.concatenate([np.asarray(part, np.float32) for part in parts]))


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) in float32 for raw pixels (n, height, width, channels)."""
    return model.predict(images, batch_size=IMAGES_AT_ONCE, verbose=0)


def count_weights(model: keras.Model) -> int:
    """Trainable and not; the states of random number generators don't count."""
    return model.count_params()


def layers(model: keras.Model) -> list[Layer]:
    """In the order of the data, the input among them."""
    return [
        Layer(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in model.layers
    ]


def _layer(key: str, name: str, node: DictConfig, x: Any, suggested: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """The output of the layer that node describes, on x. The node wins over what is suggested."""
    try:
        accepted = inspect.signature(get_class(node._target_)).parameters
        settings = {k: v for k, v in suggested.items() if k not in node and (k in accepted or k == "dtype")}
        return instantiate(node, name=name, _convert_="all", **settings)(x)
    except (InstantiationException, ImportError, TypeError, ValueError, AttributeError) as error:
        shape = "x".join(str(size) for size in x.shape[1:])
        settings = ", ".join(f"{k}={v}" for k, v in OmegaConf.to_container(node).items() if k != "_target_")
        layer = str(node.get("_target_")).rpartition(".")[2]
        raise PipelineError(f"{key}: {layer}({settings}) does not fit on {shape}: {first_line(error)}") from error
