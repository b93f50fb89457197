"""A trained model -> arrays that show what it has learned."""

from typing import Any

import numpy as np


def kernels(model: Any) -> dict[str, np.ndarray]:
    """Layer name -> convolution kernels (height, width, channels in, kernels). Empty for models without any."""
    return {layer.name: np.asarray(layer.kernel) for layer in _layers(model) if _kernel_rank(layer) == 4}


def weight_maps(model: Any, image_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Layer name -> (units, height, width, channels): the weights of the layer that sees every pixel, if there is one.

    That is a dense layer before any convolution, or the coefficients of a linear estimator.
    """
    pixels = int(np.prod(image_shape))
    for layer in _layers(model):
        if _kernel_rank(layer) == 2 and layer.kernel.shape[0] == pixels:
            return {layer.name: np.asarray(layer.kernel).T.reshape(-1, *image_shape)}
        if _kernel_rank(layer) == 4:
            return {}
    coefficients = getattr(model[-1], "coef_", None) if hasattr(model, "steps") else None
    if coefficients is None or coefficients.shape[1] != pixels:
        return {}
    return {"coefficients": coefficients.reshape(-1, *image_shape)}


def feature_maps(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Layer name -> (n, height, width, maps) for raw images, through every convolution and pooling, in order."""
    wanted = [layer for layer in _layers(model) if _kernel_rank(layer) == 4 or "Pooling" in type(layer).__name__]
    wanted = [layer for layer in wanted if len(layer.output.shape) == 4]
    if not wanted:
        return {}
    import keras

    maps = keras.Model(model.inputs, [layer.output for layer in wanted]).predict(images, verbose=0)
    maps = maps if len(wanted) > 1 else [maps]
    return {layer.name: np.asarray(array, np.float32) for layer, array in zip(wanted, maps, strict=True)}


def _layers(model: Any) -> list:
    return list(getattr(model, "layers", ()))


def _kernel_rank(layer: Any) -> int:
    return len(getattr(getattr(layer, "kernel", None), "shape", ()))
