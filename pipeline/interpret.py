"""A trained model -> arrays that show what it has learned."""

from typing import Any

import numpy as np


def kernels(model: Any) -> dict[str, np.ndarray]:
    """Layer name -> convolution kernels (height, width, channels in, kernels). Empty for models without any."""
    found = {layer.name: _convolution(layer) for layer in _layers(model)}
    return {name: array for name, array in found.items() if array is not None}


def _convolution(layer: Any) -> np.ndarray | None:
    """A layer's kernels in Conv2D's order of axes; those that see one channel each count one by one."""
    kind = type(layer).__name__
    if kind == "Conv2D":
        return np.asarray(layer.kernel)
    if kind == "Conv2DTranspose":
        return np.asarray(layer.kernel).transpose(0, 1, 3, 2)
    if kind in ("DepthwiseConv2D", "SeparableConv2D"):
        single = np.asarray(layer.kernel if kind == "DepthwiseConv2D" else layer.depthwise_kernel)
        return single.reshape(*single.shape[:2], 1, -1)
    return None


def weight_maps(model: Any, image_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Layer name -> (units, height, width, channels): the weights of the layer that sees every pixel, if there is one.

    That is a dense layer before any convolution, or the coefficients of a linear estimator.
    """
    pixels = int(np.prod(image_shape))
    for layer in _layers(model):
        if _convolution(layer) is not None:
            return {}
        if type(layer).__name__ == "Dense" and layer.kernel.shape[0] == pixels:
            return {layer.name: np.asarray(layer.kernel).T.reshape(-1, *image_shape)}
    coefficients = getattr(model[-1], "coef_", None) if hasattr(model, "steps") else None
    if coefficients is None or coefficients.shape[1] != pixels:
        return {}
    return {"coefficients": coefficients.reshape(-1, *image_shape)}


def feature_maps(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Layer name -> (n, height, width, maps) for raw images, through every convolution and pooling, in order."""
    spatial = [layer for layer in _layers(model) if len(layer.output.shape) == 4]
    wanted = [layer for layer in spatial if "Conv" in type(layer).__name__ or "Pooling" in type(layer).__name__]
    if not wanted:
        return {}
    import keras

    maps = keras.Model(model.inputs, [layer.output for layer in wanted]).predict(images, verbose=0)
    maps = maps if len(wanted) > 1 else [maps]
    return {layer.name: np.asarray(array, np.float32) for layer, array in zip(wanted, maps, strict=True)}


def _layers(model: Any) -> list:
    return list(getattr(model, "layers", ()))
