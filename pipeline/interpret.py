"""A trained model -> arrays that show what it has learned."""

import math
from typing import Any

import numpy as np
from scipy.signal import convolve2d
from scipy.spatial.distance import pdist, squareform

EDGE_DETECTION = ((0, 1, 0), (1, -4, 1), (0, 1, 0))


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
    linear = _coefficients(model[-1]) if hasattr(model, "steps") else None
    if linear is None or linear.shape[1] != pixels:
        return {}
    return {"coefficients": linear.reshape(-1, *image_shape)}


def _coefficients(estimator: Any) -> np.ndarray | None:
    """(classes, features) of a linear estimator, or of one for each class (OneVsRestClassifier)."""
    if hasattr(estimator, "coef_"):
        return estimator.coef_
    each = getattr(estimator, "estimators_", ())
    return np.concatenate([one.coef_ for one in each]) if len(each) and hasattr(each[0], "coef_") else None


def dense_weights(model: Any) -> dict[str, np.ndarray]:
    """Layer name -> (inputs, units) of each dense layer."""
    return {layer.name: np.asarray(layer.kernel) for layer in _layers(model) if type(layer).__name__ == "Dense"}


def feature_maps(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Layer name -> (n, height, width, maps) for raw images, through every convolution and pooling, in order."""
    spatial = [layer for layer in _layers(model) if len(layer.output.shape) == 4]
    wanted = [layer for layer in spatial if "Conv" in type(layer).__name__ or "Pooling" in type(layer).__name__]
    if not wanted:
        return {}
    import keras

    # called, not predict: that would compile a function for a few images
    maps = keras.Model(model.input, [layer.output for layer in wanted])(images, training=False)
    maps = maps if len(wanted) > 1 else [maps]
    return {layer.name: np.asarray(array, np.float32) for layer, array in zip(wanted, maps, strict=True)}


def barcodes(model: Any, images: np.ndarray) -> np.ndarray | None:
    """(n, maps): each map's average for raw images, at the global average pooling; None for models without one."""
    pooling = [layer for layer in _layers(model) if type(layer).__name__ == "GlobalAveragePooling2D"]
    if not pooling:
        return None
    import keras

    return np.asarray(keras.Model(model.input, pooling[-1].output)(images, training=False), np.float32)


def distances(codes: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean Euclidean distance between two rows of codes (n, features) of one class, and of different classes."""
    apart, alike = squareform(pdist(codes)), labels[:, None] == labels
    pairs = ~np.eye(len(labels), dtype=bool)
    of_pairs = (apart[alike & pairs], apart[~alike])
    return tuple(float(part.mean()) if part.size else math.nan for part in of_pairs)


def random_kernels(count: int, seed: int) -> np.ndarray:
    """(count + 1, 3, 3): uniform between -1 and 0, as the introduction draws them, and the edge-detection kernel."""
    drawn = np.random.default_rng(seed).uniform(-1, 0, (count, 3, 3))
    return np.concatenate([drawn, [EDGE_DETECTION]])


def convolve(image: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """(n, height, width): an image (height, width), mirrored beyond its border, convolved with each of n kernels."""
    return np.stack([convolve2d(image, kernel, mode="same", boundary="symm") for kernel in kernels])


def _layers(model: Any) -> list:
    return list(getattr(model, "layers", ()))
